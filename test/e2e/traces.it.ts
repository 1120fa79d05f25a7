// One trace for each checkout, over every process and store; and when the worker is killed in the middle, still one.
import { createHash, randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type OtlpReceiver, type ReceivedSpan, sendsTo, startOtlpReceiver } from "./otlp-receiver.js";
import { type Person, publishEvent, signUp, untilStatus } from "./rest.js";
import { openShop, plantFault, type Shop, stripeLedger } from "./shop.js";

let collector: OtlpReceiver;
let shop: Shop;
let buyer: Person;
let eventId: string;
const lines: string[] = [];

beforeAll(async () => {
  collector = await startOtlpReceiver();
  shop = await openShop({
    settings: { all: { ...sendsTo(collector), LOG_LEVEL: "debug" } },
    onLine: (name, line) => lines.push(`${name} ${line}`),
  });
  buyer = await signUp(shop.url);
  eventId = await publishEvent(shop.organiser, { seatsPerRow: 20, seatsPerPerson: 20 });
});
afterAll(async () => {
  await shop?.stop();
  await collector?.stop();
});

const traceOf = (traceId: string) => collector.spans.filter((span) => span.traceId === traceId);
const traceIdOf = (checkoutId: string) => createHash("sha256").update(`trace ${checkoutId}`).digest("hex").slice(0, 32);

/** Spans arrive a moment after they have ended: waits for the last one, and for those that others name as their parents. */
async function wholeTrace(traceId: string, last: string): Promise<ReceivedSpan[]> {
  await expect
    .poll(
      () => {
        const spans = traceOf(traceId);
        const known = new Set(spans.map(({ spanId }) => spanId));
        return spans.some(({ name }) => name === last) && orphans(spans, known).length === 0;
      },
      { timeout: 20_000, interval: 200 },
    )
    .toBe(true);
  return traceOf(traceId);
}
const orphans = (spans: readonly ReceivedSpan[], known: ReadonlySet<string>) =>
  spans.filter(({ parentSpanId }) => parentSpanId !== "" && !known.has(parentSpanId));

const lineage = (spans: readonly ReceivedSpan[], span: ReceivedSpan): string[] => {
  const parent = spans.find(({ spanId }) => spanId === span.parentSpanId);
  return parent ? [...lineage(spans, parent), span.name] : [span.name];
};

describe("a checkout", () => {
  it("is one trace from the request to Stripe, MongoDB and Valkey, named after the checkout", async () => {
    const hold = await buyer.hold(eventId, ["A-A-1", "A-A-2"]);
    const { checkoutId } = hold.body;
    const paid = await buyer.pay(checkoutId);
    expect(paid.body.status).toBe("completed");
    const traceId = traceIdOf(checkoutId);
    for (const { headers } of [hold, paid])
      expect(headers.get("traceparent")).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));

    const spans = await wholeTrace(traceId, "workflow checkout");
    const ways = spans.map((span) => lineage(spans, span).join(" > "));
    const holds = "POST /v1/checkouts";
    const pays = "POST /v1/checkouts/{checkoutId}/payment";
    const started = `${holds} > temporal start checkout > workflow checkout`;
    const stream = "onsale.inventory.v1.SeatService/Holds";
    expect(ways).toEqual(
      expect.arrayContaining([
        `${holds} > ${stream} > ${stream} > valkey EVALSHA`,
        `${pays} > temporal update submitPayment > update submitPayment`,
        ...["authorizePayment", "capturePayment", "claimSeats", "issueTickets"].map(
          (step) => `${started} > step ${step}`,
        ),
        ...[
          ["authorizePayment", "payment.v1.PaymentService/Authorize", "stripe create"],
          ["authorizePayment", "payment.v1.PaymentService/Authorize", "stripe confirm"],
          ["capturePayment", "payment.v1.PaymentService/Capture", "stripe capture"],
          ["claimSeats", "inventory.v1.SeatService/ClaimSeats", "mongodb insert claims"],
          ["issueTickets", "ticket.v1.TicketService/IssueTickets", "mongodb insert tickets"],
        ].map(([step, rpc, last]) => `${started} > step ${step} > onsale.${rpc} > onsale.${rpc} > ${last}`),
      ]),
    );
    expect([...new Set(spans.map(({ service }) => service))].sort()).toEqual(
      ["gateway", "inventory", "payment", "ticket", "workflows"].map((name) => `onsale-${name}`),
    );
    expect(spans.filter(({ failed }) => failed).map(({ name }) => name)).toEqual([]);
    for (const { startMs, endMs, name } of spans) expect(endMs, name).toBeGreaterThanOrEqual(startMs);
    // Each root is a request of the buyer's.
    for (const root of spans.filter(({ parentSpanId }) => parentSpanId === ""))
      expect(root).toMatchObject({ service: "onsale-gateway", kind: 2 });
  });

  it("goes on in the trace of a caller who has one, sampled or not", async () => {
    const traceId = randomUUID().replaceAll("-", "");
    const from = (flags: string) => ({ headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-${flags}` } });
    const ask = (seat: string, flags: string) =>
      buyer.ask<{ checkoutId: string }>("POST", "/v1/checkouts", {
        key: randomUUID(),
        body: { eventId, seats: [seat] },
        ...from(flags),
      });
    const untraced = await ask("A-A-3", "00");
    expect(untraced.headers.get("traceparent")).toBeNull();
    const hold = await ask("A-A-4", "01");
    const paid = await buyer.ask("POST", `/v1/checkouts/${hold.body.checkoutId}/payment`, {
      key: randomUUID(),
      body: { paymentMethodId: "pm_card_visa" },
      ...from("01"),
    });
    expect(paid.body["status"]).toBe("completed");
    const below = () =>
      traceOf(traceId)
        .filter(({ parentSpanId }) => parentSpanId === "00f067aa0ba902b7")
        .map(({ name }) => name)
        .sort();
    await expect
      .poll(below, { timeout: 20_000 })
      .toEqual(["POST /v1/checkouts", "POST /v1/checkouts/{checkoutId}/payment"]);
    await expect
      .poll(() => traceOf(traceId).some(({ name }) => name === "workflow checkout"), { timeout: 20_000 })
      .toBe(true);
    expect(traceOf(traceIdOf(hold.body.checkoutId))).toEqual([]);
    expect(traceOf(traceIdOf(untraced.body.checkoutId))).toEqual([]);
  });

  it("that is refused has no failed span; one that nobody could answer has", async () => {
    const lost = await (await signUp(shop.url)).hold(eventId, ["A-A-1"]);
    expect(lost.status).toBe(409);
    const lostTrace = lost.headers.get("traceparent")?.slice(3, 35) ?? "";
    const refused = await wholeTrace(lostTrace, "POST /v1/checkouts");
    expect(refused.filter(({ failed }) => failed)).toEqual([]);
    expect(refused.find(({ service, kind }) => service === "onsale-inventory" && kind === 2)?.attributes).toMatchObject(
      {
        "error.type": "SEAT_TAKEN",
      },
    );

    const { checkoutId } = (await buyer.hold(eventId, ["A-A-5"])).body;
    const declined = await buyer.pay(checkoutId, "pm_card_chargeDeclinedInsufficientFunds");
    expect(declined.body.status).toBe("declined");
    await plantFault(shop, { match: { path: "/payment_intents/.*/confirm$" }, action: { type: "error_500_unstored" } });
    const paid = await buyer.pay(checkoutId);
    expect(paid.body.status).toBe("completed");
    const spans = await wholeTrace(traceIdOf(checkoutId), "workflow checkout");
    const confirms = spans.filter(({ name }) => name === "stripe confirm");
    expect(confirms.map(({ attributes }) => attributes["onsale.outcome"])).toEqual(
      expect.arrayContaining(["declined", "server", "ok"]),
    );
    for (const { attributes, failed } of confirms) expect(failed).toBe(attributes["onsale.outcome"] === "server");
    // Whoever called the payment service was told that it failed, and tried again; the workflow itself did not fail.
    expect(spans.find(({ name, failed }) => name === "step authorizePayment" && failed)).toBeDefined();
    expect(spans.find(({ name }) => name === "workflow checkout")?.failed).toBe(false);
  });

  it("is one trace too when the worker is killed in the middle", async () => {
    const { checkoutId } = (await buyer.hold(eventId, ["A-A-6"])).body;
    await plantFault(shop, { match: { path: "/capture$" }, action: { type: "latency", ms: 3000 } });
    const paying = buyer.pay(checkoutId);
    await expect
      .poll(
        async () =>
          (await stripeLedger(shop)).some(
            (entry) => entry.metadata["checkoutId"] === checkoutId && entry.authorized > 0,
          ),
        {
          timeout: 30_000,
        },
      )
      .toBe(true);
    // It tells a moment later; the capture takes longer than that.
    const told = () => traceOf(traceIdOf(checkoutId)).map(({ name }) => name);
    const before = ["step authorizePayment", "step claimSeats"];
    await expect.poll(told, { timeout: 2_500, interval: 50 }).toEqual(expect.arrayContaining(before));
    await shop.stack.processes.worker?.kill9();
    await shop.stack.processes.worker?.restart();
    await paying;
    await untilStatus(buyer, checkoutId, ["completed"]);
    await expect
      .poll(() => traceOf(traceIdOf(checkoutId)).some(({ name }) => name === "workflow checkout"), { timeout: 20_000 })
      .toBe(true);
    // What the dead worker was in the middle of it could not tell any more: what it had asked for stands alone, in the same trace.
    // A span arrives when it has ended, so after those that it began.
    await expect
      .poll(
        () => {
          const told = traceOf(traceIdOf(checkoutId));
          const alone = orphans(told, new Set(told.map(({ spanId }) => spanId)));
          return alone.map(({ service }) => service).filter((service) => service !== "onsale-payment");
        },
        { timeout: 20_000, interval: 200 },
      )
      .toEqual([]);
    const spans = traceOf(traceIdOf(checkoutId));
    expect(spans.filter(({ name }) => name === "workflow checkout")).toHaveLength(1);
    const steps = spans.filter(({ name }) => name.startsWith("step "));
    const workflow = spans.find(({ name }) => name === "workflow checkout");
    for (const step of steps) expect(step.parentSpanId).toBe(workflow?.spanId);
    expect(steps.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["step authorizePayment", "step capturePayment", "step issueTickets"]),
    );
  });
});

it("is named by every line that is written within it", async () => {
  const hold = await buyer.hold(eventId, ["A-A-8"]);
  const { checkoutId } = hold.body;
  await buyer.pay(checkoutId);
  const requestId = hold.headers.get("x-request-id");
  const traceId = traceIdOf(checkoutId);
  const told = () => lines.filter((line) => line.includes(traceId));
  await expect.poll(() => told().some((line) => line.includes("a checkout ended")), { timeout: 10_000 }).toBe(true);
  const request = told().find((line) => line.startsWith("gateway ") && line.includes(`"requestId":"${requestId}"`));
  expect(request).toMatch(/"span_id":"[0-9a-f]{16}"/);
  const taken = await (await signUp(shop.url)).hold(eventId, ["A-A-8"]);
  const lostTrace = taken.headers.get("traceparent")?.slice(3, 35) ?? "";
  await expect
    .poll(() =>
      lines.some((line) => line.startsWith("inventory ") && line.includes(lostTrace) && line.includes("SEAT_TAKEN")),
    )
    .toBe(true);
});
