// The steps with whole events, through the inventory service's catalogue.
import type { ServiceClient } from "@onsale/kit/grpc-client";
import type { CatalogServiceService } from "@onsale/proto/inventory/v1/catalog";
import type { Steps } from "../steps.js";
import type { Attempt } from "./attempts.js";

const claimsAtOnce = 200;

export function eventSteps(
  catalog: ServiceClient<CatalogServiceService>,
  attempt: Attempt,
): Pick<Steps, "cancelEvent" | "listClaimants"> {
  return {
    // The reason is in the event, which whoever cancels it writes first: it is people's words, and histories need none.
    cancelEvent: (eventId) =>
      attempt("all", async (options) => {
        await catalog.cancelEvent({ eventId, organiserId: "", reason: "" }, options);
      }),

    listClaimants: ({ eventId, cursor }) =>
      attempt([], (options) => catalog.listClaimants({ eventId, cursor, limit: claimsAtOnce }, options)),
  };
}
