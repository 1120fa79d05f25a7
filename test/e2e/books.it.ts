// The books on the whole stack: whatever was bought, given back, sent back and disputed balances; and each kind of damage is found by its cause.
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { publishEvent, signUp, untilStatus } from "./rest.js";
import { openShop, plantFault, type Shop, stripeLedger } from "./shop.js";

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterAll(() => shop?.stop());

const price = 4950;
let seatsSold = 0;

async function buy(eventId: string, count = 1) {
  const person = await signUp(shop.url);
  const seats = Array.from({ length: count }, () => `A-A-${++seatsSold}`);
  const held = await person.hold(eventId, seats);
  expect(held.status, JSON.stringify(held.body)).toBe(201);
  const { checkoutId } = held.body;
  await person.pay(checkoutId);
  await untilStatus(person, checkoutId, ["completed"]);
  return { person, checkoutId, seats };
}

/** By an operator. */
async function giveBack(checkoutId: string, body: Readonly<Record<string, unknown>>): Promise<void> {
  const answer = await shop.operator.ask("POST", `/v1/orders/${checkoutId}/refund`, { key: randomUUID(), body });
  expect(answer.body, JSON.stringify(answer.body)).toMatchObject({ status: "refunded" });
}

/** As support does it at Stripe: with the account's key. */
async function atStripe<Answer = { id: string }>(
  path: string,
  body?: Readonly<Record<string, string>>,
): Promise<Answer> {
  // Its own routes take forms, the simulator's control takes JSON.
  const isControl = path.startsWith("/_sim/");
  const answer = await fetch(`${shop.stack.stripeUrl}${path}`, {
    method: body ? "POST" : "GET",
    headers: {
      authorization: `Bearer ${shop.secrets.stripeSecretKey}`,
      ...(isControl && { "content-type": "application/json" }),
    },
    ...(body && { body: isControl ? JSON.stringify(body) : new URLSearchParams(body) }),
  });
  expect(answer.status, await answer.clone().text()).toBeLessThan(300);
  return (await answer.json()) as Answer;
}

const intentOf = async (checkoutId: string): Promise<string> =>
  (await stripeLedger(shop)).find(({ metadata }) => metadata["checkoutId"] === checkoutId)?.id ?? "";

const chargeAtStripe = (checkoutId: string) =>
  atStripe("/v1/payment_intents", {
    ...{ amount: String(price), currency: "eur", confirm: "true", payment_method: "pm_card_visa" },
    ...{ return_url: "https://shop.example/", "metadata[checkoutId]": checkoutId },
  });

interface Books {
  readonly booksId: string;
  readonly status: string;
  readonly result?: {
    readonly scope: string;
    readonly figures: readonly Readonly<Record<string, unknown>>[];
    readonly causes: Readonly<Record<string, number>>;
    readonly findings: readonly { readonly cause: string; readonly checkoutId: string; readonly who: string }[];
    readonly inFlight: { readonly count: number; readonly checkoutIds: readonly string[] };
  };
}

async function closeBooks() {
  const asked = { key: randomUUID(), body: { everything: true, settledMinutes: 0 } };
  const begun = await shop.operator.ask<{ booksId: string }>("POST", "/v1/operations/books", asked);
  expect(begun.status, JSON.stringify(begun.body)).toBe(202);
  const again = await shop.operator.ask<{ booksId: string }>("POST", "/v1/operations/books", asked);
  expect(again.body).toEqual(begun.body);
  let found: Books | undefined;
  await expect
    .poll(
      async () => {
        const { body } = await shop.operator.ask<{ books: Books[] }>("GET", "/v1/operations/books?limit=20");
        found = body.books.find(({ booksId }) => booksId === begun.body.booksId);
        return found?.status;
      },
      { timeout: 60_000, interval: 500 },
    )
    .toBe("closed");
  if (!found?.result) throw new Error("closed books have a result");
  return found.result;
}

/** Once nothing is under way any more. */
async function settledBooks() {
  const closed: Awaited<ReturnType<typeof closeBooks>>[] = [];
  await expect
    .poll(async () => closed.unshift(await closeBooks()) && closed[0]?.inFlight.count, {
      timeout: 90_000,
      interval: 1_000,
    })
    .toBe(0);
  const [books] = closed;
  if (!books) throw new Error("they were closed");
  return books;
}

it("balance, whatever was bought, given back, sent back and disputed", async () => {
  const euros = await publishEvent(shop.organiser, { seatsPerRow: 60 });
  const yen = await publishEvent(shop.organiser, { amount: 5_000, currency: "JPY" });
  await buy(euros, 2);
  const declined = await signUp(shop.url);
  const held = await declined.hold(euros, ["A-A-60"]);
  await declined.pay(held.body.checkoutId, "pm_card_chargeDeclined");
  await declined.cancel(held.body.checkoutId);
  await untilStatus(declined, held.body.checkoutId, ["cancelled"]);

  const half = await buy(euros, 2);
  await giveBack(half.checkoutId, { seats: [half.seats[0]] });
  const goodwill = await buy(euros);
  await giveBack(goodwill.checkoutId, { kind: "goodwill", amount: 1_000, reason: "the pillar" });
  const fee = await buy(euros);
  await giveBack(fee.checkoutId, { seats: fee.seats, amount: 4_000, reason: "less the fee" });
  const voided = await buy(euros);
  await giveBack(voided.checkoutId, { kind: "void", reason: "resold in the street" });
  const outside = await buy(euros);
  await atStripe("/v1/refunds", { payment_intent: await intentOf(outside.checkoutId) });
  const disputed = await buy(euros);
  await atStripe(`/_sim/disputes/${await intentOf(disputed.checkoutId)}`, {});
  const lost = await buy(euros);
  const dispute = await atStripe(`/_sim/disputes/${await intentOf(lost.checkoutId)}`, {});
  await atStripe(`/_sim/disputes/${dispute.id}`, { outcome: "lost" });
  const sentBack = await buy(euros);
  await giveBack(sentBack.checkoutId, {});
  const refunds = await atStripe<{ data: { id: string }[] }>(
    `/v1/refunds?payment_intent=${await intentOf(sentBack.checkoutId)}`,
  );
  await atStripe(`/_sim/refunds/${refunds.data[0]?.id}`, { status: "failed" });
  seatsSold = 0;
  await buy(yen);
  seatsSold = 30;

  const { figures, findings, scope } = await settledBooks();
  expect(findings).toEqual([]);
  expect(scope).toBe("everything");
  expect(figures).toEqual([
    {
      ...{ currency: "EUR", payments: 9, captured: 11 * price, tickets: 5 * price - 1_000, kept: 950 + price },
      ...{ refunds: price + 1_000 + 4_000 + price, disputes: price, owed: price, paidElsewhere: 0, setAside: 0 },
      ...{ difference: 0, held: price },
    },
    {
      ...{ currency: "JPY", payments: 1, captured: 5_000, tickets: 5_000, kept: 0, refunds: 0, disputes: 0, owed: 0 },
      ...{ paidElsewhere: 0, setAside: 0, difference: 0, held: 0 },
    },
  ]);
});

it("name each damage by its cause, and mend what a lost webhook has left", async () => {
  const eventId = await publishEvent(shop.organiser, { seatsPerRow: 60 });
  const db = shop.mongo.db(shop.database);
  const found: [string, string, string][] = [];
  const expectFinding = (cause: string, checkoutId: string, who: string) => found.push([cause, checkoutId, who]);
  const collection = (name: string) => db.collection<{ _id: string } & Record<string, unknown>>(name);

  // A webhook that is under way would bring it up to date.
  const [behind, untold] = [await buy(eventId), await buy(eventId)];
  const underWay = async () => (await atStripe<{ pending: unknown[] }>("/_sim/webhooks")).pending.length;
  await expect.poll(underWay, { timeout: 30_000 }).toBe(0);
  await collection("payments").updateOne({ _id: behind.checkoutId }, { $set: { amountRefunded: 100 } });
  expectFinding("record_differs", behind.checkoutId, "itself");

  await plantFault(shop, { match: { path: "/refunds$" }, action: { type: "webhook_drop" }, count: 100 });
  await atStripe("/v1/refunds", { payment_intent: await intentOf(untold.checkoutId), amount: "1500" });
  expectFinding("refund_unknown", untold.checkoutId, "itself");

  const noTicket = await buy(eventId, 2);
  await collection("tickets").deleteOne({ checkoutId: noTicket.checkoutId, seatId: noTicket.seats[0] ?? "" });
  expectFinding("ticket_missing", noTicket.checkoutId, "person");

  const stranger = `chk_${randomUUID().slice(0, 8)}`;
  await chargeAtStripe(stranger);
  expectFinding("captured_without_order", stranger, "itself");
  expectFinding("record_missing", stranger, "person");

  // Another program's, which has the same account and the same word.
  await chargeAtStripe("no. 17 of another shop");

  const twice = await buy(eventId);
  await chargeAtStripe(twice.checkoutId);
  expectFinding("captured_twice", twice.checkoutId, "person");

  const unclaimed = await buy(eventId);
  await collection("claims").deleteOne({ checkoutId: unclaimed.checkoutId });
  expectFinding("seat_not_claimed", unclaimed.checkoutId, "person");

  const rewritten = await buy(eventId);
  await collection("payments").updateOne({ _id: rewritten.checkoutId }, { $set: { amount: 1 } });
  expectFinding("record_contradicts", rewritten.checkoutId, "person");

  const unheardOf = await buy(eventId);
  await collection("payments").updateOne({ _id: unheardOf.checkoutId }, { $set: { intentId: "pi_unheardof" } });
  expectFinding("intent_unknown", unheardOf.checkoutId, "stripe");

  const noRecord = await buy(eventId);
  await collection("payments").deleteOne({ _id: noRecord.checkoutId });
  expectFinding("record_missing", noRecord.checkoutId, "person");

  const noOrder = await buy(eventId);
  await collection("orders").deleteOne({ _id: noOrder.checkoutId });
  for (const cause of ["captured_without_order", "claim_without_order"])
    expectFinding(cause, noOrder.checkoutId, "itself");
  expectFinding("ticket_without_order", noOrder.checkoutId, "person");

  const torn = await buy(eventId);
  await collection("tickets").updateOne({ checkoutId: torn.checkoutId }, { $set: { status: "void", voidedAtMs: 1 } });
  expectFinding("ticket_void_without_reason", torn.checkoutId, "person");

  const unpaid = await buy(eventId);
  await collection("orders").updateOne(
    { _id: unpaid.checkoutId },
    { $set: { "seats.0.amount": 9_999, amount: 9_999 } },
  );
  expectFinding("captured_amount_differs", unpaid.checkoutId, "person");

  const books = await closeBooks();
  const told = books.findings.map(({ cause, checkoutId, who }) => [cause, checkoutId, who]);
  expect(told).toEqual(expect.arrayContaining(found));
  const [euros] = books.figures;
  expect(euros?.["difference"]).not.toBe(0);

  // What was behind was asked again and told; what needs a person stays.
  const mended = ["record_differs", "refund_unknown"];
  await expect
    .poll(async () => Object.keys((await closeBooks()).causes).filter((cause) => mended.includes(cause)), {
      timeout: 60_000,
      interval: 2_000,
    })
    .toEqual([]);
  const next = await closeBooks();
  expect(next.findings.map(({ cause, checkoutId }) => [cause, checkoutId])).toEqual(
    expect.arrayContaining(
      found.filter(([cause]) => !mended.includes(cause)).map(([cause, checkoutId]) => [cause, checkoutId]),
    ),
  );
  expect(next.findings.filter(({ checkoutId }) => checkoutId === untold.checkoutId)).toEqual([]);
});

it("are for operators alone", async () => {
  const asked = { key: randomUUID(), body: {} };
  expect((await shop.organiser.ask("POST", "/v1/operations/books", asked)).status).toBe(403);
  expect((await shop.organiser.ask("GET", "/v1/operations/books")).status).toBe(403);
  const both = { everything: true, since: "2027-01-01T00:00:00Z" };
  const refused = await shop.operator.ask("POST", "/v1/operations/books", { key: randomUUID(), body: both });
  expect(refused.status).toBe(400);
});
