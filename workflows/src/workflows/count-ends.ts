// Tells the worker how each workflow ended and how long it took, whatever its type: around all of them, so that none is forgotten.
import {
  ContinueAsNew,
  isCancellation,
  proxySinks,
  type Sinks,
  TemporalFailure,
  type WorkflowInterceptors,
  workflowInfo,
} from "@temporalio/workflow";
import { outcomeOf } from "../outcomes.js";

export interface EndSinks extends Sinks {
  ends: { ended(workflowType: string, outcome: string, seconds: number): void };
}

const { ends } = proxySinks<EndSinks>();

export const interceptors = (): WorkflowInterceptors => ({
  inbound: [
    {
      async execute(input, next) {
        const { workflowType, startTime } = workflowInfo();
        const tell = (outcome: string) => ends.ended(workflowType, outcome, (Date.now() - startTime.getTime()) / 1000);
        try {
          const result = await next(input);
          tell(outcomeOf(workflowType, result));
          return result;
        } catch (error) {
          if (isCancellation(error)) tell("cancelled");
          // Anything else is a bug: the task fails and is tried again, and the workflow goes on when the code is mended.
          else if (error instanceof TemporalFailure && !(error instanceof ContinueAsNew)) tell("failed");
          throw error;
        }
      },
    },
  ],
});
