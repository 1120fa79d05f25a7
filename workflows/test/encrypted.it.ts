// Checkouts whose payloads are encrypted: nobody reads them in Temporal, old histories stay usable, keys can be changed in between.

import { createLogger } from "@onsale/kit/log";
import { payloadEncryption } from "@onsale/kit/payload-encryption";
import { Client } from "@temporalio/client";
import { Worker } from "@temporalio/worker";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  type CheckoutInput,
  checkoutSummary,
  checkoutWorkflowId,
  searchAttributes,
  workflowTypes,
} from "../src/contract.js";
import { installRuntime } from "../src/worker.js";
import { currentCode, type Handle, openStage, pay, result, type Stage } from "./stage.js";

const old = `old:${Buffer.alloc(32, 1).toString("base64")}`;
const fresh = `new:${Buffer.alloc(32, 2).toString("base64")}`;
let stage: Stage;

beforeAll(async () => {
  stage = await openStage({ worker: false });
});
afterAll(() => stage?.close());

const clientWith = (keys: string): Client => {
  const codec = payloadEncryption(keys);
  return new Client({ connection: stage.connection, dataConverter: { payloadCodecs: codec ? [codec] : [] } });
};

const started = (client: Client, input: CheckoutInput): Promise<Handle> =>
  client.workflow.start(workflowTypes.checkout, {
    workflowId: checkoutWorkflowId(input.checkoutId),
    taskQueue: stage.taskQueue,
    args: [input],
    staticSummary: checkoutSummary(input),
  });
const of = (client: Client, handle: Handle): Handle => client.workflow.getHandle(handle.workflowId);

/** Everything that Temporal has of it, the bytes of payloads as text. */
async function stored(handle: Handle): Promise<string> {
  const history = JSON.parse(JSON.stringify(await of(stage.client, handle).fetchHistory())) as unknown;
  const texts: string[] = [];
  const visit = (value: unknown): void => {
    if (typeof value === "string") texts.push(value, Buffer.from(value, "base64").toString());
    else if (typeof value === "object" && value !== null) for (const part of Object.values(value)) visit(part);
  };
  visit(history);
  return texts.join("\n");
}
const says = (text: string, ...words: readonly string[]) => words.map((word) => text.includes(word));

it("is stored as ciphertext, with a readable summary, readable search attributes and nothing personal in them", async () => {
  const worker = await stage.startWorker({ PAYLOAD_ENCRYPTION_KEYS: old });
  const client = clientWith(old);
  const input = stage.newCheckout();
  const handle = await started(client, input);
  expect((await pay(handle)).status).toBe("completed");
  expect((await result(handle)).ticketIds).toHaveLength(3);

  const text = await stored(handle);
  expect(says(text, "pm_card_visa", "shop.example/return", input.holdId, "Harbour Hall")).not.toContain(true);
  expect(says(text, checkoutSummary(input), "Authorize EUR 148.50 at Stripe", "the hold ends")).not.toContain(false);
  const { typedSearchAttributes, raw } = await handle.describe();
  const statusOf = typedSearchAttributes.getAll().find(({ key }) => key.name === searchAttributes.status);
  expect(statusOf?.value).toBe("completed");
  expect(JSON.stringify(raw.executionConfig?.userMetadata ?? {})).not.toContain("encrypted");

  // Without the keys it is of no use to anyone.
  await expect(result(of(stage.client, handle))).rejects.toThrow();
  await worker.stop();
});

it("that began in the clear, or under an older key, goes on under the present one", async () => {
  const [clear, under] = [stage.newCheckout(), stage.newCheckout()];
  const before = await stage.startWorker();
  const inTheClear = await started(clientWith(""), clear);
  await expect.poll(() => inTheClear.query("checkout"), { timeout: 20_000 }).toMatchObject({ status: "held" });
  await before.stop();

  const meanwhile = await stage.startWorker({ PAYLOAD_ENCRYPTION_KEYS: old });
  const underOld = await started(clientWith(old), under);
  await expect.poll(() => underOld.query("checkout"), { timeout: 20_000 }).toMatchObject({ status: "held" });
  await meanwhile.stop();

  const keys = `${fresh},${old}`;
  await stage.startWorker({ PAYLOAD_ENCRYPTION_KEYS: keys });
  const client = clientWith(keys);
  for (const handle of [inTheClear, underOld]) {
    expect((await pay(of(client, handle))).status).toBe("completed");
    expect((await result(of(client, handle))).status).toBe("completed");
  }
  const texts = await Promise.all([inTheClear, underOld].map(stored));
  expect(texts.map((text) => says(text, "\nold\n", "\nnew\n", "Harbour Hall", "pm_card_visa"))).toEqual([
    [false, true, true, false], // its beginning stays as it was stored
    [true, true, false, false],
  ]);

  // And both can be replayed by whoever has the keys.
  installRuntime(createLogger("replay", "silent"), undefined);
  const codec = payloadEncryption(keys);
  const histories = await Promise.all(
    [inTheClear, underOld].map(async (handle) => ({
      workflowId: handle.workflowId,
      history: await of(stage.client, handle).fetchHistory(),
    })),
  );
  const options = {
    workflowBundle: { code: await currentCode() },
    dataConverter: { payloadCodecs: codec ? [codec] : [] },
  };
  for await (const { error } of Worker.runReplayHistories(options, histories)) expect(error).toBeUndefined();
});

it("is refused by a process whose key is too short, in a sentence", async () => {
  await expect(stage.startWorker({ PAYLOAD_ENCRYPTION_KEYS: "k1:c2hvcnQ=" })).rejects.toThrow(
    /PAYLOAD_ENCRYPTION_KEYS: key k1 has 5 bytes, but AES-256 needs exactly 32: make one with `openssl rand -base64 32`/,
  );
});
