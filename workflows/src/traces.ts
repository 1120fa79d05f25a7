// The worker's part in traces: a span for each try of a step, and those that workflows tell of.
import { isRefusalCode, refusals } from "@onsale/kit/errors";
import { continueSpan, tellSpan, tracing, within } from "@onsale/kit/tracing";
import type { Context } from "@temporalio/activity";
import { ApplicationFailure, ApplicationFailureCategory, defaultPayloadConverter } from "@temporalio/common";
import type { ActivityInterceptorsFactory, InjectedSinks } from "@temporalio/worker";
import { traceHeader } from "./contract.js";
import type { TraceSinks } from "./workflows/trace-calls.js";

/** Is a failure of this type somebody's trouble, or an answer? */
const isTrouble = (type: string | undefined): boolean =>
  type === undefined || !isRefusalCode(type) || refusals[type].http >= 500;

export const traceSinks: InjectedSinks<TraceSinks> = {
  traces: {
    ended: {
      fn: ({ workflowId, runId }, { name, traceparent, spanId, startedAtMs, endedAtMs, failure }) =>
        tellSpan(name, {
          traceparent,
          spanId,
          atMs: startedAtMs,
          endedAtMs,
          failed: failure !== undefined && isTrouble(failure),
          attributes: {
            "temporal.workflow_id": workflowId,
            "temporal.run_id": runId,
            ...(failure !== undefined && { "error.type": failure }),
          },
        }),
      callDuringReplay: false,
    },
  },
};

/** Each try is a span of its own, below that of its workflow; none while tracing is off, or the workflow is not traced. */
export const traceActivities: ActivityInterceptorsFactory = ({ info }: Context) =>
  tracing()
    ? {
        inbound: {
          async execute(input, next) {
            const header = input.headers[traceHeader];
            if (!header) return next(input);
            const { traceparent } = defaultPayloadConverter.fromPayload<{ traceparent?: string }>(header);
            const span = continueSpan(traceparent, `step ${info.activityType}`, {
              attributes: {
                "temporal.workflow_id": info.workflowExecution?.workflowId ?? "",
                "temporal.attempt": info.attempt,
              },
            });
            if (!span) return next(input);
            try {
              const result = await within(span, () => next(input));
              span.end();
              return result;
            } catch (error) {
              const failure = error instanceof ApplicationFailure ? error : undefined;
              span.set("error.type", failure?.type ?? (error instanceof Error ? error.name : "unknown"));
              // "Not yet" is no failure.
              span.end(
                failure?.category !== ApplicationFailureCategory.BENIGN && isTrouble(failure?.type ?? undefined),
              );
              throw error;
            }
          },
        },
      }
    : {};
