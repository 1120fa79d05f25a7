// The worker's deployment in Temporal: who works for which build, which is current, and moving workflows from one build to another.

/*
 * Temporal lists who polled a task queue within the last minutes, also those that have gone since, and knows nothing of pods that are
 * told to go and poll on. So a worker that leaves writes it down, in the metadata of its build's version.
 */
import { type Client, type ConnectionLike, defaultPayloadConverter } from "@temporalio/client";
import type { Roster } from "./builds.js";

type Versions = Awaited<ReturnType<ConnectionLike["workflowService"]["describeWorkerDeploymentVersion"]>>;
type Time = { readonly seconds?: unknown; readonly nanos?: number | null } | null | undefined;

/** Told in a worker's last words. */
interface Mark {
  readonly state: "leaving" | "left";
  readonly atMs: number;
}

export interface Look extends Roster {
  /** Builds that took new workflows once and may have some open, whether anybody works for them or not. */
  readonly builds: readonly string[];
  /** Marks of workers that have long gone, by build. */
  readonly stale: ReadonlyMap<string, readonly string[]>;
  /** Of what was seen: a change by somebody else in between makes ours fail. */
  readonly token: Uint8Array | undefined;
}

export interface Moves {
  readonly moved: number;
  readonly failed: number;
  /** Of the last one that failed. */
  readonly err: unknown;
}

export interface DeploymentPlace {
  readonly namespace: string;
  readonly deploymentName: string;
  readonly taskQueue: string;
}

export type Deployment = ReturnType<typeof deploymentAt>;

/** A poll is answered within a minute and begins anew: who was not heard of for longer is gone. */
const goneAfterMs = 75_000;
const forgottenAfterMs = 3_600_000;
const withinMs = 10_000;
/** Whoever changes the current build under a name of this kind is a worker, and no person. */
const identityOf = (name: string): string => `onsale worker ${name}`;
const keyOf = (name: string): string => `worker/${name}`;

/** gRPC's NOT_FOUND. */
const isUnknown = (error: unknown): boolean => (error as { code?: unknown }).code === 5;

/** Each call is bounded, and rejects when Temporal does not answer. */
export function deploymentAt(connection: ConnectionLike, { namespace, deploymentName, taskQueue }: DeploymentPlace) {
  const { workflowService } = connection;
  const bounded = <Answer>(call: () => Promise<Answer>, ms = withinMs) =>
    connection.withDeadline(Date.now() + ms, call);
  const versionOf = (buildId: string) => ({ deploymentName, buildId });
  const openOf = (buildId: string) =>
    `TemporalWorkerDeploymentVersion = "${deploymentName}:${buildId}" AND ExecutionStatus = "Running"`;

  /** By name. A build that Temporal does not know has none. */
  async function marksOf(buildId: string): Promise<Map<string, Mark>> {
    const described: Versions | undefined = await bounded(() =>
      workflowService.describeWorkerDeploymentVersion({ namespace, deploymentVersion: versionOf(buildId) }),
    ).catch((error: unknown) => {
      if (isUnknown(error)) return undefined;
      throw error;
    });
    const entries = Object.entries(described?.workerDeploymentVersionInfo?.metadata?.entries ?? {});
    return new Map(
      entries
        .filter(([key]) => key.startsWith(keyOf("")))
        .map(([key, payload]) => [key.slice(keyOf("").length), defaultPayloadConverter.fromPayload<Mark>(payload)]),
    );
  }

  async function unmark(buildId: string, names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await bounded(() =>
      workflowService.updateWorkerDeploymentVersionMetadata({
        namespace,
        deploymentVersion: versionOf(buildId),
        removeEntries: names.map(keyOf),
      }),
    );
  }

  /** Those that were heard of lately, with what they said; and what those said who have long gone. */
  async function heardOf(): Promise<Pick<Look, "workers" | "stale">> {
    const { pollers } = await bounded(() =>
      workflowService.describeTaskQueue({ namespace, taskQueue: { name: taskQueue }, taskQueueType: 1 }),
    );
    const lately = (pollers ?? []).flatMap(({ identity, lastAccessTime, deploymentOptions: of }) =>
      of?.deploymentName === deploymentName && Date.now() - msOf(lastAccessTime) < goneAfterMs
        ? [{ name: identity ?? "", buildId: of.buildId ?? "" }]
        : [],
    );
    const builds = [...new Set(lately.map(({ buildId }) => buildId))];
    const marks = new Map(await Promise.all(builds.map(async (one) => [one, await marksOf(one)] as const)));
    const names = new Set(lately.map(({ name }) => name));
    const isStale = ([name, { atMs }]: [string, Mark]) => !names.has(name) && Date.now() - atMs > forgottenAfterMs;
    return {
      workers: lately.map(({ name, buildId }) => {
        const mark = marks.get(buildId)?.get(name);
        return { name, buildId, state: mark?.state ?? "staying", toldAtMs: mark?.atMs };
      }),
      stale: new Map([...marks].map(([buildId, told]) => [buildId, [...told].filter(isStale).map(([name]) => name)])),
    };
  }

  return {
    async look(): Promise<Look> {
      const [described, heard] = await Promise.all([
        bounded(() => workflowService.describeWorkerDeployment({ namespace, deploymentName })).catch((error) => {
          if (isUnknown(error)) return undefined;
          throw error;
        }),
        heardOf(),
      ]);
      const info = described?.workerDeploymentInfo;
      const routing = info?.routingConfig;
      const modifier = info?.lastModifierIdentity ?? "";
      return {
        current: routing?.currentDeploymentVersion?.buildId ?? undefined,
        chosenAtMs:
          modifier === "" || modifier.startsWith(identityOf("")) ? undefined : msOf(routing?.currentVersionChangedTime),
        ...heard,
        builds: (info?.versionSummaries ?? [])
          .filter(({ firstActivationTime, drainageStatus }) => firstActivationTime && drainageStatus !== drained)
          .map(({ deploymentVersion }) => deploymentVersion?.buildId ?? ""),
        token: described?.conflictToken ?? undefined,
      };
    },

    /** Says that a worker leaves. */
    async mark(buildId: string, name: string, state: Mark["state"], ms?: number): Promise<void> {
      const mark: Mark = { state, atMs: Date.now() };
      await bounded(
        () =>
          workflowService.updateWorkerDeploymentVersionMetadata({
            namespace,
            deploymentVersion: versionOf(buildId),
            upsertEntries: { [keyOf(name)]: defaultPayloadConverter.toPayload(mark) },
          }),
        ms,
      );
    },

    /** A process of this name has started anew: what the one before it said is void. */
    async comeBack(buildId: string, name: string, startedAtMs: number): Promise<void> {
      const mark = (await marksOf(buildId)).get(name);
      if (mark && mark.atMs < startedAtMs) await unmark(buildId, [name]);
    },

    async forgetStale({ stale }: Look): Promise<void> {
      for (const [buildId, names] of stale) await unmark(buildId, names);
    },

    /** Rejects if the deployment has changed since that look. */
    async makeCurrent(buildId: string, name: string, { token }: Look): Promise<void> {
      await bounded(() =>
        workflowService.setWorkerDeploymentCurrentVersion({
          namespace,
          deploymentName,
          buildId,
          identity: identityOf(name),
          ...(token && { conflictToken: token }),
        }),
      );
    },

    async countOpen(buildId: string): Promise<number> {
      const query = openOf(buildId);
      const { count } = await bounded(() => workflowService.countWorkflowExecutions({ namespace, query }));
      return Number(count);
    },

    /** Has what is open of one build go on with another, and answers how many. One that has ended meanwhile is neither. */
    async move(client: Client, from: string, to: string): Promise<Moves> {
      let [moved, failed] = [0, 0];
      let err: unknown;
      for await (const { workflowId, runId } of client.workflow.list({ query: openOf(from) })) {
        try {
          await bounded(() =>
            workflowService.updateWorkflowExecutionOptions({
              namespace,
              workflowExecution: { workflowId, runId },
              workflowExecutionOptions: {
                versioningOverride: { pinned: { behavior: pinnedBehaviour, version: versionOf(to) } },
              },
              updateMask: { paths: ["versioning_override"] },
            }),
          );
          moved += 1;
        } catch (error) {
          if (isUnknown(error)) continue;
          failed += 1;
          err = error;
        }
      }
      return { moved, failed, err };
    },
  };
}

/** temporal.api.workflow.v1.VersioningOverride.PinnedOverrideBehavior.PINNED_OVERRIDE_BEHAVIOR_PINNED; see search-attributes.ts. */
const pinnedBehaviour = 1;
/** temporal.api.enums.v1.VersionDrainageStatus.VERSION_DRAINAGE_STATUS_DRAINED. */
const drained = 2;

const msOf = (time: Time): number => Number(time?.seconds ?? 0) * 1_000 + (time?.nanos ?? 0) / 1e6;
