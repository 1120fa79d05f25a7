// How a service process starts: configuration, log, metrics, lifecycle and the operators' port, then the service itself.
import { setTimeout as sleep } from "node:timers/promises";
import type { z } from "zod";
import { processSettings, readConfig } from "./config.js";
import { DomainError } from "./errors.js";
import { readTrust, type Trust } from "./grpc-trust.js";
import { createLifecycle, type Lifecycle, processLifecycle, startOpsServer } from "./lifecycle.js";
import { createLogger, type Logger } from "./log.js";
import { createMetrics, type Metrics } from "./metrics.js";
import { isTraced, spanFields, startTracing } from "./tracing.js";

export interface ServiceContext<Config> {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly lifecycle: Lifecycle;
  readonly trust: Trust;
}

type Settings<Shape extends z.ZodRawShape> = z.infer<z.ZodObject<typeof processSettings & Shape>>;
export type ContextOf<Shape extends z.ZodRawShape> = ServiceContext<Settings<Shape>>;

export interface RunningService {
  /** The port that was bound. */
  readonly port: number;
  /** Can it serve now? Asked by /readyz. */
  ready(): Promise<boolean> | boolean;
}

type Env = Readonly<Record<string, string | undefined>>;

/** For tests, which start a service inside their own process and stop it with `context.lifecycle.stop("test")`. */
export function createContext<Shape extends z.ZodRawShape>(name: string, shape: Shape, env: Env): ContextOf<Shape> {
  return contextFrom(name, shape, env, (log) => createLifecycle({ log, partTimeoutSeconds: 10 }));
}

function contextFrom<Shape extends z.ZodRawShape>(
  name: string,
  shape: Shape,
  env: Env,
  lifecycleFor: (log: Logger, graceSeconds: number) => Lifecycle,
): ContextOf<Shape> {
  const config = readConfig({ ...processSettings, ...shape }, env) as Settings<Shape>;
  const common = config as z.infer<z.ZodObject<typeof processSettings>>;
  const log = createLogger(name, common.LOG_LEVEL, undefined, isTraced(common) ? spanFields : undefined);
  const lifecycle = lifecycleFor(log, common.SHUTDOWN_GRACE_SECONDS);
  let trust: Trust | undefined;
  return {
    config,
    log,
    metrics: createMetrics(name),
    lifecycle,
    // Read by those who speak gRPC: a process that does not (the storefront) needs no secret for it, in production neither.
    get trust() {
      trust ??= readTrust(common);
      return trust;
    },
  };
}

/**
 * Does what must be done before a service may serve (indexes, keys), again until its stores answer: they may come up later
 * than we do. Whatever is not UNAVAILABLE is thrown: waiting would not mend it.
 */
export async function prepareWhenAvailable(
  { log, lifecycle }: Pick<ServiceContext<unknown>, "log" | "lifecycle">,
  prepare: () => Promise<unknown>,
  pauseMs = 500,
): Promise<void> {
  for (let waiting = false; lifecycle.running(); waiting = true) {
    try {
      await prepare();
      return;
    } catch (err) {
      if (!(err instanceof DomainError && err.code === "UNAVAILABLE")) throw err;
      if (!waiting) log.warn({ err }, "a store does not answer yet: waiting for it");
      await sleep(pauseMs);
    }
  }
  throw new Error("The process was stopped before its stores answered.");
}

/** Runs a service as this process until a signal ends it. A start that fails says why and exits with 1. */
export async function runProcess<Shape extends z.ZodRawShape>(
  name: string,
  shape: Shape,
  start: (context: ContextOf<Shape>) => Promise<RunningService>,
): Promise<void> {
  let context: ContextOf<Shape>;
  try {
    context = contextFrom(name, shape, process.env, processLifecycle);
  } catch (error) {
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
  const { log, lifecycle, metrics } = context;
  const common = context.config as z.infer<z.ZodObject<typeof processSettings>>;
  try {
    // First, so that it stops last, and whatever is opened from here on is traced.
    const tracing = await startTracing(name, common, log);
    if (tracing) lifecycle.onStop("tracing", () => tracing.stop());
    let service: RunningService | undefined;
    const ops = await startOpsServer({
      listen: common.OPS_LISTEN,
      metrics,
      ready: async () => service !== undefined && lifecycle.running() && (await service.ready()),
    });
    lifecycle.onStop("ops server", () => ops.stop());
    service = await start(context);
    log.info({ port: service.port, opsPort: ops.port }, "ready");
  } catch (err) {
    log.fatal({ err }, "could not start");
    await lifecycle.stop("start failed", 1);
  }
}
