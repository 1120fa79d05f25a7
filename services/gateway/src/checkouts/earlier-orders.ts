// Orders of checkouts, as the ticket service knows them: whatever is asked in one turn of the event loop is one call to it.
import type { CallOptions } from "@onsale/kit/grpc-client";
import type { Order } from "@onsale/proto/ticket/v1/ticket";
import type { Services } from "../clients/services.js";

/** The order of a checkout, if there is one and it is this person's. */
export type FindOrder = (checkoutId: string, userId: string, options: CallOptions) => Promise<Order | undefined>;

/** One call takes no more: the ticket service's own bound. */
const mostAtOnce = 500;

interface Batch {
  readonly checkoutIds: Set<string>;
  readonly found: Promise<ReadonlyMap<string, Order>>;
}

/**
 * Every winner's checkout asks whether there was an order under its id, and a call to another service costs as much as the hold
 * itself. Calls with different deadlines don't share.
 */
export function gatherOrders(ticket: Pick<Services["ticket"], "findOrders">): FindOrder {
  const gathering = new Map<number | undefined, Batch>();

  function begin(options: CallOptions): Batch {
    const checkoutIds = new Set<string>();
    const found = new Promise<void>((resolve) => setImmediate(resolve)).then(async () => {
      if (gathering.get(options.deadlineMs) === batch) gathering.delete(options.deadlineMs);
      const { orders } = await ticket.findOrders({ checkoutIds: [...checkoutIds] }, options);
      return new Map(orders.map((order) => [order.checkoutId, order]));
    });
    const batch: Batch = { checkoutIds, found };
    gathering.set(options.deadlineMs, batch);
    return batch;
  }

  return async (checkoutId, userId, options) => {
    const open = gathering.get(options.deadlineMs);
    const batch = open && open.checkoutIds.size < mostAtOnce ? open : begin(options);
    batch.checkoutIds.add(checkoutId);
    const order = (await batch.found).get(checkoutId);
    return order?.userId === userId ? order : undefined;
  };
}
