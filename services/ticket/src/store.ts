// Orders, tickets and the keys that sign them, in MongoDB.
import { type DatabaseSettings, isDuplicateKey, openDatabase } from "@onsale/kit/mongodb";
import type { SigningKeyStore, StoredKey } from "@onsale/kit/signing-keys";
import type { Collection, Filter } from "mongodb";
import { type OldRefund, refundsFrom, type StoredRefund, storedRefund } from "./old-refunds.js";
import type { PageWish, Position } from "./pages.js";
import {
  type Dispute,
  disputeOrderMs,
  isOpen,
  type Order,
  type OrderStatus,
  orderStatuses,
  statusOf,
  type Ticket,
} from "./tickets.js";

/** An order with the number of its changes so far: a change applies only to what it was decided on. */
export interface StoredOrder extends Order {
  readonly version: number;
  readonly changedAtMs: number;
}

/** What a change of an order does to its tickets. */
export interface TicketChange {
  readonly voidedTicketIds: readonly string[];
  /** Of those that are valid; undefined: as it is. */
  readonly disputed: boolean | undefined;
}

/** Every method throws UNAVAILABLE while MongoDB does not answer. */
export interface TicketStore {
  readonly signingKeys: SigningKeyStore;
  /** Makes the indexes; again and again without harm. */
  prepare(): Promise<void>;
  ping(): Promise<void>;
  order(checkoutId: string): Promise<StoredOrder | undefined>;
  /**
   * The order and its tickets, all or nothing. "exists": the checkout has an order. "ended": it has an end instead. "seat taken": a seat
   * has a valid ticket of another order.
   */
  add(order: Order, tickets: readonly Ticket[]): Promise<"added" | "exists" | "ended" | "seat taken">;
  /** Whether the checkout ends here without an order. No: it has one, or had one added at the same moment. */
  end(checkoutId: string, reason: string): Promise<boolean>;
  /** Writes the order and what becomes of its tickets, all or nothing; false when the order has changed since it was read. */
  replaceOrder(order: Order & Pick<StoredOrder, "version">, change: TicketChange, nowMs: number): Promise<boolean>;
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
  ticketsWith(checkoutIds: readonly string[]): Promise<readonly Ticket[]>;
  /** An event's orders that were made or changed since then; all, with 0. In no order. */
  changedOrders(eventId: string, sinceMs: number): AsyncIterable<Order>;
  /** Orders by their oldest refund in this state, oldest first; one more than the limit. */
  ordersWithRefunds(wish: RefundSearch): Promise<readonly Order[]>;
  /** Orders by the first of their disputes that are open, or decided; one more than the limit. */
  ordersWithDisputes(wish: DisputeSearch): Promise<readonly Order[]>;
  /** Orders of all events by their last change, oldest first; one more than the limit. */
  ordersByChange(wish: ChangeSearch): Promise<readonly StoredOrder[]>;
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

export interface RefundSearch {
  readonly state: "pending" | "failed";
  /** 0: any time. */
  readonly beforeMs: number;
  /** None: of all events. */
  readonly eventIds: readonly string[];
  readonly page: PageWish;
}

export interface DisputeSearch {
  readonly decided: boolean;
  /** None: of all events. */
  readonly eventIds: readonly string[];
  readonly page: PageWish;
}

export interface ChangeSearch {
  readonly sinceMs: number;
  /** 0: until now. */
  readonly beforeMs: number;
  readonly page: PageWish;
}

/** What an order is found by, as its refunds make it. */
interface Findable {
  status: OrderStatus;
  /** Since when its oldest refund in that state is in it; none: not there. */
  pendingSinceMs?: number;
  failedSinceMs?: number;
  /** The least `disputeOrderMs` of its open, or decided, disputes; none: not there. */
  openDisputeMs?: number;
  decidedDisputeMs?: number;
  /** By which rules this was reckoned. */
  rules: number;
}

interface OrderDocument extends Omit<StoredOrder, "checkoutId" | "refunds" | "disputes">, Findable {
  _id: string;
  /** Those from before refunds had kinds are read by `refundsFrom`. */
  refunds: readonly (StoredRefund | OldRefund)[];
  /** Not there in orders from before disputes were kept. */
  disputes?: readonly Dispute[];
}

/**
 * A checkout that ended without an order: under the id that its order would have, so that the database lets one of the two in. It has none of
 * the fields that orders are found by.
 */
interface EndDocument {
  _id: string;
  status: "ended";
  reason: string;
  rules: number;
  /** It goes away by itself when no late payment can come any more. */
  endedAt: Date;
}

/** To be raised when `findableOf` answers otherwise than before: stored orders are reckoned again then. */
const currentRules = 3;
const endsKeptSeconds = 30 * 24 * 60 * 60;

interface TicketDocument extends Omit<Ticket, "ticketId" | "voidedAtMs" | "disputed"> {
  _id: string;
  eventId: string;
  seatId: string;
  status: "valid" | "void";
  disputed?: true;
  voidedAtMs?: number;
}

interface KeyDocument extends Omit<StoredKey, "sequence"> {
  _id: number;
}

export function openStore(settings: Pick<DatabaseSettings, "uri" | "database">): TicketStore {
  const { client, db, asked, ping, close } = openDatabase({ appName: "onsale-ticket", what: "Tickets", ...settings });
  const orders = db.collection<OrderDocument>("orders");
  // The same documents, for what is none of an order's.
  const ends = db.collection<EndDocument>("orders");
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
        await orders.createIndex({ changedAtMs: 1, _id: 1 }, { name: "by_change" });
        await orders.createIndex({ rules: 1 }, { name: "by_rules" });
        for (const [name, field] of [
          ["pending", "pendingSinceMs"],
          ["failed", "failedSinceMs"],
        ] as const)
          await indexFew(orders, `${name}_refund`, field);
        await indexFew(orders, "open_dispute", "openDisputeMs");
        await indexFew(orders, "decided_dispute", "decidedDisputeMs");
        await ends.createIndex({ endedAt: 1 }, { name: "ends_go_away", expireAfterSeconds: endsKeptSeconds });
        await tickets.createIndex({ seatId: 1, eventId: 1, issuedAtMs: -1, checkoutId: -1 }, { name: "by_seat" });
        await makeFindable(orders);
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
              const found = { ...findableOf(order), changedAtMs: order.createdAtMs };
              await orders.insertOne({ _id: checkoutId, ...rest, version: 1, ...found }, { session });
              await tickets.insertMany(issued.map(toTicketDocument), { session });
            }),
          );
          return "added";
        } catch (error) {
          if (!isDuplicateKey(error)) throw error;
          const there = await ends.findOne({ _id: checkoutId }, { projection: { status: 1 } });
          return there ? (there.status === "ended" ? "ended" : "exists") : "seat taken";
        }
      }),
    end: (checkoutId, reason) =>
      asked(async () => {
        try {
          await ends.insertOne({ _id: checkoutId, status: "ended", reason, rules: currentRules, endedAt: new Date() });
          return true;
        } catch (error) {
          if (!isDuplicateKey(error)) throw error;
          return (await ends.findOne({ _id: checkoutId }, { projection: { status: 1 } }))?.status === "ended";
        }
      }),
    replaceOrder: ({ checkoutId, version, ...order }, { voidedTicketIds, disputed }, nowMs) =>
      asked(() =>
        client.withSession((session) =>
          session.withTransaction(async () => {
            const { matchedCount } = await orders.replaceOne(
              { _id: checkoutId, version },
              {
                ...order,
                refunds: order.refunds.map(storedRefund),
                version: version + 1,
                ...findableOf({ checkoutId, ...order }),
                changedAtMs: nowMs,
              },
              { session },
            );
            if (matchedCount === 0) return false;
            if (voidedTicketIds.length > 0)
              await tickets.updateMany(
                { _id: { $in: [...voidedTicketIds] }, status: "valid" },
                { $set: { status: "void", voidedAtMs: nowMs }, $unset: { disputed: "" } },
                { session },
              );
            if (disputed !== undefined)
              await tickets.updateMany(
                { checkoutId, status: "valid" },
                disputed ? { $set: { disputed: true } } : { $unset: { disputed: "" } },
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
    ticketsWith: (checkoutIds) =>
      asked(async () =>
        (await tickets.find({ checkoutId: { $in: [...checkoutIds] } }).toArray())
          .map(toTicket)
          .filter((ticket) => ticket !== undefined),
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
    ordersWithRefunds: ({ state, beforeMs, eventIds, page: { after, limit } }) =>
      asked(async () => {
        const field = state === "pending" ? "pendingSinceMs" : "failedSinceMs";
        const filter: Filter<OrderDocument> = {
          ...(eventIds.length === 0 ? {} : { "event.eventId": { $in: [...eventIds] } }),
          [field]: { $exists: true, $gte: after?.atMs ?? 0, ...(beforeMs > 0 ? { $lt: beforeMs } : {}) },
          ...(after ? newerThan(after, field) : {}),
        };
        const found = await orders
          .find(filter)
          .sort({ [field]: 1, _id: 1 })
          .limit(limit + 1)
          .toArray();
        return found.map(toOrder).filter((order) => order !== undefined);
      }),
    ordersWithDisputes: ({ decided, eventIds, page: { after, limit } }) =>
      asked(async () => {
        const field = decided ? "decidedDisputeMs" : "openDisputeMs";
        const filter: Filter<OrderDocument> = {
          ...(eventIds.length === 0 ? {} : { "event.eventId": { $in: [...eventIds] } }),
          [field]: { $exists: true, $gte: after?.atMs ?? 0 },
          ...(after ? newerThan(after, field) : {}),
        };
        const found = await orders
          .find(filter)
          .sort({ [field]: 1, _id: 1 })
          .limit(limit + 1)
          .toArray();
        return found.map(toOrder).filter((order) => order !== undefined);
      }),
    ordersByChange: ({ sinceMs, beforeMs, page: { after, limit } }) =>
      asked(async () => {
        const found = await orders
          .find({
            changedAtMs: { $gte: Math.max(sinceMs, after?.atMs ?? 0), ...(beforeMs > 0 ? { $lt: beforeMs } : {}) },
            ...(after ? newerThan(after, "changedAtMs") : {}),
          })
          .sort({ changedAtMs: 1, _id: 1 })
          .limit(limit + 1)
          .toArray();
        return found.map(toOrder).filter((order) => order !== undefined);
      }),
    close,
  };
}

/** Few orders have this field: the others are not in its indexes. */
async function indexFew(orders: Collection<OrderDocument>, name: string, field: FewHave): Promise<void> {
  const options = { partialFilterExpression: { [field]: { $exists: true } } };
  await orders.createIndex({ [field]: 1, _id: 1 }, { name: `by_${name}`, ...options });
  await orders.createIndex({ "event.eventId": 1, [field]: 1, _id: 1 }, { name: `by_event_and_${name}`, ...options });
}

type FewHave = "pendingSinceMs" | "failedSinceMs" | "openDisputeMs" | "decidedDisputeMs";

function findableOf(order: Order): Findable {
  const since = (state: "pending" | "failed") =>
    order.refunds.reduce<number | undefined>(
      (least, refund) => (refund.state === state ? Math.min(least ?? refund.atMs, refund.atMs) : least),
      undefined,
    );
  const [pendingSinceMs, failedSinceMs] = [since("pending"), since("failed")];
  const first = (open: boolean) =>
    order.disputes
      .filter((dispute) => isOpen(dispute) === open)
      .map(disputeOrderMs)
      .sort((a, b) => a - b)[0];
  const [openDisputeMs, decidedDisputeMs] = [first(true), first(false)];
  return {
    status: statusOf(order),
    ...(pendingSinceMs !== undefined && { pendingSinceMs }),
    ...(failedSinceMs !== undefined && { failedSinceMs }),
    ...(openDisputeMs !== undefined && { openDisputeMs }),
    ...(decidedDisputeMs !== undefined && { decidedDisputeMs }),
    rules: currentRules,
  };
}

/** Orders that were stored by other rules are reckoned again, some at a time. */
async function makeFindable(orders: Collection<OrderDocument>): Promise<void> {
  for (;;) {
    const old = await orders
      .find({ rules: { $ne: currentRules }, version: { $exists: true } })
      .limit(500)
      .toArray();
    if (old.length === 0) return;
    await orders.bulkWrite(
      old.flatMap((document) => {
        const order = toOrder(document);
        if (!order) return [];
        const changedAtMs = document.changedAtMs ?? document.createdAtMs;
        const update = { $set: { ...findableOf(order), changedAtMs } };
        return [{ updateOne: { filter: { _id: document._id, version: document.version }, update } }];
      }),
    );
  }
}

const olderThan = ({ atMs, id }: Position, field: "issuedAtMs" | "createdAtMs") => ({
  $or: [{ [field]: { $lt: atMs } }, { [field]: atMs, _id: { $lt: id } }],
});

const newerThan = ({ atMs, id }: Position, field: "changedAtMs" | FewHave) => ({
  $or: [{ [field]: { $gt: atMs } }, { [field]: atMs, _id: { $gt: id } }],
});

/** Undefined for an end, too: it is no order. */
function toOrder(document: OrderDocument | EndDocument | null): StoredOrder | undefined {
  if (!document || document.status === "ended") return undefined;
  const {
    _id,
    status: _s,
    rules: _r,
    pendingSinceMs: _p,
    failedSinceMs: _f,
    openDisputeMs: _o,
    decidedDisputeMs: _d,
    refunds,
    disputes = [],
    ...rest
  } = document;
  const order = { checkoutId: _id, ...rest, disputes };
  return { ...order, refunds: refundsFrom(order, refunds) };
}

function toTicketDocument({ ticketId, voidedAtMs: _, disputed: _d, ...ticket }: Ticket): TicketDocument {
  return { _id: ticketId, ...ticket, eventId: ticket.event.eventId, seatId: ticket.seat.seatId, status: "valid" };
}

function toTicket(document: TicketDocument | null): Ticket | undefined {
  if (!document) return undefined;
  const { _id, eventId: _eventId, seatId: _seatId, status: _status, disputed = false, ...rest } = document;
  return { ticketId: _id, ...rest, disputed };
}
