// One try of a step: its deadline, its sign of life, its time, and what a failure means to Temporal.
import { DomainError, type RefusalCode } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc-client";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import { Context } from "@temporalio/activity";
import { ApplicationFailure } from "@temporalio/common";

/** Which refusals are an answer that the workflow acts upon. All others are trouble, and the step is tried again. */
export type Answers = "all" | readonly RefusalCode[];

export type Attempt = <T>(answers: Answers, call: (options: CallOptions) => Promise<T>) => Promise<T>;

/** Not the request's fault, whatever the table says of clients: someone mends it, and the same step then works. */
const ourTrouble: readonly RefusalCode[] = ["INTERNAL", "PEER_UNAUTHENTICATED"];

const heartbeatMs = 2_000;
/** A call gives up this long before Temporal gives up the try, so that the reason is told. */
const marginMs = 250;

export function createAttempts(log: Logger, metrics: Metrics): Attempt {
  const seconds = metrics.histogram("onsale_step_seconds", "Time of one try of a workflow's step, by outcome", [
    "step",
    "code",
  ]);
  return async (answers, call) => {
    const context = Context.current();
    const { activityType: step, startToCloseTimeoutMs, attempt, isLocal, workflowExecution } = context.info;
    const end = seconds.startTimer({ step });
    const beat = isLocal ? undefined : setInterval(() => context.heartbeat(), heartbeatMs);
    try {
      const answer = await call({ deadlineMs: Math.max(startToCloseTimeoutMs - marginMs, marginMs) });
      end({ code: "OK" });
      return answer;
    } catch (thrown) {
      if (thrown instanceof ApplicationFailure) {
        end({ code: thrown.type ?? "UNKNOWN" });
        throw thrown;
      }
      const error = DomainError.from(thrown);
      end({ code: error.code });
      const final = isAnswer(error, answers);
      if (!final)
        log.warn(
          { err: thrown, step, attempt, workflowId: workflowExecution?.workflowId },
          "a step will be tried again",
        );
      throw failureFrom(error, final);
    } finally {
      clearInterval(beat);
    }
  };
}

export function isAnswer(error: DomainError, answers: Answers): boolean {
  if (answers !== "all") return answers.includes(error.code);
  return !error.refusal.retryable && !ourTrouble.includes(error.code);
}

/** The cause stays in our log: histories are for operators, and a client library's error may hold what must not be shown. */
export function failureFrom(error: DomainError, final: boolean): ApplicationFailure {
  const { retryAfterSeconds } = error.details;
  return ApplicationFailure.create({
    type: error.code,
    message: error.message,
    nonRetryable: final,
    details: [error.details],
    ...(typeof retryAfterSeconds === "number" && { nextRetryDelay: retryAfterSeconds * 1_000 }),
  });
}
