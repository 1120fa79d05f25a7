// Carries a trace through a workflow: from whoever started or updated it to its steps, and tells the worker of its own spans.

/*
 * Deterministic, and nothing at all unless a header says that the caller is traced: ids of spans are made of the run's id, so
 * that a replay on another worker makes the same ones, and a span is told once, when it ends.
 */
import { defaultPayloadConverter, type Headers } from "@temporalio/common";
import {
  ApplicationFailure,
  ContinueAsNew,
  isCancellation,
  proxySinks,
  type Sinks,
  TemporalFailure,
  type WorkflowInterceptors,
  workflowInfo,
} from "@temporalio/workflow";
import { traceHeader } from "../contract.js";

export interface WorkflowSpan {
  readonly name: string;
  /** The caller's. */
  readonly traceparent: string;
  readonly spanId: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** The type of the failure that it ended with. */
  readonly failure?: string;
}

export interface TraceSinks extends Sinks {
  traces: { ended(span: WorkflowSpan): void };
}

const { traces } = proxySinks<TraceSinks>();

export const interceptors = (): WorkflowInterceptors => {
  /** What the workflow's steps go below. */
  let here: string | undefined;

  /** Runs work, and tells of it as a span below the caller's. */
  async function told<Result>(
    name: string,
    caller: string,
    own: string,
    startedAtMs: number,
    work: () => Promise<Result>,
  ): Promise<Result> {
    const tell = (failure?: string) =>
      traces.ended({
        name,
        traceparent: caller,
        spanId: own.slice(36, 52),
        startedAtMs,
        endedAtMs: Date.now(),
        ...(failure !== undefined && { failure }),
      });
    try {
      const result = await work();
      tell();
      return result;
    } catch (error) {
      if (error instanceof ContinueAsNew || isCancellation(error)) tell();
      else if (error instanceof ApplicationFailure) tell(error.type ?? error.name);
      else if (error instanceof TemporalFailure) tell(error.name);
      // Anything else is a bug: the task fails and is tried again.
      throw error;
    }
  }

  const passOn = (headers: Headers): Headers =>
    here === undefined ? headers : { ...headers, [traceHeader]: headerOf(here) };

  return {
    inbound: [
      {
        async execute(input, next) {
          const caller = traceparentIn(input.headers);
          if (caller === undefined) return next(input);
          const { runId, workflowType, startTime } = workflowInfo();
          here = below(caller, runId);
          return told(`workflow ${workflowType}`, caller, here, startTime.getTime(), () => next(input));
        },
        async handleUpdate(input, next) {
          const caller = traceparentIn(input.headers);
          if (caller === undefined) return next(input);
          const own = below(caller, `${workflowInfo().runId} ${input.updateId}`);
          // A workflow that nobody traced may be paid for by somebody who is.
          here ??= own;
          return told(`update ${input.name}`, caller, own, Date.now(), () => next(input));
        },
      },
    ],
    outbound: [
      {
        scheduleActivity: (input, next) => next({ ...input, headers: passOn(input.headers) }),
        scheduleLocalActivity: (input, next) => next({ ...input, headers: passOn(input.headers) }),
        async continueAsNew(input, next) {
          return next({ ...input, headers: passOn(input.headers) });
        },
        getLogAttributes: (input, next) =>
          next(here === undefined ? input : { ...input, trace_id: here.slice(3, 35), span_id: here.slice(36, 52) }),
      },
    ],
  };
};

const headerOf = (traceparent: string) => defaultPayloadConverter.toPayload({ traceparent });

function traceparentIn(headers: Headers): string | undefined {
  const payload = headers[traceHeader];
  if (!payload) return undefined;
  const { traceparent } = defaultPayloadConverter.fromPayload<{ traceparent?: unknown }>(payload);
  return typeof traceparent === "string" && /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/.test(traceparent)
    ? traceparent
    : undefined;
}

/** The place below it that this name has: 64 bits of two FNV-1a hashes, since a workflow has no other ones. */
const below = (traceparent: string, name: string): string =>
  `${traceparent.slice(0, 36)}${fnv(`a${name}`)}${fnv(`b${name}`)}-01`;

function fnv(text: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  // Spreads what differs only near the end over all bits.
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0).toString(16).padStart(8, "0");
}
