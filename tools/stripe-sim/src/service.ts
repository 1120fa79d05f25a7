// How the parts are put together.
import { newId as kitId } from "@onsale/kit/ids";
import { listenOn, splitAddress } from "@onsale/kit/lifecycle";
import type { ContextOf, RunningService } from "@onsale/kit/process";
import { Bank } from "./bank.js";
import { createBooks, type Entry } from "./books.js";
import { chanceFrom } from "./chance.js";
import type { stripeSimSettings } from "./config.js";
import { createRequestLog } from "./control.js";
import { lockDirectory } from "./data-lock.js";
import { decideNamed, disputePayment } from "./dispute-desk.js";
import { openDraft } from "./drafts.js";
import { createFaultPlan } from "./faults.js";
import { type Journal, openJournal } from "./journal.js";
import { createRenderer } from "./objects.js";
import { type BankTimes, type Call, tellRefundNamed } from "./payment-desk.js";
import { createRateLimits } from "./rate-limits.js";
import { createSimServer } from "./server.js";
import { createCourier } from "./webhooks.js";

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

  const bank = new Bank({ books, courier, newCall, write, clock, log });

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
          authenticate: (id, outcome) => bank.authenticate(id, outcome),
          resend: (id) => bank.resend(id),
          tellRefund: (id, word) => bank.say((call) => tellRefundNamed(call, id, word)),
          dispute: (paymentId, order) => bank.say((call) => disputePayment(call, paymentId, order)),
          decideDispute: (id, verdict) => bank.say((call) => decideNamed(call, id, verdict)),
        }
      : undefined,
    newId,
    clock,
    newCall,
    commit: (entry, events, faults) => bank.commit(entry, events, faults),
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

  bank.open();
  lifecycle.onStop("webhooks and clocks", () => bank.close());

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
