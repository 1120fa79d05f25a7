// The Temporal worker: connects, registers what the server must know, polls, and starts over if that breaks.
import { readdir, readFile, stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { PayloadEncryption } from "@onsale/kit/payload-encryption";
import { type TemporalConnection, temporalConnectionProblem } from "@onsale/kit/temporal";
import { Client, ScheduleNotFoundError, WorkflowNotFoundError } from "@temporalio/client";
import {
  type InjectedSinks,
  type LogLevel,
  NativeConnection,
  Runtime,
  Worker,
  type WorkerOptions,
} from "@temporalio/worker";
import type { ClosedBooks } from "./books/gauges.js";
import { bundlePath, bundleWorkflows, hashOf } from "./bundle.js";
import { booksScheduleId, type CloseBooksInput, type CloseBooksResult, workflowTypes } from "./contract.js";
import { deploymentAt } from "./deployment.js";
import type { CountEnd } from "./ends.js";
import { type BooksTime, ensureBooksSchedule, ensureOrphansSchedule, ensureReconcileSchedule } from "./schedule.js";
import { registerSearchAttributes } from "./search-attributes.js";
import type { Steps } from "./steps.js";
import { keepSuccession, type SuccessionMetrics, type Successor } from "./succession.js";
import { traceActivities, traceSinks } from "./traces.js";
import type { EndSinks } from "./workflows/count-ends.js";

export interface WorkerSettings {
  readonly connection: TemporalConnection;
  readonly namespace: string;
  /** Undefined: payloads are stored as they are. */
  readonly encryption?: PayloadEncryption | undefined;
  readonly taskQueue: string;
  readonly maxCachedWorkflows: number;
  readonly shutdownGraceMs: number;
  /** How Temporal and the other workers know this one. */
  readonly name: string;
  /** Undefined: no versioning, any build takes any workflow. */
  readonly versioning?: Versioning | undefined;
  readonly buildId?: string | undefined;
  /** 0: no such schedule is made. */
  readonly reconcileEverySeconds: number;
  /** 0: no such schedule is made. */
  readonly orphansEverySeconds: number;
  readonly orphansAfterSeconds: number;
  /** Undefined: no such schedule is made. */
  readonly booksAt?: BooksTime | undefined;
  /** As the schedule closes them. */
  readonly books: CloseBooksInput;
  /** The workflows' code, when it isn't to be read from the bundle built ahead. */
  readonly code?: string | undefined;
  /** Told when a workflow has ended. */
  readonly onEnded: CountEnd;
}

export interface Versioning extends Pick<Successor, "promote" | "steadyMs"> {
  readonly deploymentName: string;
  readonly metrics: SuccessionMetrics;
}

/** What the steps may ask of Temporal itself. */
export interface TemporalView {
  /** Is the execution of this workflow id open? */
  isWorkflowRunning(workflowId: string): Promise<boolean>;
}

export interface RunningWorker {
  /** Polling, and Temporal answers. */
  ready(): Promise<boolean>;
  /** How many workflows a query of Temporal's visibility finds. Rejects while Temporal does not answer. */
  count(query: string): Promise<number>;
  /** What the books came to the last time, of their usual time or of everything; undefined: nobody wants them closed. */
  lastBooks(): Promise<ClosedBooks | undefined>;
  /**
   * What the newest workflow of this type, of this worker's task queue, that completed has answered; undefined: none has. Rejects while
   * Temporal does not answer.
   */
  lastResult(workflowType: string): Promise<unknown>;
  /** Takes no more work, and waits for what it has. */
  stop(): Promise<void>;
}

const retryDelayMs = 2_000;
const leaveWithinMs = 2_000;

/** Returns at once; the server may come up later. */
export function startWorker(
  settings: WorkerSettings,
  createSteps: (temporal: TemporalView) => Steps,
  log: Logger,
): RunningWorker {
  const startedAtMs = Date.now();
  const stopping = new AbortController();
  let current: { worker: Worker; connection: NativeConnection; leave(): Promise<void> } | undefined;
  const steps = createSteps({
    isWorkflowRunning: (workflowId) => {
      if (!current) throw new DomainError("UNAVAILABLE", "Temporal can't be reached right now.");
      return isWorkflowRunning(current.connection, settings.namespace, workflowId);
    },
  });

  async function runOnce(): Promise<void> {
    const polls = new AbortController();
    const connection = await NativeConnection.connect(settings.connection);
    try {
      await registerSearchAttributes(connection.operatorService, settings.namespace);
      void keepSchedules(connection, settings, log);
      const code = settings.code ?? (await workflowCode(log));
      const buildId = settings.buildId ?? hashOf(code);
      const worker = await Worker.create(workerOptions(settings, connection, code, buildId, steps));
      if (stopping.signal.aborted) return;
      const running = worker.run();
      log.info({ taskQueue: settings.taskQueue, buildId, versioning: settings.versioning !== undefined }, "polling");
      current = {
        worker,
        connection,
        leave: joinBuild(connection, settings, { buildId, startedAtMs }, log, polls.signal),
      };
      await running;
    } finally {
      current = undefined;
      polls.abort();
      await connection.close();
    }
  }

  async function runUntilStopped(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await runOnce();
      } catch (err) {
        if (!stopping.signal.aborted)
          log.warn(
            { err, address: settings.connection.address },
            temporalConnectionProblem(err) ?? "not connected to Temporal; tries again",
          );
      }
      await delay(retryDelayMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  }

  const ended = runUntilStopped();
  return {
    ready: async () => {
      if (current?.worker.getState() !== "RUNNING") return false;
      const { connection } = current;
      return connection
        .withDeadline(Date.now() + 1_000, () => connection.workflowService.getSystemInfo({}))
        .then(
          () => true,
          () => false,
        );
    },
    count: async (query) => {
      if (!current) throw new DomainError("UNAVAILABLE", "Temporal can't be reached right now.");
      const { connection } = current;
      const { namespace } = settings;
      const found = await connection.withDeadline(Date.now() + 10_000, () =>
        connection.workflowService.countWorkflowExecutions({ namespace, query }),
      );
      return Number(found.count);
    },
    lastBooks: async () => {
      if (!current) throw new DomainError("UNAVAILABLE", "Temporal can't be reached right now.");
      const { connection } = current;
      const client = new Client({ connection, namespace: settings.namespace, ...converterOf(settings) });
      return connection.withDeadline(Date.now() + 10_000, () => lastBooks(client, settings.taskQueue));
    },
    lastResult: async (workflowType) => {
      if (!current) throw new DomainError("UNAVAILABLE", "Temporal can't be reached right now.");
      const { connection } = current;
      const { namespace, taskQueue } = settings;
      const { workflow } = new Client({ connection, namespace, ...converterOf(settings) });
      const query = `WorkflowType = "${workflowType}" AND TaskQueue = "${taskQueue}" AND ExecutionStatus = "Completed"`;
      return connection.withDeadline(Date.now() + 10_000, async () => {
        // Visibility lists the newest first.
        for await (const { workflowId, runId } of workflow.list({ query, pageSize: 1 }))
          return workflow.getHandle(workflowId, runId, { followRuns: false }).result();
        return undefined;
      });
    },
    stop: async () => {
      stopping.abort();
      await current?.leave();
      if (current?.worker.getState() === "RUNNING") current.worker.shutdown();
      await ended;
    },
  };
}

/** Takes part in deciding which build is current until the signal, or it leaves. */
function joinBuild(
  connection: NativeConnection,
  { namespace, taskQueue, versioning, name }: WorkerSettings,
  { buildId, startedAtMs }: Pick<Successor, "buildId" | "startedAtMs">,
  log: Logger,
  signal: AbortSignal,
): () => Promise<void> {
  if (!versioning) return async () => undefined;
  const { deploymentName, promote, steadyMs, metrics } = versioning;
  const leaving = new AbortController();
  const deployment = deploymentAt(connection, { namespace, deploymentName, taskQueue });
  const client = new Client({ connection, namespace });
  const successor = { name, buildId, promote, steadyMs, startedAtMs };
  void keepSuccession(deployment, client, successor, metrics, log, AbortSignal.any([signal, leaving.signal]));
  return async () => {
    leaving.abort();
    // Others need not wait then until they see that nobody polls. A worker that can't say so leaves all the same.
    await deployment
      .mark(buildId, name, "left", leaveWithinMs)
      .catch((err) => log.debug({ err }, "could not say that this worker leaves"));
  };
}

/** Checkouts don't wait for them, nor fail with them. */
async function keepSchedules(connection: NativeConnection, settings: WorkerSettings, log: Logger): Promise<void> {
  const { namespace, taskQueue, reconcileEverySeconds, orphansEverySeconds, orphansAfterSeconds, booksAt, books } =
    settings;
  const client = new Client({ connection, namespace, ...converterOf(settings) });
  try {
    if (reconcileEverySeconds > 0) await ensureReconcileSchedule(client, taskQueue, reconcileEverySeconds);
    if (orphansEverySeconds > 0)
      await ensureOrphansSchedule(client, taskQueue, orphansEverySeconds, {
        settledAfterMs: orphansAfterSeconds * 1_000,
      });
    if (booksAt) await ensureBooksSchedule(client, taskQueue, booksAt, books);
  } catch (err) {
    log.warn({ err }, "a schedule could not be made; the next start tries again");
  }
}

function workerOptions(
  settings: WorkerSettings,
  connection: NativeConnection,
  code: string,
  buildId: string,
  activities: Steps,
): WorkerOptions {
  const { namespace, taskQueue, name, maxCachedWorkflows, shutdownGraceMs, versioning, onEnded } = settings;
  const deploymentName = versioning?.deploymentName ?? "onsale-checkout";
  return {
    connection,
    namespace,
    taskQueue,
    identity: name,
    activities,
    workflowBundle: { code },
    ...converterOf(settings),
    interceptors: { activity: [traceActivities] },
    sinks: { ...endSinks(onEnded), ...traceSinks },
    maxCachedWorkflows,
    reuseV8Context: true,
    shutdownGraceTime: shutdownGraceMs,
    workerDeploymentOptions: versioning
      ? {
          version: { deploymentName, buildId },
          useWorkerVersioning: true,
          // Each of the workflows ends within minutes, so none needs to change builds halfway.
          defaultVersioningBehavior: "PINNED",
        }
      : { version: { deploymentName, buildId }, useWorkerVersioning: false },
  };
}

const converterOf = ({ encryption }: WorkerSettings) =>
  encryption ? { dataConverter: { payloadCodecs: [encryption] } } : {};

const endSinks = (onEnded: CountEnd): InjectedSinks<EndSinks> => ({
  ends: { ended: { fn: (_, ...ended) => onEnded(...ended), callDuringReplay: false } },
});

/** The bundle built ahead; without one, or with one older than the code beside it, a new one, which takes some seconds. */
async function workflowCode(log: Logger): Promise<string> {
  if (await isFresh()) return readFile(bundlePath, "utf8");
  log.info("bundles the workflows' code: no bundle was built ahead, or the code has changed since");
  return bundleWorkflows();
}

async function isFresh(): Promise<boolean> {
  const changed = async (path: URL | string) => (await stat(path)).mtimeMs;
  try {
    const bundled = await changed(bundlePath);
    const folders = ["./", "./books/", "./workflows/"].map((folder) => new URL(folder, import.meta.url));
    for (const folder of folders)
      for (const file of await readdir(folder))
        if (/\.[jt]s$/.test(file) && (await changed(new URL(file, folder))) > bundled) return false;
    return true;
  } catch {
    return false;
  }
}

async function isWorkflowRunning(
  connection: NativeConnection,
  namespace: string,
  workflowId: string,
): Promise<boolean> {
  try {
    const { status } = await new Client({ connection, namespace }).workflow.getHandle(workflowId).describe();
    return status.name === "RUNNING";
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** Results stay as they are: each is read once. */
const readBooks = new Map<string, CloseBooksResult>();
/** So many that somebody asked for, of a time of their choice, may lie before one that counts. */
const mostBooks = 20;

async function lastBooks({ workflow, schedule }: Client, taskQueue: string): Promise<ClosedBooks | undefined> {
  const query = `WorkflowType = "${workflowTypes.closeBooks}" AND TaskQueue = "${taskQueue}" AND ExecutionStatus = "Completed"`;
  const closed: { workflowId: string; runId: string; closedAtMs: number }[] = [];
  for await (const { workflowId, runId, closeTime } of workflow.list({ query, pageSize: mostBooks })) {
    closed.push({ workflowId, runId, closedAtMs: closeTime?.getTime() ?? 0 });
    if (closed.length === mostBooks) break;
  }
  for (const { workflowId, runId, closedAtMs } of closed.sort((a, b) => b.closedAtMs - a.closedAtMs)) {
    const result = readBooks.get(runId) ?? ((await workflow.getHandle(workflowId, runId).result()) as CloseBooksResult);
    readBooks.set(runId, result);
    for (const oldest of [...readBooks.keys()].slice(0, -2 * mostBooks)) readBooks.delete(oldest);
    if (result.scope !== "chosen") return { closedAtMs, result };
  }
  try {
    const { info } = await schedule.getHandle(booksScheduleId(taskQueue)).describe();
    return { closedAtMs: info.createdAt.getTime(), result: undefined };
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return undefined;
    throw error;
  }
}

let installed = false;

/** Once a process, before the first worker: Temporal's own logs go to ours, and signals stay with the lifecycle. */
export function installRuntime(log: Logger, metricsListen: string | undefined): void {
  if (installed) return;
  installed = true;
  Runtime.install({
    shutdownSignals: [],
    logger: temporalLogger(log),
    telemetryOptions: {
      logging: { forward: {}, filter: { core: "WARN", other: "ERROR" } },
      ...(metricsListen && {
        metrics: {
          prometheus: { bindAddress: metricsListen, countersTotalSuffix: true, useSecondsForDurations: true },
        },
      }),
    },
  });
}

function temporalLogger(log: Logger) {
  const write = (level: LogLevel, message: string, meta?: Readonly<Record<string | symbol, unknown>>) => {
    const { error, ...rest } = (meta ?? {}) as { error?: unknown } & Record<string, unknown>;
    log[level.toLowerCase() as Lowercase<LogLevel>]({ ...rest, ...(error !== undefined && { err: error }) }, message);
  };
  const at =
    (level: LogLevel) =>
    (message: string, meta?: Readonly<Record<string | symbol, unknown>>): void =>
      write(level, message, meta);
  return {
    log: write,
    trace: at("TRACE"),
    debug: at("DEBUG"),
    info: at("INFO"),
    warn: at("WARN"),
    error: at("ERROR"),
  };
}
