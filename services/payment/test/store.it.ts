// The records' store against the real MongoDB: who comes second never overwrites who came first.
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import { beginRecord, type PaymentRecord } from "../src/payments.js";
import { openStore, type Store } from "../src/store.js";
import { newCheckoutId, newDatabase, orderFor, withMongo } from "./harness.js";

const database = newDatabase();
let store: Store;

beforeAll(async () => {
  store = openStore({ uri: inject("backing").mongodbUri, database, webhookMemoryDays: 30 });
  await store.prepare();
});
afterAll(async () => {
  await store?.close();
  await withMongo((client) => client.db(database).dropDatabase());
});

async function stored(): Promise<PaymentRecord> {
  const { userId: accountId, ...order } = orderFor(newCheckoutId());
  const record = beginRecord({ ...order, accountId }, 1_000);
  expect(await store.insert(record)).toBe(true);
  return record;
}

it("gives back what was written, and has one record a checkout", async () => {
  const record = await stored();
  expect(await store.read(record.checkoutId)).toEqual(record);
  expect(await store.insert({ ...record, amount: 1 })).toBe(false);
  expect(await store.read(record.checkoutId)).toEqual(record);
  expect(await store.read("co_nobody")).toBeUndefined();
});

it("lets one of two writers win that have read the same version", async () => {
  const record = await stored();
  const results = await Promise.all(
    Array.from({ length: 8 }, (_, index) => store.replace({ ...record, amountRefunded: index + 1 })),
  );
  const won = results.filter((result) => result !== undefined);
  expect(won).toHaveLength(1);
  expect(await store.read(record.checkoutId)).toEqual(won[0]);
  expect(won[0]?.version).toBe(record.version + 1);
  expect(await store.replace({ ...record, state: "cancelled" })).toBeUndefined();
  expect(await store.read(record.checkoutId)).toEqual(won[0]);
});

it("forgets what a record no longer has", async () => {
  const record = await stored();
  const full = await store.replace({
    ...record,
    intentId: `pi_${record.checkoutId}`,
    latestChargeId: "ch_1",
    actionUrl: "https://bank.example",
    unsureSinceMs: 5,
    cancellation: { requestedAtMs: 6 },
  });
  if (!full) throw new Error("nobody else writes here");
  expect(await store.readByIntent(`pi_${record.checkoutId}`)).toEqual(full);
  const { actionUrl: _url, unsureSinceMs: _since, cancellation: _wish, ...rest } = full;
  const bare = await store.replace(rest);
  expect(await store.read(record.checkoutId)).toEqual(bare);
  expect(bare).not.toHaveProperty("actionUrl");
});

it("gives an intent to one checkout only", async () => {
  const [one, other] = [await stored(), await stored()];
  await store.replace({ ...one, intentId: "pi_shared" });
  await expect(store.replace({ ...other, intentId: "pi_shared" })).rejects.toThrow();
  expect(await store.readByIntent("pi_shared")).toMatchObject({ checkoutId: one.checkoutId });
});

it("notes a delivery once", async () => {
  const entry = { stripeEventId: "evt_1", type: "charge.refunded", checkoutId: "co_1" };
  const noted = await Promise.all(Array.from({ length: 6 }, () => store.noteWebhook(entry)));
  expect(noted.filter(Boolean)).toHaveLength(1);
  expect(await store.readWebhook("evt_1")).toEqual(entry);
  expect(await store.readWebhook("evt_2")).toBeUndefined();
});
