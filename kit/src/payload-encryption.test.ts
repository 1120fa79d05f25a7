// Encrypted payloads: what stays readable, whose keys open them, and that nothing can be changed or swapped unnoticed.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encryptedEncoding,
  isEncrypted,
  type Payload,
  payloadEncryption,
  readEncryptionKeys,
  workflowOf,
} from "./payload-encryption.js";

const key = (byte: number) => Buffer.alloc(32, byte).toString("base64");
const json = (value: unknown): Payload => ({
  metadata: { encoding: Buffer.from("json/plain") },
  data: Buffer.from(JSON.stringify(value)),
});
const plain = ({ metadata, data }: Payload) => ({
  metadata: Object.fromEntries(
    Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value).toString("hex")]),
  ),
  data: Buffer.from(data ?? []).toString("hex"),
});
const codecOf = (setting: string) => {
  const codec = payloadEncryption(setting);
  if (!codec) throw new Error("no codec");
  return codec;
};
const first = <T>([one]: readonly T[]): T => one as T;

describe("keys", () => {
  test("none is no encryption", () => {
    expect(payloadEncryption(undefined)).toBeUndefined();
    expect(payloadEncryption("")).toBeUndefined();
  });

  test.each([
    ["a short one", `k1:${Buffer.alloc(16).toString("base64")}`, /key k1 has 16 bytes, but AES-256 needs exactly 32/],
    ["a long one", `k1:${Buffer.alloc(33).toString("base64")}`, /has 33 bytes/],
    ["no base64", "k1:hunter2!", /key k1 has 0 bytes/],
    ["no id", `:${key(1)}`, /id of key 1/],
    ["no colon", key(1), /id:base64/],
    ["a strange id", `k 1:${key(1)}`, /id of key 1/],
    ["an id twice", `k1:${key(1)},k1:${key(2)}`, /key id k1 is there twice/],
    ["a comma too much", `k1:${key(1)},`, /id of key 2/],
  ])("%s is refused in a sentence without the key", (_, setting, sentence) => {
    expect(() => readEncryptionKeys(setting)).toThrow(sentence);
    try {
      readEncryptionKeys(setting);
    } catch (error) {
      expect((error as Error).message).not.toContain("hunter2");
    }
  });
});

describe("a payload", () => {
  const codec = codecOf(`k1:${key(1)}`);

  test("of any labels and bytes comes back as it was", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.string({ maxLength: 40 }), fc.uint8Array({ maxLength: 300 }), { maxKeys: 5 }),
        fc.uint8Array({ maxLength: 3_000 }),
        async (metadata, data) => {
          const given = { metadata, data };
          const [sealed] = await codec.encode([given], { workflowId: "checkout-chk_1" });
          if (sealed === given) return; // one that stays readable
          expect(plain(first(await codec.decode([sealed as Payload])))).toEqual(plain(given));
        },
      ),
      { examples: [[{ ["__proto__"]: new Uint8Array([1]) }, new Uint8Array()]] },
    );
  });

  test("tells its key and its workflow, and nothing of what it says; twice the same looks different", async () => {
    const [one, two] = await codec.encode(
      [json({ paymentMethodId: "pm_secret" }), json({ paymentMethodId: "pm_secret" })],
      {
        workflowId: "checkout-chk_1",
      },
    );
    const sealed = one as Payload;
    expect(isEncrypted(sealed)).toBe(true);
    expect(Buffer.from(sealed.metadata?.["encoding"] ?? []).toString()).toBe(encryptedEncoding);
    expect(Buffer.from(sealed.metadata?.["encryption-key-id"] ?? []).toString()).toBe("k1");
    expect(workflowOf(sealed)).toBe("checkout-chk_1");
    expect(Buffer.from(sealed.data ?? []).toString("latin1")).not.toContain("pm_secret");
    expect(Buffer.from(sealed.data ?? [])).not.toEqual(Buffer.from(two?.data ?? []));
  });

  test.each([["3 seats · The Night Ferry"], [""]])(
    "that is the bare string %j stays readable, as nothing does",
    async (text) => {
      const given = [json(text), { metadata: { encoding: Buffer.from("binary/null") } }];
      expect(await codec.encode(given)).toEqual(given);
    },
  );

  test.each([[{ a: 1 }], [["a"]], [7], [true], [null]])("%j does not stay readable", async (value) => {
    expect(isEncrypted(first(await codec.encode([json(value)])))).toBe(true);
  });

  test("that is encrypted already is not encrypted twice", async () => {
    const sealed = await codec.encode([json({ a: 1 })]);
    expect(await codec.encode(sealed)).toEqual(sealed);
  });

  test("that was changed anywhere, or made out to another workflow or key, is refused", async () => {
    const sealed = first(await codec.encode([json({ a: 1 })], { workflowId: "checkout-chk_1" }));
    const data = Buffer.from(sealed.data ?? []);
    const metadata = sealed.metadata ?? {};
    for (let at = 0; at < data.length; at++) {
      const changed = Buffer.from(data);
      changed[at] = (changed[at] as number) ^ 1;
      await expect(codec.decode([{ metadata, data: changed }])).rejects.toThrow(/can't be decrypted/);
    }
    await expect(codec.decode([{ metadata, data: data.subarray(0, 20) }])).rejects.toThrow(/can't be decrypted/);
    const moved = { ...metadata, "onsale-workflow-id": Buffer.from("checkout-chk_2") };
    await expect(codec.decode([{ metadata: moved, data }])).rejects.toThrow(/can't be decrypted/);
    const both = codecOf(`k1:${key(1)},k2:${key(2)}`);
    const rekeyed = { ...metadata, "encryption-key-id": Buffer.from("k2") };
    await expect(both.decode([{ metadata: rekeyed, data }])).rejects.toThrow(/can't be decrypted/);
  });
});

describe("rotation", () => {
  const given = json({ checkoutId: "chk_1" });
  test("the first key encrypts, all decrypt, and what was never encrypted stays readable", async () => {
    const before = codecOf(`old:${key(1)}`);
    const meanwhile = codecOf(`old:${key(1)},new:${key(2)}`);
    const after = codecOf(`new:${key(2)},old:${key(1)}`);
    const history = [
      given,
      first(await before.encode([given])),
      first(await meanwhile.encode([given])),
      first(await after.encode([given])),
    ];
    const keyIds = history.map(({ metadata }) => Buffer.from(metadata?.["encryption-key-id"] ?? []).toString());
    expect(keyIds).toEqual(["", "old", "old", "new"]);
    for (const codec of [meanwhile, after])
      expect((await codec.decode(history)).map(plain)).toEqual(history.map(() => plain(given)));
    const [, ofOld] = history as [Payload, Payload];
    await expect(codecOf(`new:${key(2)}`).decode([ofOld])).rejects.toThrow(
      /encrypted with the key "old".*add it there/,
    );
  });
});
