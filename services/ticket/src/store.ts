// Orders, tickets and the keys that sign them, in MongoDB.
import { type DatabaseSettings, isDuplicateKey, openDatabase } from "@onsale/kit/mongodb";
import type { SigningKeyStore, StoredKey } from "@onsale/kit/signing-keys";
import type { Collection, Filter } from "mongodb";
import type { PageWish, Position } from "./pages.js";
import { type Order, type OrderStatus, orderStatuses, statusOf, type Ticket } from "./tickets.js";

/** An order with the number of its changes so far: a change applies only to what it was decided on. */
export interface StoredOrder extends Order {
  readonly version: number;
}

/** Every method throws UNAVAILABLE while MongoDB does not answer. */
export interface TicketStore {
  readonly signingKeys: SigningKeyStore;
  /** Makes the indexes; again and again without harm. */
  prepare(): Promise<void>;
  ping(): Promise<void>;
  order(checkoutId: string): Promise<StoredOrder | undefined>;
  /** The order and its tickets, all or nothing. "exists": the checkout has an order. "seat taken": a seat has a valid ticket of another order. */
  add(order: Order, tickets: readonly Ticket[]): Promise<"added" | "exists" | "seat taken">;
  /** Writes the order and voids these tickets, all or nothing; false when the order has changed since it was read. */
  replaceOrder(order: StoredOrder, voidedTicketIds: readonly string[], nowMs: number): Promise<boolean>;
  ticket(ticketId: string): Promise<Ticket | undefined>;
  /** One more than the limit, so that the caller knows whether there is a next page. */
  ticketsOf(userId: string, page: PageWish): Promise<readonly Ticket[]>;
  ordersOf(userId: string, page: PageWish): Promise<readonly Order[]>;
  /** Orders of some events, or of all, newest first; one more than the limit. */
  orderPage(wish: OrderSearch): Promise<readonly Order[]>;
  /** The checkouts whose orders had, or have, this seat in one of these events, newest first; one more than the limit. */
  checkoutsWithSeat(
    seatId: string,
    eventIds: readonly string[],
    page: PageWish,
  ): Promise<readonly { readonly checkoutId: string; readonly issuedAtMs: number }[]>;
  ordersWith(checkoutIds: readonly string[]): Promise<readonly Order[]>;
  /** An event's orders that were made or changed since then; all, with 0. In no order. */
  changedOrders(eventId: string, sinceMs: number): AsyncIterable<Order>;
  close(): Promise<void>;
}

export interface OrderSearch {
  /** None: of all events. */
  readonly eventIds: readonly string[];
  readonly status: OrderStatus | undefined;
  /** Whose; undefined: anybody's. */
  readonly userId: string | undefined;
  readonly page: PageWish;
}

interface OrderDocument extends Omit<StoredOrder, "checkoutId"> {
  _id: string;
  /** As its refunds make it: here to be found by. */
  status: OrderStatus;
  changedAtMs: number;
}

interface TicketDocument extends Omit<Ticket, "ticketId" | "voidedAtMs"> {
  _id: string;
  eventId: string;
  seatId: string;
  status: "valid" | "void";
  voidedAtMs?: number;
}

interface KeyDocument extends Omit<StoredKey, "sequence"> {
  _id: number;
}

export function openStore(settings: Pick<DatabaseSettings, "uri" | "database">): TicketStore {
  const { client, db, asked, ping, close } = openDatabase({ appName: "onsale-ticket", what: "Tickets", ...settings });
  const orders = db.collection<OrderDocument>("orders");
  const tickets = db.collection<TicketDocument>("tickets");
  const keys = db.collection<KeyDocument>("ticket_signing_keys");

  return {
    signingKeys: {
      list: () =>
        asked(async () => (await keys.find().toArray()).map(({ _id, ...key }) => ({ sequence: _id, ...key }))),
      add: ({ sequence, ...key }) =>
        asked(async () => {
          try {
            await keys.insertOne({ _id: sequence, ...key });
            return true;
          } catch (error) {
            if (isDuplicateKey(error)) return false;
            throw error;
          }
        }),
      remove: (sequence) => asked(() => keys.deleteOne({ _id: sequence })).then(() => undefined),
    },
    prepare: () =>
      asked(async () => {
        await orders.createIndex({ userId: 1, createdAtMs: -1, _id: -1 }, { name: "by_owner" });
        await orders.createIndex(
          { "event.eventId": 1, status: 1, createdAtMs: -1, _id: -1 },
          { name: "by_event_and_status" },
        );
        await orders.createIndex({ status: 1, createdAtMs: -1, _id: -1 }, { name: "by_status" });
        await orders.createIndex({ "event.eventId": 1, changedAtMs: 1 }, { name: "by_event_and_change" });
        await tickets.createIndex({ seatId: 1, eventId: 1, issuedAtMs: -1, checkoutId: -1 }, { name: "by_seat" });
        await nameStatuses(orders);
        await tickets.createIndex({ userId: 1, issuedAtMs: -1, _id: -1 }, { name: "by_owner" });
        await tickets.createIndex({ checkoutId: 1 }, { name: "by_order" });
        // The claim decides who owns a seat; this is the second lock on the same door.
        await tickets.createIndex(
          { eventId: 1, seatId: 1 },
          { name: "one_valid_ticket_a_seat", unique: true, partialFilterExpression: { status: "valid" } },
        );
      }),
    ping,
    order: (checkoutId) => asked(async () => toOrder(await orders.findOne({ _id: checkoutId }))),
    add: (order, issued) =>
      asked(async () => {
        const { checkoutId, ...rest } = order;
        try {
          await client.withSession((session) =>
            session.withTransaction(async () => {
              const found = { status: statusOf(order), changedAtMs: order.createdAtMs };
              await orders.insertOne({ _id: checkoutId, ...rest, version: 1, ...found }, { session });
              await tickets.insertMany(issued.map(toTicketDocument), { session });
            }),
          );
          return "added";
        } catch (error) {
          if (!isDuplicateKey(error)) throw error;
          return (await orders.findOne({ _id: checkoutId }, { projection: { _id: 1 } })) ? "exists" : "seat taken";
        }
      }),
    replaceOrder: ({ checkoutId, version, ...order }, voidedTicketIds, nowMs) =>
      asked(() =>
        client.withSession((session) =>
          session.withTransaction(async () => {
            const { matchedCount } = await orders.replaceOne(
              { _id: checkoutId, version },
              {
                ...order,
                version: version + 1,
                status: statusOf({ checkoutId, ...order }),
                changedAtMs: nowMs,
              },
              { session },
            );
            if (matchedCount === 0) return false;
            if (voidedTicketIds.length > 0)
              await tickets.updateMany(
                { _id: { $in: [...voidedTicketIds] }, status: "valid" },
                { $set: { status: "void", voidedAtMs: nowMs } },
                { session },
              );
            return true;
          }),
        ),
      ),
    ticket: (ticketId) => asked(async () => toTicket(await tickets.findOne({ _id: ticketId }))),
    ticketsOf: (userId, { after, limit }) =>
      asked(async () => {
        const filter: Filter<TicketDocument> = { userId, ...(after ? olderThan(after, "issuedAtMs") : {}) };
        const found = await tickets
          .find(filter)
          .sort({ issuedAtMs: -1, _id: -1 })
          .limit(limit + 1)
          .toArray();
        return found.map(toTicket).filter((ticket) => ticket !== undefined);
      }),
    ordersOf: (userId, { after, limit }) =>
      asked(async () => {
        const filter: Filter<OrderDocument> = { userId, ...(after ? olderThan(after, "createdAtMs") : {}) };
        const found = await orders
          .find(filter)
          .sort({ createdAtMs: -1, _id: -1 })
          .limit(limit + 1)
          .toArray();
        return found.map(toOrder).filter((order) => order !== undefined);
      }),
    orderPage: ({ eventIds, status, userId, page: { after, limit } }) =>
      asked(async () => {
        const filter: Filter<OrderDocument> = {
          ...(eventIds.length === 0 ? {} : { "event.eventId": { $in: [...eventIds] } }),
          // One person's orders are few. Of all others, each status has its own run in an index, newest first.
          ...(userId === undefined
            ? { status: { $in: status === undefined ? [...orderStatuses] : [status] } }
            : { userId, ...(status === undefined ? {} : { status }) }),
          ...(after ? olderThan(after, "createdAtMs") : {}),
        };
        const found = await orders
          .find(filter)
          .sort({ createdAtMs: -1, _id: -1 })
          .limit(limit + 1)
          .toArray();
        return found.map(toOrder).filter((order) => order !== undefined);
      }),
    checkoutsWithSeat: (seatId, eventIds, { after, limit }) =>
      asked(async () => {
        const older = after && {
          $or: [{ issuedAtMs: { $lt: after.atMs } }, { issuedAtMs: after.atMs, checkoutId: { $lt: after.id } }],
        };
        const found = await tickets
          .find({ seatId, eventId: { $in: [...eventIds] }, ...older }, { projection: { checkoutId: 1, issuedAtMs: 1 } })
          .sort({ issuedAtMs: -1, checkoutId: -1 })
          .limit(limit + 1)
          .toArray();
        return found.map(({ checkoutId, issuedAtMs }) => ({ checkoutId, issuedAtMs }));
      }),
    ordersWith: (checkoutIds) =>
      asked(async () =>
        (await orders.find({ _id: { $in: [...checkoutIds] } }).toArray())
          .map(toOrder)
          .filter((order) => order !== undefined),
      ),
    async *changedOrders(eventId, sinceMs) {
      const since = sinceMs > 0 ? { changedAtMs: { $gte: sinceMs } } : {};
      const found = orders.find({ "event.eventId": eventId, ...since }, { batchSize: 1_000 });
      try {
        for (;;) {
          const next = await asked(() => found.next());
          if (!next) return;
          const order = toOrder(next);
          if (order) yield order;
        }
      } finally {
        await found.close().catch(() => undefined);
      }
    },
    close,
  };
}

/** Orders from before they were found by their status get one, some at a time. */
async function nameStatuses(orders: Collection<OrderDocument>): Promise<void> {
  for (;;) {
    const nameless = await orders
      .find({ status: { $exists: false } })
      .limit(500)
      .toArray();
    if (nameless.length === 0) return;
    await orders.bulkWrite(
      nameless.map((document) => ({
        updateOne: {
          filter: { _id: document._id, version: document.version },
          update: {
            $set: { status: statusOf({ ...document, checkoutId: document._id }), changedAtMs: document.createdAtMs },
          },
        },
      })),
    );
  }
}

const olderThan = ({ atMs, id }: Position, field: "issuedAtMs" | "createdAtMs") => ({
  $or: [{ [field]: { $lt: atMs } }, { [field]: atMs, _id: { $lt: id } }],
});

function toOrder(document: OrderDocument | null): StoredOrder | undefined {
  if (!document) return undefined;
  const { _id, status: _status, changedAtMs: _changedAt, ...rest } = document;
  return { checkoutId: _id, ...rest };
}

function toTicketDocument({ ticketId, voidedAtMs: _, ...ticket }: Ticket): TicketDocument {
  return { _id: ticketId, ...ticket, eventId: ticket.event.eventId, seatId: ticket.seat.seatId, status: "valid" };
}

function toTicket(document: TicketDocument | null): Ticket | undefined {
  if (!document) return undefined;
  const { _id, eventId: _eventId, seatId: _seatId, status: _status, ...rest } = document;
  return { ticketId: _id, ...rest };
}
