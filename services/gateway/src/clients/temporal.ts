// The gateway's line to Temporal: starts, looks at, updates and signals workflows, each within a bound. Knows no checkout.
import { randomUUID } from "node:crypto";
import { status as Grpc } from "@grpc/grpc-js";
import { DomainError, isRefusalCode, type RefusalDetails } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { PayloadEncryption } from "@onsale/kit/payload-encryption";
import { type TemporalConnection, temporalConnectionProblem } from "@onsale/kit/temporal";
import { currentSpan, traced, tracing } from "@onsale/kit/tracing";
import { traceHeader } from "@onsale/workflows/contract";
import {
  Client,
  Connection,
  type Headers,
  isGrpcServiceError,
  NamespaceNotFoundError,
  type WorkflowClientInterceptor,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from "@temporalio/client";
import {
  ApplicationFailure,
  defaultPayloadConverter,
  defineSearchAttributeKey,
  SearchAttributeType,
  TypedSearchAttributes,
} from "@temporalio/common";

export interface Start {
  readonly type: string;
  readonly workflowId: string;
  readonly taskQueue: string;
  readonly input: unknown;
  /** Keyword search attributes. */
  readonly attributes?: Readonly<Record<string, string>>;
  readonly summary?: string;
  readonly details?: string;
  /** May a closed workflow of this id be followed by another? No, unless said so. */
  readonly mayRepeat?: boolean;
}

export type Started =
  /** It runs: started now or before. */
  | { readonly kind: "running" }
  /** It ran, and has closed. */
  | { readonly kind: "closed" }
  /** It does not run, for certain. */
  | { readonly kind: "not-started"; readonly cause: unknown }
  /** It may run. */
  | { readonly kind: "unknown"; readonly cause: unknown };

export interface Description {
  readonly open: boolean;
  /** COMPLETED when it returned; FAILED, TERMINATED, TIMED_OUT, CANCELLED, … otherwise. */
  readonly status: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** Has an operator reset it, so that an earlier run may have come to an end? */
  readonly again: boolean;
  /** By Temporal's clock, as is the next. */
  readonly startedAtMs: number;
  /** Undefined while it is open. */
  readonly closedAtMs: number | undefined;
}

export interface Execution {
  readonly workflowId: string;
  readonly status: string;
  readonly startedAtMs: number;
  /** undefined: it runs. */
  readonly closedAtMs: number | undefined;
}

export type Outcome<Result> =
  | { readonly kind: "done"; readonly result: Result }
  /** Taken, and not decided within the wait. */
  | { readonly kind: "pending" }
  /** The workflow has closed, or never was. */
  | { readonly kind: "gone" };

export type Temporal = ReturnType<typeof openLine>;

type HistoryAnswer = Awaited<ReturnType<Client["workflow"]["workflowService"]["getWorkflowExecutionHistory"]>>;
export type HistoryEvent = NonNullable<NonNullable<HistoryAnswer["history"]>["events"]>[number];

export interface TemporalSettings {
  readonly connection: TemporalConnection;
  readonly namespace: string;
  /** The same keys as the workers'. Undefined: payloads are stored as they are. */
  readonly encryption?: PayloadEncryption | undefined;
  /** Connects at once, and says in the log what is wrong if something is: whoever set it up reads it there. */
  readonly eager?: boolean;
  readonly log: Logger;
}

const briefMs = 3_000;
/** So long a workflow that is about to close may take nothing: until its task has timed out, should its worker have died. */
const closingMs = 12_000;

export const connectTemporal = (settings: TemporalSettings): Temporal => traceCalls(openLine(settings));

function openLine({ connection: how, namespace, encryption, eager, log }: TemporalSettings) {
  const connection = Connection.lazy({
    ...how,
    // Retries are made here, where it is known whether the first try may have had an effect.
    interceptors: [],
    channelArgs: { "grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1_000 },
  });
  // A call, rather than a wait for the connection: only a call says why there is none.
  if (eager)
    connection
      .withDeadline(Date.now() + 5_000, () => connection.workflowService.getSystemInfo({}))
      .catch((err: unknown) => {
        const problem = temporalConnectionProblem(err);
        log.warn({ err }, problem ?? "Temporal does not answer yet; it is asked again when it is needed");
      });
  const { workflow: client } = new Client({
    connection,
    namespace,
    ...(encryption && { dataConverter: { payloadCodecs: [encryption] } }),
    ...(tracing() && { interceptors: { workflow: [tellingTrace] } }),
  });
  const within = <Result>(ms: number, work: () => Promise<Result>): Promise<Result> =>
    connection.withDeadline(Date.now() + ms, work);
  const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);

  async function startOnce(start: Start, ms: number): Promise<Started> {
    const pairs = Object.entries(start.attributes ?? {}).map(([name, value]) => ({ key: keyword(name), value }));
    try {
      await within(ms, () =>
        client.start(start.type, {
          workflowId: start.workflowId,
          taskQueue: start.taskQueue,
          args: [start.input],
          workflowIdReusePolicy: start.mayRepeat ? "ALLOW_DUPLICATE" : "REJECT_DUPLICATE",
          workflowIdConflictPolicy: "USE_EXISTING",
          typedSearchAttributes: new TypedSearchAttributes(pairs),
          ...(start.summary === undefined ? {} : { staticSummary: start.summary }),
          ...(start.details === undefined ? {} : { staticDetails: start.details }),
        }),
      );
      return { kind: "running" };
    } catch (cause) {
      if (cause instanceof WorkflowExecutionAlreadyStartedError) return { kind: "closed" };
      return isDefinite(cause) ? { kind: "not-started", cause } : { kind: "unknown", cause };
    }
  }

  async function describe(workflowId: string): Promise<Description | undefined> {
    try {
      const found = await within(briefMs, () => client.getHandle(workflowId).describe());
      const attributes: Record<string, string> = {};
      for (const { key, value } of found.typedSearchAttributes.getAll())
        if (typeof value === "string") attributes[key.name] = value;
      const { runId, startTime, closeTime, raw } = found;
      const firstRunId = raw.workflowExecutionInfo?.firstRunId || runId;
      return {
        open: found.status.name === "RUNNING",
        status: found.status.name,
        attributes,
        again: firstRunId !== runId,
        startedAtMs: startTime.getTime(),
        closedAtMs: closeTime?.getTime(),
      };
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return undefined;
      throw broken(error);
    }
  }

  /** Tries what does no more harm twice than once again, for as long as what it failed with is bound to pass. */
  async function patiently<Result>(ms: number, signal: AbortSignal | undefined, work: () => Promise<Result>) {
    const begun = Date.now();
    for (let pauseMs = 50; ; pauseMs = Math.min(2 * pauseMs, 500)) {
      try {
        return await work();
      } catch (error) {
        const patienceMs = isBusy(error) ? ms : isAway(error) ? Math.min(ms, briefMs) : 0;
        if (signal?.aborted || Date.now() - begun + pauseMs >= patienceMs) throw error;
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    }
  }

  return {
    /**
     * Starts a workflow, or finds it running. Tried a few times within the budget; the start is the same each time
     * (by id), so that a try whose answer was lost is met by the next.
     */
    async start(start: Start, budgetMs = 6_000): Promise<Started> {
      const end = Date.now() + budgetMs;
      let mayRun = false;
      for (let attempt = 1; ; attempt++) {
        const left = end - Date.now();
        const started = await startOnce(start, Math.min(2_500, Math.max(left, 250)));
        if (started.kind === "running" || started.kind === "closed") return started;
        log.warn({ err: started.cause, workflowId: start.workflowId, attempt, kind: started.kind }, "a start failed");
        mayRun ||= started.kind === "unknown";
        const pauseMs = 100 * 2 ** attempt;
        if (
          attempt >= 4 ||
          Date.now() + pauseMs >= end ||
          (started.kind === "not-started" && !isPassing(started.cause))
        )
          return { kind: mayRun ? "unknown" : "not-started", cause: started.cause };
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      }
    },

    /** undefined: there is no such workflow, or it was forgotten after its retention. */
    describe,

    /** Asks a running workflow; needs a worker. */
    async query<Result>(workflowId: string, name: string): Promise<Result> {
      try {
        return await within(briefMs, () => client.getHandle(workflowId).query<Result>(name));
      } catch (error) {
        throw broken(error);
      }
    },

    /** What a workflow returned; needs no worker. Pending when it has not returned within the wait. */
    async result<Result>(workflowId: string, waitMs = briefMs, signal?: AbortSignal): Promise<Outcome<Result>> {
      try {
        const result = await waiting(waitMs, signal, () => client.getHandle(workflowId).result());
        return { kind: "done", result: result as Result };
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return { kind: "gone" };
        if (isTimeout(error)) return { kind: "pending" };
        if (error instanceof WorkflowFailedError) throw refusalOf(error.cause) ?? broken(error);
        throw broken(error);
      }
    },

    /** What it was started with; needs no worker. */
    async input<Input>(workflowId: string): Promise<Input> {
      try {
        const { history } = await within(briefMs, () =>
          client.workflowService.getWorkflowExecutionHistory({
            namespace,
            execution: { workflowId },
            maximumPageSize: 1,
          }),
        );
        const payload = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0];
        if (!payload) throw new Error("the history begins without an input");
        const [readable = payload] = encryption ? await encryption.decode([payload]) : [];
        return defaultPayloadConverter.fromPayload(readable) as Input;
      } catch (error) {
        throw broken(error);
      }
    },

    /**
     * Sends an Update and waits for its outcome. The same updateId is the same Update, also in the run that follows a Reset: Temporal
     * brings it there, or else it is sent there anew.
     * Refusals: what the workflow refuses with; DEADLINE_EXCEEDED when no worker took it in time, and whether one will is unknown.
     */
    async update<Result>(
      workflowId: string,
      name: string,
      update: { updateId: string; input: readonly unknown[]; waitMs: number; signal?: AbortSignal },
    ): Promise<Outcome<Result>> {
      const handle = client.getHandle(workflowId);
      const { signal } = update;
      const end = Date.now() + update.waitMs;
      const left = () => end - Date.now();
      let accepted = false;
      const outcome = async (): Promise<Result> => {
        const started = await waiting(left(), signal, () =>
          handle.startUpdate<Result, [unknown, ...unknown[]]>(name, {
            updateId: update.updateId,
            args: update.input as [unknown, ...unknown[]],
            waitForStage: "ACCEPTED",
          }),
        );
        accepted = true;
        return (await waiting(left(), signal, () => started.result())) as Result;
      };
      for (;;) {
        try {
          return { kind: "done", result: await patiently(left(), signal, outcome) };
        } catch (error) {
          // The run that had it has closed. After a Reset another one goes on.
          if (!isGone(error) || signal?.aborted || left() <= 0 || !(await describe(workflowId))?.open)
            return outcomeOf(error, accepted);
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      }
    },

    /** The outcome of an Update that was sent before; needs no worker when it is decided. */
    async updateOutcome<Result>(workflowId: string, updateId: string): Promise<Outcome<Result>> {
      try {
        const handle = client.getHandle(workflowId).getUpdateHandle<Result>(updateId);
        return { kind: "done", result: await waiting(1_000, undefined, () => handle.result()) };
      } catch (error) {
        return outcomeOf(error, true);
      }
    },

    /** False: it has closed, or never was. Throws while it is unknown whether the signal was stored. It may be stored twice. */
    async signal(workflowId: string, name: string): Promise<boolean> {
      try {
        await patiently(closingMs, undefined, () => within(briefMs, () => client.getHandle(workflowId).signal(name)));
        return true;
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return false;
        throw broken(error);
      }
    },

    /**
     * The time by Temporal's clock, which its workflows go by. No call tells it, so something is made there that has a time: an
     * execution that nobody will ever run, on a queue beside the checkouts' own, forgotten at once (and ended by itself, should this process
     * die meanwhile).
     */
    async time(taskQueue: string): Promise<number> {
      const workflowId = `onsale-clock-${randomUUID()}`;
      try {
        const handle = await within(briefMs, () =>
          client.start("clock", {
            workflowId,
            taskQueue: `${taskQueue}-clock`,
            startDelay: "1 minute",
            workflowExecutionTimeout: "1 second",
          }),
        );
        const { startTime } = await within(briefMs, () => handle.describe());
        return startTime.getTime();
      } catch (error) {
        throw broken(error);
      } finally {
        const workflowExecution = { workflowId };
        within(briefMs, () => client.workflowService.deleteWorkflowExecution({ namespace, workflowExecution })).catch(
          () => undefined, // it ends by itself
        );
      }
    },

    /** How many executions match, as Temporal's visibility store knows: some seconds behind, and only within its retention. */
    async count(query: string): Promise<number> {
      try {
        return (await within(briefMs, () => client.count(query))).count;
      } catch (error) {
        throw broken(error);
      }
    },

    /** The newest executions that match, as Temporal's visibility store knows: some seconds behind, and only within its retention. */
    async newest(query: string, most: number): Promise<Execution[]> {
      try {
        return await within(briefMs, async () => {
          const found: Execution[] = [];
          for await (const { workflowId, status, startTime, closeTime } of client.list({ query, pageSize: most })) {
            found.push({
              workflowId,
              status: status.name,
              startedAtMs: startTime.getTime(),
              closedAtMs: closeTime?.getTime(),
            });
            if (found.length === most) break;
          }
          return found.sort((a, b) => b.startedAtMs - a.startedAtMs);
        });
      } catch (error) {
        throw broken(error);
      }
    },

    /** The events of its newest execution, oldest first, up to a bound; undefined: there is no such workflow, or it was forgotten. */
    async history(workflowId: string, most = 1_000): Promise<HistoryEvent[] | undefined> {
      const events: HistoryEvent[] = [];
      try {
        for (let nextPageToken: Uint8Array | undefined; ; ) {
          const page = await within(briefMs, () =>
            client.workflowService.getWorkflowExecutionHistory({
              namespace,
              execution: { workflowId },
              maximumPageSize: Math.min(most - events.length, 500),
              ...(nextPageToken ? { nextPageToken } : {}),
            }),
          );
          events.push(...(page.history?.events ?? []));
          nextPageToken = page.nextPageToken?.length ? page.nextPageToken : undefined;
          if (!nextPageToken || events.length >= most) return events;
        }
      } catch (error) {
        if (grpcStatusOf(error)?.code === Grpc.NOT_FOUND) return undefined;
        throw broken(error);
      }
    },

    close: () => connection.close(),
  };

  /**
   * Waits so long, or until the signal, then gives up as cancelled. The RPC's own deadline lies later: near its end Temporal
   * answers long polls at once, and the client would poll as fast as it can. And the client never takes its listener off
   * a signal; ours lives as long as the process, hence one for each wait in between.
   */
  async function waiting<Result>(
    ms: number,
    signal: AbortSignal | undefined,
    work: () => Promise<Result>,
  ): Promise<Result> {
    const own = new AbortController();
    const giveUp = () => own.abort();
    const timer = setTimeout(giveUp, Math.max(ms, 50));
    if (signal?.aborted) giveUp();
    signal?.addEventListener("abort", giveUp);
    try {
      return await within(ms + 10_000, () => connection.withAbortSignal(own.signal, work));
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", giveUp);
    }
  }
}

// ---- traces

/** A span for each call about a workflow; nothing while tracing is off. */
function traceCalls(line: Temporal): Temporal {
  if (!tracing()) return line;
  const about = (workflowId: string) => ({
    kind: "client" as const,
    attributes: { "temporal.workflow_id": workflowId },
  });
  return {
    ...line,
    start: (start, budgetMs) =>
      traced(`temporal start ${start.type}`, about(start.workflowId), () => line.start(start, budgetMs)),
    describe: (workflowId) => traced("temporal describe", about(workflowId), () => line.describe(workflowId)),
    query: <Result>(workflowId: string, name: string) =>
      traced(`temporal query ${name}`, about(workflowId), () => line.query<Result>(workflowId, name)),
    result: <Result>(workflowId: string, waitMs?: number, signal?: AbortSignal) =>
      traced("temporal result", about(workflowId), () => line.result<Result>(workflowId, waitMs, signal)),
    input: <Input>(workflowId: string) =>
      traced("temporal input", about(workflowId), () => line.input<Input>(workflowId)),
    update: <Result>(workflowId: string, name: string, update: Parameters<Temporal["update"]>[2]) =>
      traced(`temporal update ${name}`, about(workflowId), () => line.update<Result>(workflowId, name, update)),
    updateOutcome: <Result>(workflowId: string, updateId: string) =>
      traced("temporal update outcome", about(workflowId), () => line.updateOutcome<Result>(workflowId, updateId)),
    signal: (workflowId, name) =>
      traced(`temporal signal ${name}`, about(workflowId), () => line.signal(workflowId, name)),
  };
}

/** Tells workflows which span they were started or updated in. */
const tellingTrace: WorkflowClientInterceptor = {
  startWithDetails: (input, next) => next({ ...input, headers: withTrace(input.headers) }),
  startUpdate: (input, next) => next({ ...input, headers: withTrace(input.headers) }),
};

function withTrace(headers: Headers): Headers {
  const span = currentSpan();
  if (!span) return headers;
  return { ...headers, [traceHeader]: defaultPayloadConverter.toPayload({ traceparent: span.traceparent }) };
}

function outcomeOf<Result>(error: unknown, accepted: boolean): Outcome<Result> {
  if (isGone(error)) return { kind: "gone" };
  if (error instanceof WorkflowUpdateFailedError) throw refusalOf(error.cause) ?? broken(error);
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError || isTimeout(error)) {
    if (accepted) return { kind: "pending" };
    throw new DomainError(
      "DEADLINE_EXCEEDED",
      "This was not taken up in time, and whether it still will be is unknown. Sending the same request again, with the same Idempotency-Key if it had one, is safe.",
      {},
      error,
    );
  }
  throw broken(error);
}

/** The run is closed, or never was; or it closed before it decided an Update that it had accepted. */
const isGone = (error: unknown): boolean =>
  error instanceof WorkflowNotFoundError ||
  (error instanceof WorkflowUpdateFailedError &&
    error.cause instanceof ApplicationFailure &&
    error.cause.type === "AcceptedUpdateCompletedWorkflow");

/** The refusal that a workflow's failure carries in its type, if it does. */
function refusalOf(cause: unknown): DomainError | undefined {
  for (let error = cause; error instanceof Error; error = error.cause) {
    if (!(error instanceof ApplicationFailure) || !error.type || !isRefusalCode(error.type)) continue;
    const [details] = (error.details ?? []) as unknown[];
    const facts = typeof details === "object" && details !== null ? (details as RefusalDetails) : {};
    return new DomainError(error.type, error.message, facts, error);
  }
  return undefined;
}

function grpcStatusOf(error: unknown): { code: Grpc; details: string } | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (isGrpcServiceError(cause)) return { code: cause.code, details: cause.details ?? "" };
  return undefined;
}

function isTimeout(error: unknown): boolean {
  const code = grpcStatusOf(error)?.code;
  return code === Grpc.DEADLINE_EXCEEDED || code === Grpc.CANCELLED;
}

/** Statuses with which Temporal says that it did not do it. */
const definite: readonly Grpc[] = [
  Grpc.INVALID_ARGUMENT,
  Grpc.NOT_FOUND,
  Grpc.PERMISSION_DENIED,
  Grpc.UNAUTHENTICATED,
  Grpc.FAILED_PRECONDITION,
  Grpc.RESOURCE_EXHAUSTED,
  Grpc.UNIMPLEMENTED,
];

function isDefinite(error: unknown): boolean {
  if (error instanceof NamespaceNotFoundError) return true;
  const status = grpcStatusOf(error);
  if (!status) return false;
  return definite.includes(status.code) || neverSent(status);
}

/** grpc-js had no connection to send it over (its words, from its load balancers). */
const neverSent = ({ code, details }: { code: Grpc; details: string }): boolean =>
  code === Grpc.UNAVAILABLE && details.includes("No connection established");

/**
 * The workflow can't take it right now: it is about to close, its buffers are full, or its task is not there yet, was not done, or
 * failed (ErrWorkflowClosing and its like in the server's service/history/consts). Also while Temporal has more to do than it may.
 */
function isBusy(error: unknown): boolean {
  const status = grpcStatusOf(error);
  if (status?.code === Grpc.RESOURCE_EXHAUSTED || status?.code === Grpc.ABORTED) return true;
  return status?.code === Grpc.FAILED_PRECONDITION && /not ready|not scheduled|workflow task/i.test(status.details);
}

/** Nobody answers; or whoever did was just stopping. */
const isAway = (error: unknown): boolean => grpcStatusOf(error)?.code === Grpc.UNAVAILABLE;

/** Did not happen now, and may in a moment? */
function isPassing(error: unknown): boolean {
  const status = grpcStatusOf(error);
  return status !== undefined && (status.code === Grpc.RESOURCE_EXHAUSTED || neverSent(status));
}

function broken(error: unknown): DomainError {
  if (error instanceof DomainError) return error;
  if (isTimeout(error))
    return new DomainError("DEADLINE_EXCEEDED", "Checkouts took too long to answer. Please try again.", {}, error);
  return new DomainError(
    "UNAVAILABLE",
    "Checkouts can't be reached right now. Please try again in a few seconds.",
    {},
    error,
  );
}
