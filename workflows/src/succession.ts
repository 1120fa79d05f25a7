// Which build of the worker takes new workflows, kept by the workers themselves: each looks who works, takes over when its build shall,
// and one of the current build moves what builds without workers have left open.
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import type { Client } from "@temporalio/client";
import { forsaken, isCaretaker, polling, takesOver } from "./builds.js";
import type { Deployment, Look } from "./deployment.js";

export interface Successor {
  readonly name: string;
  readonly buildId: string;
  /** False: it only looks; which build is current is a person's choice. */
  readonly promote: boolean;
  readonly startedAtMs: number;
  /** A worker of another build must have run for so long before it takes over: one that crashes at its start never does. */
  readonly steadyMs: number;
}

export type SuccessionMetrics = ReturnType<typeof successionMetrics>;

/** There before the first look, and without versioning too. */
export function successionMetrics(metrics: Metrics) {
  let workers = Number.NaN;
  metrics.gaugeOf(
    "onsale_current_build_workers",
    "Workers that poll for the build that takes new workflows, as this one sees it; NaN while it can't see",
    () => workers,
  );
  const moved = metrics.counter(
    "onsale_workflows_moved_total",
    "Open workflows of builds without workers that were moved to the current build",
    ["outcome"],
    [{ outcome: "moved" }, { outcome: "failed" }],
  );
  return {
    see: (count: number): void => {
      workers = count;
    },
    count: (outcome: "moved" | "failed", by: number): void => moved.inc({ outcome }, by),
  };
}

const lookEveryMs = 15_000;
/** While it is not current: a roll-out may be under way. */
const watchEveryMs = 2_000;
/** While no build is current: nothing runs. */
const beginEveryMs = 500;
/** So long a build must have been without workers: a pod that restarts is back by then. */
const forsakenForMs = 30_000;

/** Until the signal. Never rejects: without Temporal it looks again. */
export async function keepSuccession(
  deployment: Deployment,
  client: Client,
  successor: Successor,
  metrics: SuccessionMetrics,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const startedAt = performance.now();
  const caretaking = caretaker(deployment, client, metrics, log);
  let isBack = false;
  let failures = 0;
  while (!signal.aborted) {
    let pauseMs = watchEveryMs;
    try {
      if (!isBack) await deployment.comeBack(successor.buildId, successor.name, successor.startedAtMs);
      isBack = true;
      const look = await deployment.look();
      metrics.see(polling(look, look.current).length);
      if (look.current === successor.buildId) pauseMs = lookEveryMs;
      else if (look.current === undefined) pauseMs = beginEveryMs;
      if (successor.promote && isSeen(look, successor)) {
        const isSteady = look.current === undefined || performance.now() - startedAt >= successor.steadyMs;
        if (isSteady && takesOver(look, successor.buildId)) await takeOver(deployment, look, successor, log);
        await caretaking.attend(look, successor.name);
      }
      failures = 0;
    } catch (err) {
      metrics.see(Number.NaN);
      failures += 1;
      // Once is nothing: another worker was faster, or Temporal has not yet heard of this build.
      if (!signal.aborted)
        log[failures === 3 ? "warn" : "debug"]({ err }, "which build is current can't be seen or changed; looks again");
    }
    await delay(pauseMs, undefined, { signal }).catch(() => undefined);
  }
  metrics.see(Number.NaN);
}

/** Who does not see itself does not see the others rightly either: its clock is wrong, or its polls don't arrive. */
const isSeen = ({ workers }: Look, { name }: Successor): boolean => workers.some((worker) => worker.name === name);

async function takeOver(deployment: Deployment, look: Look, { buildId, name }: Successor, log: Logger) {
  await deployment.makeCurrent(buildId, name, look);
  log.info({ buildId, before: look.current }, "this build takes the new workflows from now on");
}

function caretaker(deployment: Deployment, client: Client, metrics: SuccessionMetrics, log: Logger) {
  /** Since when nobody has worked for it. */
  const since = new Map<string, number>();

  return {
    async attend(look: Look, name: string): Promise<void> {
      const { current } = look;
      const left = isCaretaker(look, name) ? forsaken(look, look.builds) : [];
      for (const buildId of since.keys()) if (!left.includes(buildId)) since.delete(buildId);
      if (current === undefined || !isCaretaker(look, name)) return;
      await deployment.forgetStale(look);
      for (const buildId of left) {
        const sinceMs = since.get(buildId) ?? performance.now();
        since.set(buildId, sinceMs);
        if (performance.now() - sinceMs < forsakenForMs || (await deployment.countOpen(buildId)) === 0) continue;
        const { moved, failed, err } = await deployment.move(client, buildId, current);
        metrics.count("moved", moved);
        metrics.count("failed", failed);
        log.warn(
          { from: buildId, to: current, moved, failed, ...(failed > 0 && { err }) },
          "nobody works for a build any more: its workflows are moved",
        );
      }
    },
  };
}
