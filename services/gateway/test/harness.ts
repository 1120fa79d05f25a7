// A gateway under test: the real one over real HTTP, its neighbours replaced by gRPC servers that answer as the test says.
import { randomUUID } from "node:crypto";
import { DomainError } from "@onsale/kit/errors";
import { createGrpcServer, type ServiceHandlers } from "@onsale/kit/grpc-server";
import { createWatches } from "@onsale/kit/grpc-watch";
import { createLogger } from "@onsale/kit/log";
import { createMetrics } from "@onsale/kit/metrics";
import { createContext } from "@onsale/kit/process";
import { type Account, AccountServiceService, type Session } from "@onsale/proto/account/v1/account";
import { BlockServiceService } from "@onsale/proto/inventory/v1/blocks";
import { CatalogServiceService, type Event, EventStatus, OrphanRule } from "@onsale/proto/inventory/v1/catalog";
import { ChannelServiceService } from "@onsale/proto/inventory/v1/channels";
import { LiveSeatServiceService, type SeatChanges, type WatchSeatsRequest } from "@onsale/proto/inventory/v1/live";
import { type HoldResponse, SeatServiceService } from "@onsale/proto/inventory/v1/seats";
import { type Payment, PaymentServiceService, PaymentStatus } from "@onsale/proto/payment/v1/payment";
import {
  type Order,
  type OrderRefund,
  OrderStatus,
  RefundKind,
  RefundState,
  type Ticket,
  TicketServiceService,
  TicketStatus,
} from "@onsale/proto/ticket/v1/ticket";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { gatewaySettings } from "../src/config.js";
import { startGateway } from "../src/service.js";

export interface Recorded {
  readonly method: string;
  // biome-ignore lint/suspicious/noExplicitAny: each method's own request; the test knows which it asks for
  readonly request: any;
  readonly requestId: string | undefined;
}

type Neighbours = {
  readonly account: Partial<ServiceHandlers<typeof AccountServiceService>>;
  readonly catalog: Partial<ServiceHandlers<typeof CatalogServiceService>>;
  readonly seats: Partial<ServiceHandlers<typeof SeatServiceService>>;
  readonly live: Partial<ServiceHandlers<typeof LiveSeatServiceService>> & {
    watchSeats?: (request: WatchSeatsRequest, signal: AbortSignal) => AsyncIterable<SeatChanges>;
  };
  readonly channels: Partial<ServiceHandlers<typeof ChannelServiceService>>;
  readonly blocks: Partial<ServiceHandlers<typeof BlockServiceService>>;
  readonly payment: Partial<ServiceHandlers<typeof PaymentServiceService>>;
  readonly ticket: Partial<ServiceHandlers<typeof TicketServiceService>>;
};
export type Replies = { -readonly [Name in keyof Neighbours]?: Neighbours[Name] };

export interface Asked {
  readonly token?: string | undefined;
  readonly key?: string | undefined;
  readonly body?: unknown;
  /** Instead of body: as it is. */
  readonly raw?: string | Uint8Array<ArrayBuffer>;
  readonly headers?: Record<string, string>;
}
export interface Told {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: JSON of the answer; the test knows its shape
  readonly body: any;
}

export interface HarnessOptions {
  readonly redisUrl: string;
  readonly temporalAddress: string;
  readonly settings?: Record<string, string>;
}

export type Harness = Awaited<ReturnType<typeof startHarness>>;

export async function startHarness({ redisUrl, temporalAddress, settings = {} }: HarnessOptions) {
  const run = randomUUID().slice(0, 8);
  const log = createLogger("neighbours", "silent");
  const calls: Recorded[] = [];
  /** What the neighbours answer; a test overrides what it is about. */
  const replies: Replies = {};
  const { privateKey, publicKey } = await generateKeyPair("EdDSA", { crv: "Ed25519" });
  const jwk = { ...(await exportJWK(publicKey)), kid: "key-1", alg: "EdDSA", use: "sig" };
  const keys = { jwksJson: JSON.stringify({ keys: [jwk] }), asked: 0 };

  const defaults: Neighbours = {
    account: {
      getVerificationKeys: async () => {
        keys.asked += 1;
        return { jwksJson: keys.jwksJson };
      },
    },
    catalog: {},
    seats: {},
    live: {},
    channels: {},
    blocks: {},
    payment: {},
    ticket: {
      findOrders: async () => ({ orders: [] }),
      getOrder: async () => {
        throw new DomainError("ORDER_NOT_FOUND", "There is no such order.");
      },
    },
  };

  function handlersFor<Definition extends object>(
    part: keyof Neighbours,
    definition: Definition,
  ): ServiceHandlers<Definition> {
    const handlers: Record<string, unknown> = {};
    for (const name of Object.keys(definition))
      handlers[name] = async (request: unknown, context: { requestId: string | undefined }) => {
        if (name !== "getVerificationKeys")
          calls.push({ method: `${part}.${name}`, request, requestId: context.requestId });
        const reply = { ...defaults[part], ...replies[part] } as Record<
          string,
          (...args: unknown[]) => Promise<unknown>
        >;
        if (!reply[name]) throw new Error(`the test has no answer for ${part}.${name}`);
        return await reply[name](request, context);
      };
    return handlers as ServiceHandlers<Definition>;
  }

  const secret = "gateway-test-secret-0123456789";
  const newServer = async (listen: string) => {
    const server = createGrpcServer({
      listen,
      trust: { sharedSecret: secret },
      log,
      metrics: createMetrics("neighbours"),
    });
    server.serve(AccountServiceService, handlersFor("account", AccountServiceService));
    server.serve(CatalogServiceService, handlersFor("catalog", CatalogServiceService));
    server.serve(SeatServiceService, handlersFor("seats", SeatServiceService));
    const watches = createWatches({ trust: { sharedSecret: secret }, log, metrics: createMetrics("neighbours") });
    server.serve(LiveSeatServiceService, handlersFor("live", LiveSeatServiceService), {
      watchSeats: watches(LiveSeatServiceService.watchSeats, (request, signal) => {
        calls.push({ method: "live.watchSeats", request, requestId: undefined });
        if (!replies.live?.watchSeats) throw new Error("the test has no answer for live.watchSeats");
        return replies.live.watchSeats(request, signal);
      }),
    });
    server.serve(ChannelServiceService, handlersFor("channels", ChannelServiceService));
    server.serve(BlockServiceService, handlersFor("blocks", BlockServiceService));
    server.serve(PaymentServiceService, handlersFor("payment", PaymentServiceService));
    server.serve(TicketServiceService, handlersFor("ticket", TicketServiceService));
    return { server, port: await server.start() };
  };
  const neighbours = await newServer("127.0.0.1:0");
  const address = `127.0.0.1:${neighbours.port}`;

  const context = createContext("gateway", gatewaySettings, {
    NODE_ENV: "test",
    LOG_LEVEL: process.env["TEST_LOG_LEVEL"] ?? "silent",
    GRPC_SHARED_SECRET: secret,
    HTTP_LISTEN: "127.0.0.1:0",
    ACCOUNT_ADDRESS: address,
    INVENTORY_ADDRESS: address,
    PAYMENT_ADDRESS: address,
    TICKET_ADDRESS: address,
    TEMPORAL_ADDRESS: temporalAddress,
    TASK_QUEUE: `gateway-${run}`,
    REDIS_URL: redisUrl,
    REDIS_PREFIX: `gw-${run}:`,
    ANSWER_CACHE_MS: "0",
    ...settings,
  });
  const gateway = await startGateway(context);
  const url = `http://127.0.0.1:${gateway.port}`;
  for (let tries = 0; settings["ACCOUNT_ADDRESS"] === undefined && !(await gateway.ready()) && tries < 100; tries++)
    await new Promise((r) => setTimeout(r, 50));

  async function send(
    method: string,
    path: string,
    { token, key, body, raw, headers = {} }: Asked = {},
  ): Promise<Told> {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(key === undefined ? {} : { "idempotency-key": key }),
        ...headers,
      },
      ...(body !== undefined ? { body: JSON.stringify(body) } : raw !== undefined ? { body: raw } : {}),
      redirect: "manual",
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const text = bytes.toString("utf8");
    const json = (response.headers.get("content-type") ?? "").includes("json");
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: json && text !== "" ? JSON.parse(text) : bytes,
    };
  }

  return {
    run,
    url,
    port: gateway.port,
    context,
    gateway,
    calls,
    replies,
    keys,
    privateKey,
    neighbours: neighbours.server,
    /** Where the neighbours are, and what their callers must know. */
    neighbourAddress: address,
    sharedSecret: secret,
    taskQueue: `gateway-${run}`,
    redisPrefix: `gw-${run}:`,
    get: (path: string, asked?: Asked) => send("GET", path, asked),
    post: (path: string, asked?: Asked) => send("POST", path, asked),
    put: (path: string, asked?: Asked) => send("PUT", path, asked),
    delete: (path: string, asked?: Asked) => send("DELETE", path, asked),
    send,
    /** A token as the account service makes them; overrides make a wrong one. */
    token: (
      accountId: string,
      {
        roles = ["buyer"],
        ...over
      }: {
        roles?: string[];
        issuer?: string;
        audience?: string;
        expires?: number;
        typ?: string;
        kid?: string;
        key?: Parameters<SignJWT["sign"]>[0];
        alg?: string;
        claims?: object;
      } = {},
    ) =>
      new SignJWT({ sid: "ses_1", roles, ...over.claims })
        .setProtectedHeader({ alg: over.alg ?? "EdDSA", typ: over.typ ?? "at+jwt", kid: over.kid ?? "key-1" })
        .setIssuer(over.issuer ?? "onsale")
        .setAudience(over.audience ?? "onsale")
        .setSubject(accountId)
        .setIssuedAt()
        .setJti(randomUUID())
        .setExpirationTime(over.expires ?? Math.floor(Date.now() / 1000) + 600)
        .sign(over.key ?? privateKey),
    reset: () => {
      calls.length = 0;
      for (const name of Object.keys(replies)) delete replies[name as keyof Replies];
    },
    stop: async () => {
      await context.lifecycle.stop("test");
      await neighbours.server.stop(200);
    },
  };
}

// ---- what the neighbours answer with

export const anAccount = (over: Partial<Account> = {}): Account => ({
  accountId: "acc_1",
  email: "ada@example.test",
  name: "Ada",
  roles: ["buyer"],
  createdAtMs: Date.UTC(2027, 0, 1),
  ...over,
});
export const aSession = (over: Partial<Session> = {}): Session => ({
  sessionId: "ses_1",
  accessToken: "a.b.c",
  accessExpiresAtMs: Date.UTC(2027, 0, 1),
  refreshToken: "refresh-secret-value",
  refreshExpiresAtMs: Date.UTC(2027, 1, 1),
  ...over,
});
export const anEvent = (over: Partial<Event> = {}): Event => ({
  eventId: "evt_1",
  organiserId: "acc_org",
  name: "The Night Ferry",
  description: "",
  venue: { name: "Harbour Hall", city: "Kiel", country: "DE", timeZone: "Europe/Berlin" },
  status: EventStatus.PUBLISHED,
  startsAtMs: Date.UTC(2027, 4, 1, 18),
  onSaleAtMs: Date.UTC(2027, 3, 1, 10),
  offSaleAtMs: 0,
  currency: "EUR",
  seatsPerPerson: 8,
  tiers: [{ tierId: "standard", name: "Standard", amount: 4950 }],
  capacity: 100,
  layoutVersion: "v1",
  orphanRule: OrphanRule.LENIENT,
  accessibleUntilMs: 0,
  refundableUntilMs: 0,
  createdAtMs: Date.UTC(2027, 2, 1),
  cancelledAtMs: 0,
  cancelReason: "",
  ...over,
});
export const aSeat = (seatId: string) => {
  const [sectionId = "", row = "", number = ""] = seatId.split("-");
  return { seatId, sectionId, row, number, tierId: "standard", amount: 4950 };
};
export const aHold = (seatIds: readonly string[], over: Partial<HoldResponse> = {}): HoldResponse => ({
  holdId: "00000000000000aa",
  epoch: 1,
  deadlineMs: Date.now() + 300_000,
  seats: seatIds.map(aSeat),
  amount: 4950 * seatIds.length,
  currency: "EUR",
  eventName: "The Night Ferry",
  startsAtMs: Date.UTC(2027, 4, 1, 18),
  venueName: "Harbour Hall",
  city: "Kiel",
  timeZone: "Europe/Berlin",
  ...over,
});
export const anOrder = (checkoutId: string, userId: string, over: Partial<Order> = {}): Order => ({
  checkoutId,
  userId,
  event: {
    eventId: "evt_1",
    name: "The Night Ferry",
    startsAtMs: Date.UTC(2027, 4, 1, 18),
    venueName: "Harbour Hall",
    city: "Kiel",
    timeZone: "Europe/Berlin",
  },
  seats: [aSeat("A-A-1"), aSeat("A-A-2")],
  amount: 9900,
  amountRefunded: 0,
  currency: "EUR",
  status: OrderStatus.COMPLETED,
  createdAtMs: Date.UTC(2027, 3, 1, 11),
  ticketIds: ["tkt_1", "tkt_2"],
  refunds: [],
  refundingSeatIds: [],
  left: [
    { seatId: "A-A-1", amount: 4950 },
    { seatId: "A-A-2", amount: 4950 },
  ],
  amountFailed: 0,
  amountClosed: 0,
  disputes: [],
  ...over,
});
export const aRefund = (over: Partial<OrderRefund> = {}): OrderRefund => ({
  refundId: "rfd_1",
  amount: 4950,
  seatIds: ["A-A-1"],
  atMs: Date.UTC(2027, 3, 2),
  requestedAtMs: Date.UTC(2027, 3, 2),
  kind: RefundKind.RETURN,
  state: RefundState.PAID,
  requestedBy: "acc_1",
  reason: "",
  money: [{ seatId: "A-A-1", amount: 4950 }],
  failureReason: "",
  replacedBy: "",
  closedBy: "",
  closedReason: "",
  ...over,
});
export const aTicket = (over: Partial<Ticket> = {}): Ticket => ({
  ticketId: "tkt_1",
  checkoutId: "chk_1",
  event: anOrder("chk_1", "acc_1").event,
  seat: aSeat("A-A-1"),
  currency: "EUR",
  status: TicketStatus.VALID,
  issuedAtMs: Date.UTC(2027, 3, 1, 11),
  voidedAtMs: 0,
  token: "t.o.k",
  qrSvg: "<svg/>",
  disputed: false,
  ...over,
});
export const aPayment = (checkoutId: string, status: PaymentStatus = PaymentStatus.AUTHORIZED): Payment => ({
  checkoutId,
  paymentIntentId: "pi_1",
  status,
  amount: 4950,
  currency: "EUR",
  amountCaptured: 0,
  amountRefunded: 0,
  attempt: 1,
  declineCode: "",
  declineMessage: "",
  actionUrl: "",
  refunds: [],
  userId: "",
  eventId: "",
  disputes: [],
});

export async function eventually<Result>(check: () => Promise<Result> | Result, ms = 30_000): Promise<Result> {
  for (const end = Date.now() + ms; ; ) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
