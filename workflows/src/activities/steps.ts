// The activities: each step of a workflow as one gRPC call to the service that owns it, and nothing more.
import type { ServiceClient } from "@onsale/kit/grpc-client";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";
import type { CatalogServiceService } from "@onsale/proto/inventory/v1/catalog";
import type { ReconcileServiceService } from "@onsale/proto/inventory/v1/reconcile";
import type { SeatServiceService } from "@onsale/proto/inventory/v1/seats";
import type { PaymentServiceService } from "@onsale/proto/payment/v1/payment";
import type { TicketServiceService } from "@onsale/proto/ticket/v1/ticket";
import type { Steps } from "../steps.js";
import { createAttempts } from "./attempts.js";
import { booksSteps } from "./books.js";
import { eventSteps } from "./events.js";
import { orphanSteps } from "./orphans.js";
import { paymentSteps } from "./payment.js";
import { reconcileSteps } from "./reconcile.js";
import { seatSteps } from "./seats.js";
import { ticketSteps } from "./tickets.js";

export interface StepDependencies {
  readonly inventory: ServiceClient<SeatServiceService>;
  readonly catalog: ServiceClient<CatalogServiceService>;
  readonly reconcile: ServiceClient<ReconcileServiceService>;
  readonly payment: ServiceClient<PaymentServiceService>;
  readonly ticket: ServiceClient<TicketServiceService>;
  /** Is the execution of this workflow id open? */
  readonly isWorkflowRunning: (workflowId: string) => Promise<boolean>;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export function createActivities(dependencies: StepDependencies): Steps {
  const attempts = createAttempts(dependencies.log, dependencies.metrics);
  return {
    ...paymentSteps(dependencies.payment, dependencies.ticket, attempts),
    ...seatSteps(dependencies.inventory, dependencies.reconcile, attempts),
    ...eventSteps(dependencies.catalog, attempts),
    ...reconcileSteps(dependencies.reconcile, attempts),
    ...ticketSteps(dependencies.ticket, dependencies.isWorkflowRunning, attempts),
    ...orphanSteps(dependencies, attempts),
    ...booksSteps(dependencies, attempts),
  };
}
