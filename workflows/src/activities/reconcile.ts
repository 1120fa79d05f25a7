// The step that compares seats with claims, through the inventory service.
import type { ServiceClient } from "@onsale/kit/grpc-client";
import type { ReconcileServiceService } from "@onsale/proto/inventory/v1/reconcile";
import type { Steps } from "../steps.js";
import type { Attempt } from "./attempts.js";

export function reconcileSteps(
  inventory: ServiceClient<ReconcileServiceService>,
  attempt: Attempt,
): Pick<Steps, "reconcileSeats"> {
  return {
    reconcileSeats: (cursor) => attempt([], (options) => inventory.reconcileSeats({ eventId: "", cursor }, options)),
  };
}
