// Rotation of signing keys by a clock that the test turns, with several processes on one store.
import { createPublicKey, sign, verify } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createSealer } from "./sealed.js";
import { createKeyRing, type KeyRing, planRotation, type SigningKeyStore, type StoredKey } from "./signing-keys.js";

const minute = 60_000;
const rotation = { rotateEveryMs: 1_000 * minute, publishAheadMs: 60 * minute, keepMs: 20 * minute };
const key = (sequence: number, signsFromMs: number) => ({ sequence, signsFromMs });

describe("planRotation", () => {
  test("makes the first key at once", () => {
    expect(planRotation([], 5, rotation)).toEqual({
      signing: undefined,
      next: { sequence: 1, signsFromMs: 5 },
      expired: [],
    });
  });

  test("makes the next key ahead of its time", () => {
    expect(planRotation([key(1, 0)], 940 * minute - 1, rotation).next).toBeUndefined();
    expect(planRotation([key(1, 0)], 940 * minute, rotation).next).toEqual(key(2, 1_000 * minute));
  });

  test("publishes a late key for its full time before it signs", () => {
    const { signing, next } = planRotation([key(1, 0)], 5_000 * minute, rotation);
    expect([signing, next]).toEqual([1, key(2, 5_060 * minute)]);
  });

  test("signs with the newest key that may, in whatever order they come", () => {
    const keys = [key(3, 3_000), key(1, 0), key(2, 2_000)];
    expect([0, 1_999, 2_000, 2_999, 3_000].map((now) => planRotation(keys, now, rotation).signing)).toEqual([
      1, 1, 2, 2, 3,
    ]);
  });

  test("signs with a key whose time is a moment ahead rather than with none: clocks differ", () => {
    expect(planRotation([key(1, 100)], 50, rotation).signing).toBe(1);
  });

  test("lets a key go when its successor has signed for as long as tokens live; or never", () => {
    const keys = [key(1, 0), key(2, 1_000 * minute)];
    expect(planRotation(keys, 1_020 * minute - 1, rotation).expired).toEqual([]);
    expect(planRotation(keys, 1_020 * minute, rotation).expired).toEqual([1]);
    expect(planRotation(keys, 9_999_999 * minute, { ...rotation, keepMs: undefined }).expired).toEqual([]);
  });

  test("never lets the signing key or a later one go", () => {
    const dates = fc.uniqueArray(fc.nat({ max: 10_000 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(dates, fc.nat({ max: 12_000 }), (from, now) => {
        const keys = from.sort((a, b) => a - b).map((at, index) => key(index + 1, at));
        const plan = planRotation(keys, now, { rotateEveryMs: 500, publishAheadMs: 100, keepMs: 50 });
        expect(plan.signing).toBeDefined();
        for (const sequence of plan.expired) expect(sequence).toBeLessThan(plan.signing!);
      }),
    );
  });
});

// A store in memory with the one promise that matters: a sequence is stored once.
function memoryStore() {
  const keys = new Map<number, StoredKey>();
  let lists = 0;
  let broken = false;
  const answer = async <T>(value: () => T): Promise<T> => {
    await new Promise((resolve) => setImmediate(resolve));
    if (broken) throw new Error("the store is away");
    return value();
  };
  const store: SigningKeyStore = {
    list: () =>
      answer(() => {
        lists += 1;
        return [...keys.values()];
      }),
    add: (added) => answer(() => !keys.has(added.sequence) && !!keys.set(added.sequence, added)),
    remove: (sequence) => answer(() => void keys.delete(sequence)),
  };
  return {
    store,
    keys,
    lists: () => lists,
    break: (value: boolean) => {
      broken = value;
    },
  };
}

describe("a key ring", () => {
  const sealer = createSealer({ secret: "a long random text for these tests", purpose: "tests" });
  const ring = (store: SigningKeyStore, now: () => number) => createKeyRing({ store, sealer, rotation, now });
  const kids = async (of: KeyRing) => (await of.verificationKeys()).keys.map(({ kid }) => kid);

  test("signs what its published keys verify", async () => {
    const { store, keys } = memoryStore();
    const one = ring(store, () => 0);
    const { kid, privateKey } = await one.signingKey();
    const [jwk] = (await one.verificationKeys()).keys;
    expect(jwk).toEqual({
      kty: "OKP",
      crv: "Ed25519",
      use: "sig",
      alg: "EdDSA",
      kid,
      x: expect.stringMatching(/^[\w-]{43}$/),
    });
    const message = Buffer.from("a message");
    const publicKey = createPublicKey({ key: { ...jwk }, format: "jwk" });
    expect(verify(undefined, message, publicKey, sign(undefined, message, privateKey))).toBe(true);
    expect(JSON.stringify([...keys.values()])).not.toMatch(/PRIVATE|"d"/);
  });

  test("many processes with many first calls make one key", async () => {
    const { store, keys, lists } = memoryStore();
    const rings = Array.from({ length: 5 }, () => ring(store, () => 0));
    const all = await Promise.all(rings.flatMap((each) => Array.from({ length: 5 }, () => each.signingKey())));
    expect(new Set(all.map(({ kid }) => kid)).size).toBe(1);
    expect(keys.size).toBe(1);
    expect(lists()).toBeLessThanOrEqual(10);
  });

  test("at every moment of three rotations, what one process signs with, every other has published for an hour", async () => {
    const { store } = memoryStore();
    let now = 0;
    // The second process asks the store at other moments than the first.
    const [signer, verifier] = [ring(store, () => now), ring(store, () => now + 30_000)];
    const publishedSince = new Map<string, number>();
    const signedWith = new Set<string>();
    for (; now < 3_500 * minute; now += 7 * minute) {
      for (const kid of await kids(verifier)) if (!publishedSince.has(kid)) publishedSince.set(kid, now);
      const { kid } = await signer.signingKey();
      if (signedWith.size > 0 && !signedWith.has(kid))
        expect(now - publishedSince.get(kid)!).toBeGreaterThanOrEqual(50 * minute);
      signedWith.add(kid);
      expect(await kids(verifier)).toContain(kid);
    }
    expect(signedWith.size).toBe(4);
    expect((await kids(verifier)).length).toBeLessThanOrEqual(3);
  });

  test("goes on with the keys it knows while the store is away, and asks again soon", async () => {
    const memory = memoryStore();
    let now = 0;
    const one = ring(memory.store, () => now);
    const { kid } = await one.signingKey();
    memory.break(true);
    now += 2 * minute;
    expect((await one.signingKey()).kid).toBe(kid);
    expect(await kids(one)).toEqual([kid]);
    await expect(ring(memory.store, () => now).signingKey()).rejects.toThrow(/away/);
    memory.break(false);
    now += 10_000;
    const before = memory.lists();
    await one.signingKey();
    expect(memory.lists()).toBe(before + 1);
  });

  test("a key that was taken away by an operator signs no more after a minute", async () => {
    const { store, keys } = memoryStore();
    let now = 0;
    const one = ring(store, () => now);
    const { kid } = await one.signingKey();
    keys.clear();
    now += minute;
    expect((await one.signingKey()).kid).not.toBe(kid);
  });

  test("says so when its secret is another one", async () => {
    const { store } = memoryStore();
    await ring(store, () => 0).signingKey();
    const other = createSealer({ secret: "another long random text", purpose: "tests" });
    const stranger = createKeyRing({ store, sealer: other, rotation, now: () => 0 });
    await expect(stranger.signingKey()).rejects.toThrow(/another secret/);
  });

  test("refuses times that would break verifiers", () => {
    const { store } = memoryStore();
    const make = (changes: object) => () =>
      createKeyRing({ store, sealer, rotation: { ...rotation, ...changes }, now: () => 0 });
    expect(make({ publishAheadMs: minute })).toThrow(/at least 120 s/);
    expect(make({ rotateEveryMs: 60 * minute })).toThrow(/less often/);
  });
});
