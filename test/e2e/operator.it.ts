// What operators may press in the Temporal Web UI, on every workflow in every state: afterwards the books agree, and every answer is true.
import { randomUUID } from "node:crypto";
import {
  cancelEventWorkflowId,
  checkoutWorkflowId,
  failedRefundWorkflowId,
  latePaymentWorkflowId,
  longestStepMs,
  paymentChangedSignal,
  refundSeenToSignal,
  refundWorkflowId,
  submitPaymentUpdate,
  workflowTypes,
} from "@onsale/workflows/contract";
import { WorkflowNotFoundError } from "@temporalio/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Person, publishEvent, signUp, untilStatus } from "./rest.js";
import { openShop, plantFault, type Shop, stripeLedger } from "./shop.js";

const namespace = "default";
let shop: Shop;

/** As `expect.poll`, which is for tests alone. */
async function until<Seen>(look: () => Promise<Seen>, isSo: (seen: Seen) => boolean, withinMs = 90_000): Promise<Seen> {
  for (const end = Date.now() + withinMs; ; ) {
    const seen = await look();
    if (isSo(seen)) return seen;
    if (Date.now() > end) throw new Error(`it is still ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

// ---- what may be pressed

type Press = (workflowId: string) => Promise<void>;
const execution = (workflowId: string) => ({ namespace, workflowExecution: { workflowId } });
const service = () => shop.temporal.workflowService;
const handleOf = (workflowId: string) => shop.temporal.workflow.getHandle(workflowId);
/** The Web UI shows the refusal, and nothing has happened. */
const unless = async (refused: RegExp, work: Promise<unknown>): Promise<void> => {
  await work.catch((error: Error) => {
    if (!(error instanceof WorkflowNotFoundError) && !refused.test(`${error.message} ${String(error.cause)}`))
      throw error;
  });
};
const closed = /already completed|not found|NOT_FOUND|Workflow execution/i;

async function reset(workflowId: string, to: "first" | "middle" | "last", withAll: boolean): Promise<void> {
  const done = async () => (await handleOf(workflowId).fetchHistory()).events ?? [];
  const tasks = await until(
    async () => (await done()).filter((event) => event.workflowTaskCompletedEventAttributes),
    ({ length }) => length > 0,
  );
  const at = { first: 0, middle: Math.floor(tasks.length / 2), last: tasks.length - 1 }[to];
  await service().resetWorkflowExecution({
    ...execution(workflowId),
    reason: "a test",
    requestId: randomUUID(),
    workflowTaskFinishEventId: tasks[at]?.eventId ?? null,
    resetReapplyType: withAll ? 3 : 2, // ALL_ELIGIBLE, NONE
    resetReapplyExcludeTypes: withAll ? [] : [1, 2, 4], // signals, updates, cancel requests
  });
}

async function batch(workflowId: string, operation: object): Promise<void> {
  const jobId = randomUUID();
  const { runId } = await handleOf(workflowId).describe();
  await service().startBatchOperation({
    ...{ namespace, jobId, reason: "a test", executions: [{ workflowId, runId }] },
    ...operation,
  });
  const running = 1;
  await until(
    async () => (await service().describeBatchOperation({ namespace, jobId })).state,
    (state) => state !== running,
  );
}

/** The same type, input and id once more, as the Web UI fills the form in. */
async function startLikeThis(workflowId: string): Promise<void> {
  const { history } = await service().getWorkflowExecutionHistory({
    namespace,
    execution: { workflowId },
    maximumPageSize: 1,
  });
  const started = history?.events?.[0]?.workflowExecutionStartedEventAttributes;
  await unless(
    /already started|already running|AlreadyStarted|ALREADY_EXISTS/i,
    service().startWorkflowExecution({
      ...{ namespace, workflowId, requestId: randomUUID(), identity: "a test" },
      workflowType: started?.workflowType ?? null,
      taskQueue: started?.taskQueue ?? null,
      input: started?.input ?? null,
    }),
  );
}

async function byHand(workflowId: string): Promise<void> {
  const handle = handleOf(workflowId);
  for (const signal of [paymentChangedSignal, refundSeenToSignal, "disputeChanged", "no such signal"])
    for (const args of [[], [{ nonsense: [null, 7] }, "more"]]) await unless(closed, handle.signal(signal, ...args));
  // Refused, or never taken because the workflow has closed.
  for (const [name, args] of [
    [submitPaymentUpdate, []],
    [submitPaymentUpdate, [null]],
    [submitPaymentUpdate, [{ paymentMethodId: 7, returnUrl: {} }]],
    ["no such update", [1]],
  ] as const)
    await expect(handle.executeUpdate(name, { args: [...args] as never })).rejects.toThrow();
}

/** What stands beside a pending activity. */
async function activities(workflowId: string): Promise<void> {
  const { raw } = await handleOf(workflowId).describe();
  for (const { activityId: id } of raw.pendingActivities ?? []) {
    const one = { namespace, execution: { workflowId }, id: id ?? "", identity: "a test" };
    const gone = /not found|no pending|already|invalid/i;
    await unless(gone, service().pauseActivity(one));
    await unless(gone, service().resetActivity({ ...one, keepPaused: true }));
    await unless(
      gone,
      service().updateActivityOptions({
        ...one,
        activityOptions: { startToCloseTimeout: { seconds: 20 as never } },
        updateMask: { paths: ["start_to_close_timeout"] },
      }),
    );
    await unless(gone, service().unpauseActivity(one));
  }
}

const presses = {
  Cancel: (id) => unless(closed, handleOf(id).cancel()),
  Terminate: (id) => unless(closed, handleOf(id).terminate("a test")),
  "Reset to the first task": (id) => reset(id, "first", true),
  "Reset to the first task, bringing nothing along": (id) => reset(id, "first", false),
  "Reset to a task in the middle": (id) => reset(id, "middle", true),
  "Reset to the last task": (id) => reset(id, "last", true),
  "Reset to the last task, bringing nothing along": (id) => reset(id, "last", false),
  "Start Workflow Like This One": startLikeThis,
  "Terminate, then Start Workflow Like This One": async (id) => {
    await unless(closed, handleOf(id).terminate("a test"));
    await startLikeThis(id);
  },
  "Terminate, in a batch": (id) => batch(id, { terminationOperation: {} }),
  "Reset, in a batch": (id) => batch(id, { resetOperation: { options: { firstWorkflowTask: {} } } }),
  "Signals and Updates by hand": byHand,
  "Pause, reset, change, unpause of its activity": activities,
} as const satisfies Readonly<Record<string, Press>>;
type PressName = keyof typeof presses;
const pressNames = Object.keys(presses) as PressName[];

// ---- in which states

interface Cell {
  readonly press: PressName;
  readonly seat: string;
  readonly buyer: Person;
  readonly eventId: string;
  checkoutId: string;
  /** Whose page is open in the Web UI. */
  workflowId: string;
}

interface State {
  readonly name: string;
  /** What goes wrong at Stripe with all of its payments while it is brought about; let go after the pressing. */
  readonly fault?: Readonly<Record<string, unknown>>;
  readonly bring: (cell: Cell) => Promise<void>;
  /** A batch does to each what the press does to one: tried where there is most to lose. */
  readonly inBatches?: true;
  readonly littleToLose?: true;
  /** Presses that the state can't have, and why. */
  readonly impossible?: Partial<Record<PressName, string>>;
}

const always = 1_000_000;
const fails = (method: string, path: string) => ({
  match: { method, path },
  action: { type: "error_500_unstored" },
  count: always,
});
const answersAreLost = (path: string) => ({
  match: { method: "POST", path },
  action: { type: "reset_after_commit" },
  count: always,
});
const noActivity = "it waits for no activity";
const without = { "Pause, reset, change, unpause of its activity": noActivity } as const;

async function hold(cell: Cell): Promise<void> {
  const key = randomUUID();
  // A shop that has too much to do says so, and is asked again.
  const held = await until(
    () => cell.buyer.hold(cell.eventId, [cell.seat], key),
    ({ status }) => status !== 503,
  );
  if (held.status !== 201) throw new Error(`hold: ${held.status} ${JSON.stringify(held.body)}`);
  cell.checkoutId = held.body.checkoutId;
  cell.workflowId = checkoutWorkflowId(cell.checkoutId);
}
function pay({ buyer, checkoutId }: Cell, method?: string): void {
  const key = randomUUID();
  const ask = () => buyer.pay(checkoutId, method, key);
  until(ask, ({ status }) => status < 500).catch(() => undefined); // it is seen in the checkout
}
const entryOf = async (checkoutId: string) =>
  (await stripeLedger(shop)).find(({ metadata }) => metadata["checkoutId"] === checkoutId);
const waits = async (cell: Cell, activity: string): Promise<void> => {
  await until(
    async () => (await handleOf(cell.workflowId).describe()).raw.pendingActivities ?? [],
    (pending) => pending.some(({ activityType }) => activityType?.name === activity),
  );
};
async function holdAndPay(cell: Cell, method?: string): Promise<void> {
  await hold(cell);
  pay(cell, method);
}
async function buy(cell: Cell, method?: string): Promise<void> {
  await holdAndPay(cell, method);
  await untilStatus(cell.buyer, cell.checkoutId, ["completed"], 150_000);
}
async function refund(cell: Cell, wait = true): Promise<void> {
  const asked = shop.operator.ask<{ refundId: string }>("POST", `/v1/orders/${cell.checkoutId}/refund`, {
    key: randomUUID(),
    body: {},
  });
  if (wait) await asked;
  else void asked.catch(() => undefined);
  const [made] = await until(
    async () => (await orderDocument(cell.checkoutId))?.refunds ?? [],
    ({ length }) => length === 1,
  );
  cell.workflowId = refundWorkflowId(made?.refundId ?? "");
}

const states: readonly State[] = [
  {
    name: "a checkout that has expired",
    littleToLose: true,
    bring: async (cell) => {
      await hold(cell);
      await untilStatus(cell.buyer, cell.checkoutId, ["expired"], 150_000);
    },
    impossible: without,
  },
  { name: "a checkout that is held", bring: hold, impossible: without },
  {
    name: "a checkout that is declined, and held again",
    littleToLose: true,
    bring: async (cell) => {
      await hold(cell);
      pay(cell, "pm_card_chargeDeclined");
      await until(
        async () => (await cell.buyer.checkout(cell.checkoutId)).body,
        ({ status, decline }) => status === "held" && decline !== undefined,
      );
    },
    impossible: without,
  },
  {
    name: "a checkout that waits for 3-D Secure",
    bring: async (cell) => {
      await hold(cell);
      pay(cell, "pm_card_threeDSecure2Required");
      await untilStatus(cell.buyer, cell.checkoutId, ["requires_action"]);
    },
  },
  {
    name: "a checkout that pays, before Stripe has authorized",
    fault: fails("POST", "/v1/payment_intents$"),
    bring: async (cell) => {
      await holdAndPay(cell);
      await waits(cell, "authorizePayment");
    },
  },
  {
    name: "a checkout that is authorized, and not told so",
    fault: answersAreLost("/confirm$"),
    bring: async (cell) => {
      await holdAndPay(cell);
      await until(
        async () => (await entryOf(cell.checkoutId))?.authorized,
        (amount) => amount === 4_950,
      );
    },
  },
  {
    name: "a checkout whose seats are claimed, and not paid yet",
    inBatches: true,
    fault: fails("POST", "/capture$"),
    bring: async (cell) => {
      await holdAndPay(cell);
      await waits(cell, "capturePayment");
    },
  },
  {
    name: "a checkout that is captured, and not told so",
    fault: answersAreLost("/capture$"),
    bring: async (cell) => {
      await holdAndPay(cell);
      await until(
        async () => (await entryOf(cell.checkoutId))?.captured,
        (amount) => amount === 4_950,
      );
    },
  },
  { name: "a checkout that is completed", inBatches: true, bring: (cell) => buy(cell), impossible: without },
  {
    name: "a checkout that is cancelled by its buyer",
    littleToLose: true,
    bring: async (cell) => {
      await hold(cell);
      expect((await cell.buyer.cancel(cell.checkoutId)).body.status).toBe("cancelled");
    },
    impossible: without,
  },
  {
    name: "a checkout that is refunded",
    bring: async (cell) => {
      await buy(cell);
      await refund(cell);
      await untilStatus(cell.buyer, cell.checkoutId, ["refunded"]);
      cell.workflowId = checkoutWorkflowId(cell.checkoutId);
    },
    impossible: without,
  },
  {
    name: "a refund that is set aside, and that Stripe does not know",
    fault: fails("POST", "/v1/refunds$"),
    bring: async (cell) => {
      await buy(cell);
      await refund(cell, false);
      await waits(cell, "refundPayment");
    },
  },
  {
    name: "a refund that Stripe has made, and not told so",
    inBatches: true,
    fault: answersAreLost("/v1/refunds$"),
    bring: async (cell) => {
      await buy(cell);
      await refund(cell, false);
      await until(
        async () => (await entryOf(cell.checkoutId))?.refunded,
        (amount) => amount === 4_950,
      );
    },
  },
  {
    name: "a refund that is pending at the bank",
    bring: async (cell) => {
      await buy(cell, "pm_card_pendingRefund");
      await refund(cell, false);
      await waits(cell, "awaitRefund");
    },
  },
  {
    name: "a refund that is done",
    bring: async (cell) => {
      await buy(cell);
      await refund(cell);
      await handleOf(cell.workflowId).result();
    },
    impossible: without,
  },
  {
    name: "a refund that the bank has sent back, and that waits for a person",
    bring: async (cell) => {
      await buy(cell, "pm_card_refundFail");
      await refund(cell);
      const { refundId = "" } = (await orderDocument(cell.checkoutId))?.refunds[0] ?? {};
      cell.workflowId = failedRefundWorkflowId(refundId);
      await until(
        () => statusOf(cell.workflowId),
        (status) => status === "RUNNING",
      );
    },
    impossible: without,
  },
  {
    name: "a settlement that waits for steps under way",
    littleToLose: true,
    bring: async (cell) => {
      await hold(cell);
      await handleOf(cell.workflowId).terminate("a test");
      expect((await cell.buyer.checkout(cell.checkoutId)).body).toMatchObject({
        status: "paying",
        reason: "CLOSED_BY_OPERATOR",
      });
      cell.workflowId = latePaymentWorkflowId(cell.checkoutId);
    },
    impossible: without,
  },
  {
    name: "a settlement that is half done",
    fault: fails("POST", "/(capture|cancel)$"),
    bring: async (cell) => {
      await holdAndPay(cell);
      await waits(cell, "capturePayment");
      await handleOf(cell.workflowId).terminate("a test");
      cell.workflowId = latePaymentWorkflowId(cell.checkoutId);
      await settleNow(cell);
      await waits(cell, "cancelPayment");
    },
  },
  {
    name: "a cancelled event that waits until no process sells it",
    littleToLose: true,
    bring: async (cell) => {
      await buy(cell);
      await cancelEvent(cell);
    },
    impossible: without,
  },
  {
    name: "a cancelled event whose orders are given back",
    fault: fails("POST", "/v1/refunds$"),
    bring: async (cell) => {
      await buy(cell);
      await cancelEvent(cell);
      await until(
        async () => (await orderDocument(cell.checkoutId))?.refunds.length,
        (length) => length === 1,
      );
    },
    impossible: { "Pause, reset, change, unpause of its activity": "its refunds' workflows have the activities" },
  },
];

/** STATE=word: only those whose name has it. */
const wanted = states.filter(({ name }) => name.includes(process.env["STATE"] ?? ""));

async function settleNow({ checkoutId, eventId, workflowId }: Cell): Promise<void> {
  await shop.temporal.workflow.start(workflowTypes.settleLatePayment, {
    ...{ workflowId, taskQueue: shop.taskQueue, args: [{ checkoutId, eventId }] },
  });
}

async function cancelEvent(cell: Cell): Promise<void> {
  const told = await shop.organiser.ask("POST", `/v1/organiser/events/${cell.eventId}/cancel`, {
    key: randomUUID(),
    body: {},
  });
  if (told.status >= 300) throw new Error(`cancel: ${told.status} ${JSON.stringify(told.body)}`);
  cell.workflowId = cancelEventWorkflowId(cell.eventId);
}

// ---- what must hold afterwards, from the stores

interface OrderDocument {
  readonly _id: unknown;
  readonly status: string;
  readonly refunds: readonly { readonly refundId: string; readonly amount: number; readonly state: string }[];
}
const collection = (name: string) => shop.mongo.db(shop.database).collection<Record<string, unknown>>(name);
async function orderDocument(checkoutId: string): Promise<OrderDocument | undefined> {
  const found = await collection("orders").findOne({ _id: checkoutId as never, status: { $ne: "ended" } });
  return (found as OrderDocument | null) ?? undefined;
}
const statusOf = async (workflowId: string): Promise<string> =>
  (
    await handleOf(workflowId)
      .describe()
      .catch(() => undefined)
  )?.status.name ?? "NONE";

/** Where the stores, Stripe, Temporal and the gateway contradict each other about one checkout: nowhere. */
async function contradictions(cell: Cell, rival: Person): Promise<string[]> {
  const { checkoutId, eventId, seat, buyer } = cell;
  const found: string[] = [];
  const say = (is: boolean, what: string) => void (is || found.push(what));
  const claims = await collection("claims")
    .find({ eventId, seatId: seat, kind: { $ne: "block" } })
    .toArray();
  const tickets = await collection("tickets").find({ eventId, seatId: seat, status: "valid" }).toArray();
  const order = await orderDocument(checkoutId);
  const entry = await entryOf(checkoutId);
  const { authorized = 0, captured = 0, refunded = 0, released = 0, successfulCharges = 0 } = entry ?? {};
  const owed = (order?.refunds ?? [])
    .filter(({ state }) => state === "failed")
    .reduce((sum, { amount }) => sum + amount, 0);
  const back = (order?.refunds ?? [])
    .filter(({ state }) => state === "paid")
    .reduce((sum, { amount }) => sum + amount, 0);
  say(claims.length <= 1 && tickets.length <= 1, "its seat is sold twice");
  say(claims.length === tickets.length, `${claims.length} claims, ${tickets.length} valid tickets`);
  say(
    claims.every((claim) => claim["checkoutId"] === checkoutId),
    "its seat is claimed for another",
  );
  say(tickets.length === 0 || order !== undefined, "it has a ticket without an order");
  say(captured - refunded === tickets.length * 4_950 + owed, `Stripe keeps ${captured - refunded}, ${owed} of it owed`);
  say(authorized === captured + released, `Stripe has ${authorized - captured - released} reserved`);
  say(!order || back === refunded, `Stripe gave ${refunded} back, the order says ${back}`);
  say(!order?.refunds.some(({ state }) => state === "pending"), "a refund is under way for ever");
  say(successfulCharges <= 1, `it was charged ${successfulCharges} times`);
  const told = (await buyer.checkout(checkoutId)).body;
  const true_ = tickets.length > 0 ? ["completed"] : order || captured > 0 ? ["refunded"] : ["cancelled", "expired"];
  // Tickets that are void while their money is owed: the order is not refunded yet.
  if (owed > 0) true_.push("completed");
  say(true_.includes(told.status), `the gateway says ${told.status} (${told.reason}), the truth is ${true_}`);
  for (const workflowId of new Set([
    checkoutWorkflowId(checkoutId),
    latePaymentWorkflowId(checkoutId),
    cell.workflowId,
  ])) {
    const waitsForPerson = owed > 0 && workflowId.startsWith("refund-failed-");
    const status = await statusOf(workflowId);
    say(waitsForPerson ? status === "RUNNING" : status !== "RUNNING", `${workflowId} is ${status}`);
  }
  if (!cell.workflowId.startsWith("cancel-")) {
    const second = await rival.hold(eventId, [seat]);
    const expected = tickets.length > 0 ? "SEAT_TAKEN" : "held";
    say(
      (second.body.code ?? second.body.status) === expected,
      `a second buyer hears ${second.body.code ?? second.body.status}`,
    );
    if (second.status === 201) await rival.cancel(second.body.checkoutId);
  }
  if (found.length > 0) found.push(`(order ${order?.status}, ${JSON.stringify(entry)})`);
  return found;
}

// ---- all at once on one shop

const key = (state: string, press: string) => `${state}: ${press}`;
const outcomes = new Map<string, readonly string[]>();
const ends = new Map<string, string>();
const ofEvents = (state: State) => state.name.startsWith("a cancelled event");
/** One Reset is as good as another where there is little to come back to. */
const pressesAtEnds = [
  "Cancel",
  "Terminate",
  "Reset to the first task, bringing nothing along",
  "Start Workflow Like This One",
  "Terminate, then Start Workflow Like This One",
  "Signals and Updates by hand",
] as const satisfies readonly PressName[];
const pressesOf = (state: State): PressName[] =>
  (state.littleToLose ? pressesAtEnds : pressNames).filter(
    (press) => !state.impossible?.[press] && (state.inBatches || !press.endsWith("in a batch")),
  );

async function dropFault(eventId: string): Promise<void> {
  const url = `${shop.stack.stripeUrl}/_sim/faults`;
  const { rules = [] } = (await (await fetch(url)).json()) as {
    rules?: { id: number; match: { metadata?: { eventId?: string } } }[];
  };
  for (const { id, match } of rules)
    if (match.metadata?.eventId === eventId) await fetch(`${url}/${id}`, { method: "DELETE" });
}

async function through(state: State): Promise<readonly Cell[]> {
  const buyer = await signUp(shop.url);
  const shared = ofEvents(state) ? undefined : await publishEvent(shop.organiser, { seatsPerPerson: 50 });
  const events: string[] = [];
  const cells = await Promise.all(
    pressesOf(state).map(async (press, index): Promise<Cell> => {
      const eventId = shared ?? (await publishEvent(shop.organiser, { seatsPerPerson: 50 }));
      events.push(eventId);
      return { press, seat: `A-A-${index + 1}`, buyer, eventId, checkoutId: "", workflowId: "" };
    }),
  );
  for (const eventId of new Set(events)) {
    const { match = {}, ...rule } = (state.fault ?? {}) as { match?: object };
    if (state.fault) await plantFault(shop, { ...rule, match: { ...match, metadata: { eventId } } });
  }
  const failed = new Set<Cell>();
  const tried = (what: string, cell: Cell, work: Promise<void>) =>
    work.catch((error: Error) => {
      failed.add(cell);
      outcomes.set(key(state.name, cell.press), [`${what}: ${error.message}`]);
    });
  await Promise.all(cells.map((cell) => tried("it was not brought there", cell, state.bring(cell))));
  const there = cells.filter((cell) => !failed.has(cell));
  await Promise.all(there.map((cell) => tried("it could not be pressed", cell, presses[cell.press](cell.workflowId))));
  for (const eventId of new Set(events)) await dropFault(eventId);
  // Whoever was asked by the bank approves.
  for (const { checkoutId } of there) {
    const entry = await entryOf(checkoutId);
    if (entry?.status === "requires_action")
      await fetch(`${shop.stack.stripeUrl}/_sim/3ds/${entry.id}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ outcome: "approve" }),
      });
  }
  return cells.filter((cell) => !failed.has(cell));
}

async function findOrphans(): Promise<void> {
  await shop.temporal.workflow.execute(workflowTypes.findOrphans, {
    workflowId: `orphans-${randomUUID()}`,
    taskQueue: shop.taskQueue,
    args: [{ settledAfterMs: 0 }],
  });
}

const holdSeconds = 75;
/** Enough to be done soon, and few enough to be pressed before their holds end. */
const statesAtOnce = 4;
beforeAll(async () => {
  shop = await openShop({
    settings: {
      inventory: { HOLD_TTL_SECONDS: String(holdSeconds), EVENT_CACHE_MS: "500" },
      payment: { STRIPE_BREAKER_FAILURES: "100000", STRIPE_RATE_PER_ENDPOINT: "500", STRIPE_RATE_TOTAL: "2000" },
      gateway: { CANCEL_SETTLE_SECONDS: "4" },
      "stripe-sim": { SIM_RATE_PER_ENDPOINT: "0", SIM_RATE_TOTAL: "0", SIM_REFUND_SETTLE_MS: "8000" },
    },
  });
  const brought: { readonly state: State; readonly cells: readonly Cell[] }[] = [];
  const left = [...wanted];
  const some = Array.from({ length: statesAtOnce }, async () => {
    for (let state = left.shift(); state; state = left.shift()) brought.push({ state, cells: await through(state) });
  });
  await Promise.all(some);
  // What ends by itself ends; the buyers look, so that what was closed by force is settled.
  const all = brought.flatMap(({ cells }) => cells);
  const undecided = ["held", "paying", "requires_action"];
  const end = Date.now() + 2 * holdSeconds * 1_000 + longestStepMs;
  for (let open = all; open.length > 0 && Date.now() < end; ) {
    const stillOpen = async ({ buyer, checkoutId, workflowId }: Cell): Promise<boolean> => {
      if (undecided.includes((await buyer.checkout(checkoutId)).body.status)) return true;
      const own = workflowId.startsWith("refund-failed-") ? [] : [workflowId];
      const others = [checkoutWorkflowId(checkoutId), latePaymentWorkflowId(checkoutId)];
      return (await Promise.all([...own, ...others].map(statusOf))).includes("RUNNING");
    };
    const answers: boolean[] = [];
    for (const cell of open) answers.push(await stillOpen(cell));
    open = open.filter((_, index) => answers[index]);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
  }
  for (let time = 1; time <= 2; time++) await findOrphans();
  for (const { state, cells } of brought) {
    const rival = await signUp(shop.url);
    for (const cell of cells) {
      outcomes.set(key(state.name, cell.press), await contradictions(cell, rival));
      ends.set(key(state.name, cell.press), (await cell.buyer.checkout(cell.checkoutId)).body.status);
    }
    if (process.env["ENDS"])
      for (const press of pressNames) console.log(`${state.name} | ${press} | ${ends.get(key(state.name, press))}`);
  }
}, 600_000);
afterAll(() => shop?.stop());

describe.each(wanted.map((state) => [state.name, state] as const))("%s", (name, state) => {
  it.each(pressesOf(state))("%s: the books agree, and every answer is true", (press) => {
    expect(outcomes.get(key(name, press))).toEqual([]);
  });
});
