// Stand-ins for the inventory, payment and ticket services, which others own: real gRPC, a small truthful model of each,
// and a script by which a test makes single calls fail, hang or answer otherwise.
import { DomainError, type RefusalCode } from "@onsale/kit/errors";
import { createGrpcServer } from "@onsale/kit/grpc-server";
import { createLogger } from "@onsale/kit/log";
import { createMetrics } from "@onsale/kit/metrics";
import { CatalogServiceService, Event as EventMessage } from "@onsale/proto/inventory/v1/catalog";
import { type ReconcileSeatsResponse, ReconcileServiceService, Sale } from "@onsale/proto/inventory/v1/reconcile";
import { SeatServiceService } from "@onsale/proto/inventory/v1/seats";
import {
  Payment,
  PaymentServiceService,
  PaymentStatus,
  RefundStatus,
  type StripePayment,
} from "@onsale/proto/payment/v1/payment";
import {
  type ListedRefund,
  Order,
  OrderRefund,
  OrderStatus,
  RefundKind,
  RefundState,
  TicketServiceService,
  TicketStatus,
} from "@onsale/proto/ticket/v1/ticket";

export type Method =
  | "authorize"
  | "capture"
  | "cancel"
  | "refund"
  | "getPayment"
  | "claimSeats"
  | "releaseClaims"
  | "releaseHold"
  | "issueTickets"
  | "voidTickets"
  | "reserveRefund"
  | "dropRefund"
  | "getOrder"
  | "endCheckout"
  | "recordPayment"
  | "getSale";

export interface Call {
  readonly method: Method;
  readonly atMs: number;
  // biome-ignore lint/suspicious/noExplicitAny: the requests of eleven methods, looked into by tests
  readonly request: any;
}

/** What exists about one checkout. */
export interface Facts {
  payment: Payment | undefined;
  refunds: Map<string, number>;
  /** Times that Stripe would have moved money or a reservation, as opposed to answering a repetition. */
  authorizations: number;
  captures: number;
  claimed: boolean;
  holdReleased: boolean;
  order: Order | undefined;
  /** It has ended without an order, for good. */
  ended: boolean;
  /** Set aside, by refund id; it stays when the money is back. */
  reserved: Map<string, { seatIds: string[]; amount: number; kind: RefundKind }>;
  /** What it has claimed, as inventory tells it; undefined: as its claims say nothing. */
  sale: Sale | undefined;
  /** Seats whose tickets somebody has deleted. */
  lostTickets: string[];
}

/** Instead of the model for one call: may change the facts, throw, wait, or call the model and spoil its answer. */
export type Behaviour = (facts: Facts, model: () => unknown) => unknown;

export const fails =
  (code: RefusalCode, message = `scripted ${code}`): Behaviour =>
  () => {
    throw new DomainError(code, message);
  };
/** Takes effect, but its answer is lost. */
export const losesAnswer: Behaviour = async (_, model) => {
  await model();
  throw new DomainError("UNAVAILABLE", "scripted: the answer was lost");
};
export const after =
  (ms: number, then: Behaviour = (_, model) => model()): Behaviour =>
  async (facts, model) => {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return then(facts, model);
  };
const answersPayment =
  (change: Partial<Payment>): Behaviour =>
  async (facts, model) => {
    await model();
    Object.assign(facts.payment ?? {}, change);
    return { payment: facts.payment };
  };
export const declines = answersPayment({
  status: PaymentStatus.UNPAID,
  declineCode: "insufficient_funds",
  declineMessage: "Your card has insufficient funds.",
});
export const wantsApproval = answersPayment({
  status: PaymentStatus.REQUIRES_ACTION,
  actionUrl: "https://bank.example/approve",
});
export const isProcessing = answersPayment({ status: PaymentStatus.PROCESSING });

export const times = (count: number, behaviour: Behaviour): Behaviour[] =>
  Array.from({ length: count }, () => behaviour);

function setRefund(order: Order, refund: Partial<OrderRefund> & Pick<OrderRefund, "refundId">): void {
  const before = order.refunds.find(({ refundId }) => refundId === refund.refundId);
  const others = order.refunds.filter((one) => one !== before);
  order.refunds = [...others, OrderRefund.create({ kind: RefundKind.RETURN, atMs: Date.now(), ...before, ...refund })];
}

export type ScriptedServices = Awaited<ReturnType<typeof startScriptedServices>>;

export async function startScriptedServices() {
  const scripts = new Map<string, Behaviour[]>();
  const facts = new Map<string, Facts>();
  const calls = new Map<string, Call[]>();
  const down = new Set<string>();
  const log = createLogger("scripted", "silent");

  const of = (checkoutId: string): Facts => {
    const known = facts.get(checkoutId);
    if (known) return known;
    const fresh: Facts = {
      payment: undefined,
      refunds: new Map(),
      authorizations: 0,
      captures: 0,
      claimed: false,
      holdReleased: false,
      order: undefined,
      ended: false,
      reserved: new Map(),
      sale: undefined,
      lostTickets: [],
    };
    facts.set(checkoutId, fresh);
    return fresh;
  };

  async function take<Response>(
    method: Method,
    request: { checkoutId: string },
    model: (known: Facts) => Response,
  ): Promise<Response> {
    const { checkoutId } = request;
    calls.set(checkoutId, [...(calls.get(checkoutId) ?? []), { method, request, atMs: Date.now() }]);
    if (down.has(`${method} ${checkoutId}`)) throw new DomainError("UNAVAILABLE", `scripted: ${method} is down`);
    const known = of(checkoutId);
    const behaviour = scripts.get(`${method} ${checkoutId}`)?.shift();
    return behaviour ? ((await behaviour(known, () => model(known))) as Response) : model(known);
  }

  const existing = ({ payment }: Facts): Payment => {
    if (!payment) throw new DomainError("PAYMENT_NOT_FOUND", "There is no payment for this checkout.");
    return payment;
  };
  const server = () => createGrpcServer({ listen: "127.0.0.1:0", trust: {}, log, metrics: createMetrics("scripted") });

  /** What Stripe lists, newest first; the cursors it was asked with; and what happens before it answers. */
  const atStripe = {
    payments: [] as StripePayment[],
    asked: [] as string[],
    pageSize: 2,
    before: async (_cursor: string): Promise<void> => undefined,
  };

  const payment = server();
  payment.serve(PaymentServiceService, {
    authorize: (request) =>
      take("authorize", request, (known) => {
        const before = known.payment;
        if (before && before.attempt >= request.attempt) return { payment: before };
        if (before && before.status !== PaymentStatus.UNPAID)
          throw new DomainError("PAYMENT_STATE_CONFLICT", "The payment is not open.");
        known.authorizations += 1;
        known.payment = Payment.create({
          checkoutId: request.checkoutId,
          paymentIntentId: `pi_${request.checkoutId}`,
          status: PaymentStatus.AUTHORIZED,
          amount: request.amount,
          currency: request.currency,
          attempt: request.attempt,
        });
        return { payment: known.payment };
      }),
    capture: (request) =>
      take("capture", request, (known) => {
        const open = existing(known);
        if (open.status !== PaymentStatus.CAPTURED) {
          if (open.status !== PaymentStatus.AUTHORIZED)
            throw new DomainError("PAYMENT_STATE_CONFLICT", "The payment can't be captured.");
          known.captures += 1;
          Object.assign(open, { status: PaymentStatus.CAPTURED, amountCaptured: open.amount });
        }
        return { payment: open };
      }),
    cancel: (request) =>
      take("cancel", request, (known) => {
        const open = known.payment;
        if (open && open.amountCaptured === 0) open.status = PaymentStatus.CANCELLED;
        return { payment: open };
      }),
    refund: (request) =>
      take("refund", request, (known) => {
        const open = existing(known);
        const amount =
          known.refunds.get(request.refundId) ?? (request.amount || open.amountCaptured - open.amountRefunded);
        if (!known.refunds.has(request.refundId)) {
          if (amount > open.amountCaptured - open.amountRefunded)
            throw new DomainError("REFUND_TOO_LARGE", "There is less left than that.");
          known.refunds.set(request.refundId, amount);
          open.amountRefunded += amount;
          open.status =
            open.amountRefunded === open.amountCaptured ? PaymentStatus.REFUNDED : PaymentStatus.PARTIALLY_REFUNDED;
        }
        return {
          payment: open,
          stripeRefundId: `re_${request.refundId}`,
          amount,
          status: RefundStatus.SUCCEEDED,
        };
      }),
    getPayment: (request) => take("getPayment", request, (known) => ({ payment: known.payment })),
    handleWebhook: () => Promise.reject(new DomainError("INTERNAL", "no workflow calls this")),
    listPayments: async ({ changedSinceMs, changedBeforeMs }) => ({
      payments: orphanage.payments
        .filter(({ changedAtMs }) => changedAtMs >= changedSinceMs && changedAtMs < changedBeforeMs)
        .map(({ checkoutId, eventId, changedAtMs }) => ({
          payment: Payment.create({ ...of(checkoutId).payment, checkoutId }),
          userId: "",
          eventId,
          createdAtMs: changedAtMs,
          changedAtMs,
        })),
      nextCursor: "",
    }),
    findPayments: async ({ checkoutIds }) => ({
      payments: checkoutIds.flatMap((checkoutId) => {
        const found = facts.get(checkoutId)?.payment;
        return found ? [{ payment: found, userId: "", eventId: "", createdAtMs: 0, changedAtMs: 0 }] : [];
      }),
    }),
    listStripePayments: async ({ createdSinceMs, createdBeforeMs, cursor }) => {
      const at = cursor === "" ? 0 : Number(cursor);
      atStripe.asked.push(cursor);
      await atStripe.before(cursor);
      const found = atStripe.payments.filter(
        ({ createdAtMs }) => createdAtMs >= createdSinceMs && createdAtMs < createdBeforeMs,
      );
      const next = at + atStripe.pageSize;
      return { payments: found.slice(at, next), nextCursor: next < found.length ? String(next) : "" };
    },
    getDisputeEvidence: () => Promise.reject(new DomainError("PAYMENT_NOT_FOUND", "There is no such dispute.")),
    submitDisputeEvidence: () => Promise.reject(new DomainError("PAYMENT_NOT_FOUND", "There is no such dispute.")),
  });

  const inventory = server();
  inventory.serve(SeatServiceService, {
    claimSeats: (request) =>
      take("claimSeats", request, (known) => {
        const fresh = !known.claimed;
        known.claimed = true;
        known.sale ??= Sale.create({
          userId: request.userId,
          seats: request.seatIds.map((seatId) => ({
            seatId,
            sectionId: "A",
            row: "1",
            number: "1",
            tierId: "standard",
            amount: 4_950,
          })),
          whole: true,
          amount: 4_950 * request.seatIds.length,
          currency: "EUR",
          eventName: "The Night Ferry",
          startsAtMs: Date.UTC(2027, 4, 1, 18),
        });
        return { fresh };
      }),
    releaseClaims: (request) =>
      take("releaseClaims", request, (known) => {
        const released = known.claimed ? 1 : 0;
        const gone = new Set(request.seatIds);
        const seats =
          request.seatIds.length === 0 ? [] : (known.sale?.seats ?? []).filter(({ seatId }) => !gone.has(seatId));
        known.claimed = seats.length > 0;
        known.sale = known.sale && seats.length > 0 ? { ...known.sale, seats, whole: false } : undefined;
        return { released };
      }),
    releaseHold: (request) =>
      take("releaseHold", request, (known) => {
        known.holdReleased = true;
        return { released: 1 };
      }),
    hold: () => Promise.reject(new DomainError("INTERNAL", "no workflow calls this")),
    getAvailability: () => Promise.reject(new DomainError("INTERNAL", "no workflow calls this")),
    getSeatStates: () => Promise.reject(new DomainError("INTERNAL", "no workflow calls this")),
  });

  /** What the lists answer that are searched for orphans; what is in them, tests decide. Two a page. */
  const orphanage = {
    sales: [] as { eventId: string; checkoutId: string; atMs: number }[],
    payments: [] as { checkoutId: string; eventId: string; changedAtMs: number }[],
    refunds: [] as { state: RefundState; listed: ListedRefund }[],
    changedOrders: [] as { checkoutId: string; atMs: number }[],
    cancelledEvents: [] as { eventId: string; cancelledAtMs: number; startsAtMs: number }[],
    /** The ranges that sales were asked for in. */
    asked: [] as { sinceMs: number; beforeMs: number }[],
  };
  function pageOf<Key extends string, Entry extends { readonly atMs: number }>(
    entries: readonly Entry[],
    { sinceMs, beforeMs, cursor }: { sinceMs: number; beforeMs: number; cursor: string },
    key: Key,
  ) {
    if (key === "sales" && cursor === "") orphanage.asked.push({ sinceMs, beforeMs });
    const at = cursor === "" ? 0 : Number(cursor);
    const found = entries.filter(({ atMs }) => atMs >= sinceMs && atMs < beforeMs);
    const nextCursor = at + 2 < found.length ? String(at + 2) : "";
    return { [key]: found.slice(at, at + 2), nextCursor } as Record<Key, Entry[]> & { nextCursor: string };
  }

  /** What ReconcileSeats answers, by its cursor; and the cursors it was asked with. */
  const reconcile = {
    cursors: [] as string[],
    answer: (_cursor: string): ReconcileSeatsResponse => ({
      events: 0,
      seats: 0,
      corrected: 0,
      unavailable: 0,
      nextCursor: "",
    }),
  };
  inventory.serve(ReconcileServiceService, {
    reconcileSeats: async ({ cursor }) => {
      reconcile.cursors.push(cursor);
      return reconcile.answer(cursor);
    },
    listSales: async ({ sinceMs, beforeMs, cursor }) => pageOf(orphanage.sales, { sinceMs, beforeMs, cursor }, "sales"),
    getSale: (request) => take("getSale", request, ({ sale }) => (sale ? { sale } : {})),
  });

  /** Who has claims, by event: the checkouts that ListClaimants answers with, as long as their claims are there. */
  const events = {
    claimants: new Map<string, readonly string[]>(),
    cancelled: [] as string[],
  };
  const noEvent = () => Promise.reject(new DomainError("INTERNAL", "no workflow calls this"));
  inventory.serve(CatalogServiceService, {
    cancelEvent: async ({ eventId }) => {
      if (eventId.endsWith("draft")) throw new DomainError("EVENT_IS_DRAFT", "It is a draft.");
      events.cancelled.push(eventId);
      return { event: undefined };
    },
    // Two claims a page.
    listClaimants: async ({ eventId, cursor }) => {
      const all = events.claimants.get(eventId) ?? [];
      const at = cursor === "" ? 0 : all.indexOf(cursor) + 1;
      const page = all.slice(at, at + 2);
      const checkoutIds = page.filter((checkoutId) => of(checkoutId).claimed);
      return { checkoutIds, nextCursor: at + 2 < all.length ? (page.at(-1) ?? "") : "" };
    },
    createEvent: noEvent,
    publishEvent: noEvent,
    replaceDraft: noEvent,
    getEvent: noEvent,
    searchEvents: noEvent,
    getEventFacets: noEvent,
    getLayout: noEvent,
    listEvents: async () => ({
      events: orphanage.cancelledEvents.map((one) => EventMessage.create(one)),
      nextCursor: "",
    }),
    getOwnEvent: noEvent,
    getEvents: noEvent,
    countHolds: noEvent,
  });

  const ticket = server();
  const noCall = () => Promise.reject(new DomainError("INTERNAL", "no workflow calls this"));
  ticket.serve(TicketServiceService, {
    issueTickets: (request) =>
      take("issueTickets", request, (known) => {
        if (known.ended) throw new DomainError("CHECKOUT_CANCELLED", "It has ended without an order.");
        known.order ??= Order.create({
          ...request,
          status: OrderStatus.COMPLETED,
          ticketIds: request.seats.map((seat) => `tkt_${request.checkoutId}_${seat.seatId}`),
        });
        return { order: known.order };
      }),
    endCheckout: (request) =>
      take("endCheckout", request, (known) => {
        known.ended ||= known.order === undefined;
        return known.order ? { order: known.order } : {};
      }),
    voidTickets: (request) =>
      take("voidTickets", request, (known) => {
        if (!known.order) throw new DomainError("ORDER_NOT_FOUND", "There is no such order.");
        known.order.amountRefunded = request.amountRefunded;
        const { refundId, seatIds, amountRefunded: amount } = request;
        setRefund(known.order, { refundId, seatIds, amount, state: RefundState.PAID });
        return { order: known.order };
      }),
    reserveRefund: (request) =>
      take("reserveRefund", request, ({ order, payment: paid, reserved }) => {
        if (!order) throw new DomainError("ORDER_NOT_FOUND", "There is no such order.");
        const known = reserved.get(request.refundId);
        if (known) return known;
        const { kind: asked, refundId } = request;
        const kind = asked === RefundKind.UNSPECIFIED ? RefundKind.RETURN : asked;
        const gone = new Set(order.refunds.flatMap(({ seatIds }) => seatIds));
        const taken = request.seatIds.filter((seatId) => gone.has(seatId));
        const seatIds = (request.seatIds.length > 0 ? request.seatIds : order.seats.map((seat) => seat.seatId)).filter(
          (seatId) => !gone.has(seatId),
        );
        if (taken.length > 0 || seatIds.length === 0)
          throw new DomainError("SEAT_REFUNDED", "They were given back before.", { seats: taken });
        const left = (paid?.amountCaptured ?? 0) - (paid?.amountRefunded ?? 0);
        if (request.amount > left) throw new DomainError("REFUND_TOO_LARGE", "There is less left than that.");
        const price = order.seats.reduce((sum, seat) => sum + (seatIds.includes(seat.seatId) ? seat.amount : 0), 0);
        const amount = kind === RefundKind.VOID ? 0 : request.amount || Math.min(left, price);
        const fresh = { seatIds: kind === RefundKind.GOODWILL ? [] : seatIds, amount, kind };
        reserved.set(refundId, fresh);
        setRefund(order, { refundId, ...fresh, state: RefundState.PENDING });
        return fresh;
      }),
    dropRefund: (request) =>
      take("dropRefund", request, ({ order, reserved }) => {
        reserved.delete(request.refundId);
        if (order) order.refunds = order.refunds.filter(({ refundId }) => refundId !== request.refundId);
        return {};
      }),
    // All that a refund made elsewhere makes void; states as Stripe's words have them.
    recordPayment: (request) =>
      take("recordPayment", request, ({ order, payment: paid }) => {
        if (!order) throw new DomainError("ORDER_NOT_FOUND", "There is no such order.");
        for (const { refundId, amount, status, outside } of request.refunds) {
          const before = order.refunds.find((refund) => refund.refundId === refundId);
          const whole = outside && amount === paid?.amountCaptured;
          const seatIds = before?.seatIds ?? (whole ? order.seats.map(({ seatId }) => seatId) : []);
          const failed = status === "failed" || status === "canceled";
          const state = failed ? RefundState.FAILED : status === "succeeded" ? RefundState.PAID : RefundState.PENDING;
          if (before?.state !== RefundState.CLOSED && before?.state !== RefundState.REPLACED)
            setRefund(order, {
              refundId,
              seatIds,
              amount,
              state,
              kind: outside ? RefundKind.OUTSIDE : RefundKind.RETURN,
              money: order.seats.slice(0, 1).map(({ seatId }) => ({ seatId, amount })),
            });
        }
        order.disputes = request.disputes;
        const voidSeatIds = order.refunds
          .filter(({ kind }) => kind === RefundKind.OUTSIDE)
          .flatMap(({ seatIds }) => seatIds);
        return { order, voidSeatIds };
      }),
    getOrder: (request) =>
      take("getOrder", request, (known) => {
        if (!known.order) throw new DomainError("ORDER_NOT_FOUND", "There is no such order.");
        return { order: known.order };
      }),
    findOrders: async ({ checkoutIds }) => ({ orders: checkoutIds.flatMap((id) => facts.get(id)?.order ?? []) }),
    listRefunds: async ({ state }) => ({
      refunds: orphanage.refunds.filter((one) => one.state === state).map(({ listed }) => listed),
      nextCursor: "",
    }),
    listDisputes: noCall,
    recordDisputeAnswer: noCall,
    listChangedOrders: async ({ changedSinceMs, changedBeforeMs }) => ({
      orders: orphanage.changedOrders
        .filter(({ atMs }) => atMs >= changedSinceMs && atMs < changedBeforeMs)
        .flatMap(({ checkoutId }) => facts.get(checkoutId)?.order ?? []),
      nextCursor: "",
    }),
    findTickets: async ({ checkoutIds }) => ({
      tickets: checkoutIds.flatMap((checkoutId) => {
        const known = facts.get(checkoutId);
        const { seats = [], currency = "", refunds = [] } = known?.order ?? {};
        const voided = new Set(
          refunds.filter((one) => one.state !== RefundState.PENDING).flatMap((one) => one.seatIds),
        );
        return seats
          .filter(({ seatId }) => !known?.lostTickets.includes(seatId))
          .map(({ seatId, amount }) => ({
            ...{ ticketId: `tkt_${checkoutId}_${seatId}`, checkoutId, seatId, amount, currency },
            status: voided.has(seatId) ? TicketStatus.VOID : TicketStatus.VALID,
          }));
      }),
    }),
    closeRefund: noCall,
    searchOrders: noCall,
    getSales: noCall,
    listTickets: noCall,
    getTicket: noCall,
    listOrders: noCall,
    getVerificationKeys: noCall,
  });

  const address = async (started: Promise<number>) => `127.0.0.1:${await started}`;
  return {
    env: {
      PAYMENT_ADDRESS: await address(payment.start()),
      INVENTORY_ADDRESS: await address(inventory.start()),
      TICKET_ADDRESS: await address(ticket.start()),
    },
    /** The next calls of this method about this checkout, one behaviour each; then the model again. */
    script: (checkoutId: string, method: Method, ...behaviours: readonly Behaviour[]) =>
      void scripts.set(`${method} ${checkoutId}`, [...(scripts.get(`${method} ${checkoutId}`) ?? []), ...behaviours]),
    /** Every call of this method about this checkout fails until it is up again. */
    goDown: (checkoutId: string, method: Method) => void down.add(`${method} ${checkoutId}`),
    comeUp: (checkoutId: string, method: Method) => void down.delete(`${method} ${checkoutId}`),
    facts: of,
    events,
    reconcile,
    orphanage,
    atStripe,
    calls: (checkoutId: string): readonly Call[] => calls.get(checkoutId) ?? [],
    methods: (checkoutId: string): readonly Method[] => (calls.get(checkoutId) ?? []).map(({ method }) => method),
    stop: () => Promise.all([payment, inventory, ticket].map((running) => running.stop(100))),
  };
}
