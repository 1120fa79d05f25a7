// How the parts are put together.
import { newId as kitId } from "@onsale/kit/ids";
import { listenOn, splitAddress } from "@onsale/kit/lifecycle";
import type { ContextOf, RunningService } from "@onsale/kit/process";
import { createBooks, type Entry } from "./books.js";
import { chanceFrom } from "./chance.js";
import { longestTimerMs, type stripeSimSettings } from "./config.js";
import { createRequestLog } from "./control.js";
import { lockDirectory } from "./data-lock.js";
import { decideNamed, disputeAsItsCardSays, disputePayment, settleDispute } from "./dispute-desk.js";
import { type Draft, openDraft } from "./drafts.js";
import { createFaultPlan, type Faults, noFaults } from "./faults.js";
import { keptMilliseconds } from "./idempotency.js";
import { type Journal, openJournal } from "./journal.js";
import { createRenderer } from "./objects.js";
import { authenticate, type BankTimes, type Call, type Done, settle, tellRefundNamed } from "./payment-desk.js";
import { createRateLimits } from "./rate-limits.js";
import { createSimServer } from "./server.js";
import { createCourier } from "./webhooks.js";

const sweepEveryMs = 10 * 60 * 1000;
/** Stripe lists events of the last thirty days. */
const eventsKeptSeconds = 30 * 24 * 60 * 60;

export async function startStripeSim(context: ContextOf<typeof stripeSimSettings>): Promise<RunningService> {
  const { config, log, metrics, lifecycle } = context;
  if ((config.STRIPE_WEBHOOK_URL === undefined) !== (config.STRIPE_WEBHOOK_SECRET === undefined))
    throw new Error("STRIPE_WEBHOOK_URL and STRIPE_WEBHOOK_SECRET go together: set both, or neither.");

  const clock = () => Date.now();
  const newId = (prefix: string) => kitId(prefix, clock());
  const chance = chanceFrom(config.SIM_SEED);
  const books = createBooks();
  let publicUrl = config.PUBLIC_URL?.replace(/\/+$/, "") ?? "";
  const renderer = createRenderer(() => publicUrl);
  const plan = createFaultPlan(config.SIM_FAULTS, config.SIM_SEED);
  const requests = createRequestLog();
  let journal: Journal | undefined;
  const times: BankTimes = {
    refundSettleMs: config.SIM_REFUND_SETTLE_MS,
    disputeOpenMs: config.SIM_DISPUTE_OPEN_MS,
    disputeDueMs: config.SIM_DISPUTE_DUE_MS,
    disputeSettleMs: config.SIM_DISPUTE_SETTLE_MS,
  };

  /** Applies a change at once and resolves when it is on disk: nobody is told of it, or of what came of it, before. */
  function write(entry: Entry): Promise<void> {
    books.apply(entry);
    return journal!.append(entry);
  }

  const courier = createCourier({
    settings: {
      url: config.STRIPE_WEBHOOK_URL,
      secret: config.STRIPE_WEBHOOK_SECRET,
      duplicates: config.SIM_WEBHOOK_DUPLICATES,
      reordered: config.SIM_WEBHOOK_REORDERED,
      reorderMs: config.SIM_WEBHOOK_REORDER_MS,
      delayMs: config.SIM_WEBHOOK_DELAY_MS,
      concurrency: config.SIM_WEBHOOK_CONCURRENCY,
      attempts: config.SIM_WEBHOOK_ATTEMPTS,
      retryMs: config.SIM_WEBHOOK_RETRY_MS,
      timeoutMs: config.SIM_WEBHOOK_TIMEOUT_MS,
    },
    books,
    commit: write,
    newId,
    chance,
    clock,
    log,
    metrics,
  });

  async function commit(entry: Entry, events: Draft["events"], faults: Faults["webhooks"]): Promise<void> {
    const deliveries = courier.plan(events, faults, clock());
    await write(deliveries.length === 0 ? entry : { ...entry, put: { ...entry.put, deliveries } });
    courier.send(deliveries);
    setClocks(entry.put ?? {});
  }

  const settlements = new Set<NodeJS.Timeout>();
  function settleLater(at: number | undefined, id: string, act: (call: Call) => Done | undefined): void {
    if (at === undefined) return;
    const timer = setTimeout(
      () => {
        settlements.delete(timer);
        const call = newCall();
        if (act(call) === undefined) return;
        commit(call.draft.entry(), call.draft.events, noFaults.webhooks).catch((err: unknown) =>
          log.error({ err, id }, "the bank's word did not come; it will at the next start"),
        );
      },
      Math.min(longestTimerMs, Math.max(0, at - clock())),
    );
    settlements.add(timer);
  }

  /** For every row that the bank has still something to say about. */
  function setClocks({ refunds = [], charges = [], disputes = [] }: NonNullable<Entry["put"]>): void {
    for (const { id, settlesAt } of refunds) settleLater(settlesAt, id, (call) => settle(call, id));
    for (const { id, disputeAt } of charges) settleLater(disputeAt, id, (call) => disputeAsItsCardSays(call, id));
    for (const { id, actsAt } of disputes) settleLater(actsAt, id, (call) => settleDispute(call, id, actsAt!));
  }

  async function byBank(say: (call: Call) => Done): Promise<object> {
    const call = newCall();
    const { object } = say(call);
    await commit(call.draft.entry(), call.draft.events, noFaults.webhooks);
    return object;
  }

  const newCall = (request?: Parameters<typeof openDraft>[0]["request"]): Call => {
    const now = clock();
    return {
      draft: openDraft({ books, renderer, newId, now, request }),
      books,
      renderer,
      now,
      newId,
      searchLagMs: config.SIM_SEARCH_LAG_MS,
      times,
    };
  };

  async function approve(paymentId: string, outcome: "approve" | "fail"): Promise<object | undefined> {
    const payment = books.tables.payments.get(paymentId);
    if (payment?.action === undefined) return undefined;
    const call = newCall();
    authenticate(call, payment, outcome);
    await commit(call.draft.entry(), call.draft.events, noFaults.webhooks);
    return renderer.byId(paymentId, call.draft);
  }

  async function resend(eventId: string): Promise<object | undefined> {
    const event = books.tables.events.get(eventId);
    if (event === undefined) return undefined;
    const [delivery] = courier.plan([event], noFaults.webhooks, clock());
    if (delivery === undefined) return undefined;
    await write({ put: { deliveries: [delivery] } });
    courier.send([delivery]);
    return delivery;
  }

  function sweep(): void {
    const now = clock();
    const keys = [...books.tables.keys.values()].filter(({ storedAt }) => now - storedAt >= keptMilliseconds);
    const events = [...books.tables.events.values()].filter(({ created }) => now / 1000 - created > eventsKeptSeconds);
    if (keys.length + events.length === 0) return;
    write({ drop: { keys: keys.map(({ id }) => id), events: events.map(({ id }) => id) } }).catch((err: unknown) =>
      log.error({ err }, "old keys and events could not be dropped"),
    );
  }

  const server = createSimServer({
    books,
    renderer,
    plan,
    rates: createRateLimits({ perEndpoint: config.SIM_RATE_PER_ENDPOINT, total: config.SIM_RATE_TOTAL }),
    requests,
    control: config.SIM_CONTROL
      ? {
          books,
          plan,
          requests,
          authenticate: approve,
          resend,
          tellRefund: (id, word) => byBank((call) => tellRefundNamed(call, id, word)),
          dispute: (paymentId, order) => byBank((call) => disputePayment(call, paymentId, order)),
          decideDispute: (id, verdict) => byBank((call) => decideNamed(call, id, verdict)),
        }
      : undefined,
    newId,
    clock,
    newCall,
    commit,
    durable: () => journal!.durable(),
    log,
    metrics,
  });

  lifecycle.onStop("data directory", await lockDirectory(config.SIM_DATA_DIR));
  journal = await openJournal({
    directory: config.SIM_DATA_DIR,
    log,
    replay: (entry) => books.apply(entry),
    entries: () => books.entries(),
    compactBytes: config.SIM_COMPACT_BYTES,
    onBroken: (err) => {
      log.fatal({ err }, "the journal can't be written any more: nothing can be acknowledged");
      lifecycle.stop("the journal can't be written").catch(() => undefined);
    },
  });
  lifecycle.onStop("journal", () => journal?.close());

  sweep();
  const sweeping = setInterval(sweep, sweepEveryMs);
  courier.send(books.tables.deliveries.values());
  setClocks({
    refunds: [...books.tables.refunds.values()],
    charges: [...books.tables.charges.values()],
    disputes: [...books.tables.disputes.values()],
  });
  lifecycle.onStop("webhooks and clocks", async () => {
    clearInterval(sweeping);
    for (const timer of settlements) clearTimeout(timer);
    await courier.stop();
  });

  const [host, wantedPort] = splitAddress(config.HTTP_LISTEN);
  await listenOn(server, host, wantedPort);
  const { port } = server.address() as { port: number };
  if (publicUrl === "") publicUrl = `http://${host}:${port}`;
  lifecycle.onStop("http server", async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    // A connection that is busy now is idle, and still open, after its answer.
    const closing = setInterval(() => server.closeIdleConnections(), 50);
    await closed;
    clearInterval(closing);
  });
  log.info(
    {
      url: publicUrl,
      payments: books.tables.payments.size,
      pendingWebhooks: books.tables.deliveries.size,
      control: config.SIM_CONTROL,
    },
    "open",
  );
  return { port, ready: () => server.listening };
}
