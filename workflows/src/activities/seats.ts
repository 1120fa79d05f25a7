// The steps with seats, through the inventory service.
import type { ServiceClient } from "@onsale/kit/grpc-client";
import type { ReconcileServiceService } from "@onsale/proto/inventory/v1/reconcile";
import type { SeatServiceService } from "@onsale/proto/inventory/v1/seats";
import type { CheckoutInput } from "../contract.js";
import type { Steps } from "../steps.js";
import type { Attempt } from "./attempts.js";

type SeatSteps = Pick<Steps, "claimSeats" | "releaseClaims" | "releaseHold" | "findSale">;

export function seatSteps(
  inventory: ServiceClient<SeatServiceService>,
  reconcile: ServiceClient<ReconcileServiceService>,
  attempt: Attempt,
): SeatSteps {
  return {
    claimSeats: (input) =>
      attempt("all", async (options) => {
        const { epoch, deadlineMs } = input;
        await inventory.claimSeats({ ...held(input), epoch, deadlineMs }, options);
      }),

    releaseHold: (input) =>
      attempt([], async (options) => {
        await inventory.releaseHold(held(input), options);
      }),

    releaseClaims: ({ accountId, seatIds, ...step }) =>
      attempt([], async (options) => {
        await inventory.releaseClaims({ ...step, userId: accountId, seatIds: [...seatIds] }, options);
      }),

    findSale: ({ eventId, checkoutId }) =>
      attempt([], async (options) => {
        const { sale } = await reconcile.getSale({ eventId, checkoutId }, options);
        if (!sale) return undefined;
        const { userId: accountId, seats, amount, currency, whole, eventCancelled } = sale;
        const { eventName: name, startsAtMs, venueName, city, timeZone } = sale;
        const event = { eventId, name, startsAtMs, venueName, city, timeZone };
        return { purchase: { checkoutId, accountId, event, seats, amount, currency }, whole, eventCancelled };
      }),
  };
}

const held = ({ event, checkoutId, accountId, holdId, seats }: CheckoutInput) => ({
  eventId: event.eventId,
  checkoutId,
  userId: accountId,
  holdId,
  seatIds: seats.map((seat) => seat.seatId),
});
