// Access tokens that were verified before: for how long, under which keys, and how many are remembered.
import { createLogger } from "@onsale/kit/log";
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type Authenticator, bearerToken, createAuthenticator } from "./authenticate.js";

/** What jose was asked; `payload`: its answer without looking, for a crowd. */
const asked = vi.hoisted(() => ({
  times: 0,
  payload: undefined as ((token: string) => object | Promise<object>) | undefined,
}));
vi.mock("jose", async (original) => {
  const jose = await original<typeof import("jose")>();
  const jwtVerify = (token: string, ...rest: unknown[]) => {
    asked.times += 1;
    if (asked.payload) return Promise.resolve(asked.payload(token)).then((payload) => ({ payload }));
    return (jose.jwtVerify as (...given: unknown[]) => unknown)(token, ...rest);
  };
  return { ...jose, jwtVerify };
});

type Pair = { readonly privateKey: CryptoKey; readonly jwk: JWK };
let old: Pair;
let fresh: Pair;
async function newPair(kid: string): Promise<Pair> {
  const { privateKey, publicKey } = await generateKeyPair("EdDSA", { crv: "Ed25519" });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: "EdDSA", use: "sig" } };
}
beforeAll(async () => {
  [old, fresh] = [await newPair("old"), await newPair("fresh")];
});

let published: JWK[];
let away: boolean;
let authenticator: Authenticator;
beforeEach(async () => {
  published = [old.jwk];
  away = false;
  vi.useFakeTimers({ toFake: ["Date", "performance", "setInterval", "clearInterval"], now: Date.UTC(2027, 0, 1) });
  authenticator = createAuthenticator({
    fetchKeys: async () => {
      if (away) throw new Error("the account service is away");
      return JSON.stringify({ keys: published });
    },
    issuer: "onsale",
    audience: "onsale",
    log: createLogger("tokens", "silent"),
    refreshEveryMs: 60_000,
    leastRefreshMs: 5_000,
  });
  await authenticator.keys();
  asked.times = 0;
});
afterEach(() => {
  authenticator.stop();
  asked.payload = undefined;
  vi.useRealTimers();
});

const nowSeconds = () => Math.floor(Date.now() / 1000);
function tokenOf(accountId: string, { seconds = 600, by = old, roles = ["buyer"] } = {}): Promise<string> {
  return new SignJWT({ sid: "ses_1", roles })
    .setProtectedHeader({ alg: "EdDSA", typ: "at+jwt", kid: by.jwk.kid as string })
    .setIssuer("onsale")
    .setAudience("onsale")
    .setSubject(accountId)
    .setIssuedAt(nowSeconds())
    .setExpirationTime(nowSeconds() + seconds)
    .sign(by.privateKey);
}
const verdict = (token: string): Promise<string> =>
  authenticator.verify(token).then(
    ({ accountId }) => accountId,
    (error: { code: string }) => error.code,
  );

test("the same token is verified once, and each gets its own account", async () => {
  const [ada, bob] = [await tokenOf("acc_ada"), await tokenOf("acc_bob", { roles: ["organiser", "king"] })];
  for (let n = 0; n < 5; n++) {
    expect(await authenticator.verify(ada)).toEqual({ accountId: "acc_ada", sessionId: "ses_1", roles: ["buyer"] });
    expect(await authenticator.verify(bob)).toEqual({ accountId: "acc_bob", sessionId: "ses_1", roles: ["organiser"] });
  }
  expect(asked.times).toBe(2);
});

test("many at once with the same token: all are let in", async () => {
  const token = await tokenOf("acc_ada");
  expect(new Set(await Promise.all(Array.from({ length: 50 }, () => verdict(token))))).toEqual(new Set(["acc_ada"]));
});

test("what was refused is not remembered: it is looked at each time", async () => {
  const forged = await tokenOf("acc_ada", { by: { ...fresh, jwk: old.jwk } });
  for (let n = 1; n <= 3; n++) {
    expect(await verdict(forged)).toBe("TOKEN_INVALID");
    expect(asked.times).toBe(n);
  }
});

describe("a token that was verified", () => {
  test.each([
    [599, "acc_ada"],
    [600, "TOKEN_EXPIRED"],
    [3600, "TOKEN_EXPIRED"],
  ])("after %i of its 600 s: %s", async (seconds, expected) => {
    const token = await tokenOf("acc_ada");
    expect(await verdict(token)).toBe("acc_ada");
    vi.setSystemTime(Date.now() + seconds * 1000);
    expect(await verdict(token)).toBe(expected);
    expect(await verdict(token)).toBe(expected);
  });

  test("is no other that differs in one byte, wherever that is", async () => {
    const token = await tokenOf("acc_ada");
    expect(await verdict(token)).toBe("acc_ada");
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const accepted: number[] = [];
    for (let at = 0; at < token.length; at++) {
      const letter = letters[(letters.indexOf(token.charAt(at)) + 1 + (at % 62)) % 64] as string;
      const other = `${token.slice(0, at)}${letter}${token.slice(at + 1)}`;
      expect(other).not.toBe(token);
      const before = asked.times;
      if ((await verdict(other)) !== "TOKEN_INVALID") accepted.push(at);
      expect(asked.times, `changed at ${at}`).toBeGreaterThan(before);
    }
    // The last letter of a part may carry bits that stand for nothing; what is signed is the letters themselves, save in the signature.
    expect(accepted.filter((at) => at !== token.length - 1)).toEqual([]);
    for (const other of [`${token}.`, `${token}A`, ` ${token}`, token.slice(0, -1), token.toUpperCase(), ""])
      expect(await verdict(other), other).toBe("TOKEN_INVALID");
  });

  test("is refused once its key is withdrawn", async () => {
    const token = await tokenOf("acc_ada");
    expect(await verdict(token)).toBe("acc_ada");
    published = [fresh.jwk];
    await vi.advanceTimersByTimeAsync(61_000);
    expect(await verdict(token)).toBe("TOKEN_INVALID");
    expect(await verdict(await tokenOf("acc_ada", { by: fresh }))).toBe("acc_ada");
  });

  test("is refused when another key takes its key's name", async () => {
    const token = await tokenOf("acc_ada");
    expect(await verdict(token)).toBe("acc_ada");
    published = [{ ...fresh.jwk, kid: "old" }];
    await vi.advanceTimersByTimeAsync(61_000);
    expect(await verdict(token)).toBe("TOKEN_INVALID");
  });

  test("is verified anew when a key is added, and is good still", async () => {
    const token = await tokenOf("acc_ada");
    await verdict(token);
    published = [old.jwk, fresh.jwk];
    await vi.advanceTimersByTimeAsync(61_000);
    asked.times = 0;
    expect(await verdict(token)).toBe("acc_ada");
    expect(await verdict(token)).toBe("acc_ada");
    expect(asked.times).toBe(1);
  });

  test("stays known while the keys stay the same, however often they are asked for", async () => {
    const token = await tokenOf("acc_ada");
    await verdict(token);
    for (let n = 0; n < 5; n++) {
      await vi.advanceTimersByTimeAsync(61_000);
      expect(await verdict(token)).toBe("acc_ada");
    }
    expect(asked.times).toBe(1);
  });

  test("is not remembered when its key was withdrawn while it was being verified", async () => {
    const token = await tokenOf("acc_ada");
    const payload = { sub: "acc_ada", sid: "ses_1", roles: ["buyer"], exp: nowSeconds() + 600 };
    let letGo: (payload: object) => void = () => undefined;
    const slow = new Promise<object>((resolve) => {
      letGo = resolve;
    });
    asked.payload = () => slow;
    const verifying = verdict(token);
    published = [fresh.jwk];
    await vi.advanceTimersByTimeAsync(61_000);
    letGo(payload);
    expect(await verifying).toBe("acc_ada"); // it was good when it was asked
    asked.payload = undefined;
    expect(await verdict(token)).toBe("TOKEN_INVALID");
  });
});

test("while the account service is away the known keys and tokens serve, and a withdrawn one ends when it is back", async () => {
  const token = await tokenOf("acc_ada", { seconds: 3_600 });
  await verdict(token);
  away = true;
  await vi.advanceTimersByTimeAsync(200_000);
  expect(await verdict(token)).toBe("acc_ada");
  expect(await verdict(await tokenOf("acc_bob"))).toBe("acc_bob");
  published = [fresh.jwk];
  away = false;
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await verdict(token)).toBe("TOKEN_INVALID");
});

test("a token of a key that is new is let in at once; ids that nobody has don't become questions", async () => {
  let questions = 0;
  const counted = createAuthenticator({
    fetchKeys: async () => {
      questions += 1;
      return JSON.stringify({ keys: published });
    },
    issuer: "onsale",
    audience: "onsale",
    log: createLogger("tokens", "silent"),
    leastRefreshMs: 5_000,
  });
  await counted.keys();
  const before = questions;
  await vi.advanceTimersByTimeAsync(6_000);
  published = [old.jwk, fresh.jwk];
  expect((await counted.verify(await tokenOf("acc_ada", { by: fresh }))).accountId).toBe("acc_ada");
  expect(questions).toBe(before + 1);
  const nobody = await newPair("nobody");
  for (let n = 0; n < 20; n++)
    await expect(counted.verify(await tokenOf("acc_ada", { by: nobody }))).rejects.toThrow("not valid");
  expect(questions).toBe(before + 1);
  counted.stop();
});

test("so many are remembered and no more: those that were not used for longest go", async () => {
  const most = 50_000;
  asked.payload = (token) => ({ sub: `acc_${token}`, sid: "ses_1", roles: [], exp: nowSeconds() + 600 });
  const isKnown = async (token: string) => {
    const before = asked.times;
    expect(await verdict(token)).toBe(`acc_${token}`);
    return asked.times === before;
  };
  for (let n = 0; n < most; n++) await authenticator.verify(`t${n}`);
  expect(asked.times).toBe(most);
  expect(await isKnown("t0")).toBe(true); // and is the last used from now on
  for (let n = 0; n < 10; n++) await authenticator.verify(`more${n}`);
  expect(await isKnown("t0")).toBe(true);
  expect(await isKnown("t11")).toBe(true);
  expect(await isKnown("t10")).toBe(false);
});

test.each([
  ["Bearer abc", "abc"],
  ["bearer  abc ", "abc"],
  [undefined, undefined],
])("the header %j carries %j", (header, token) => {
  expect(bearerToken(header)).toBe(token);
});

test.each(["", "Bearer", "Bearer ", "Basic abc", "Bearer a,b", "Bearer abc, Bearer def", "abc"])(
  "the header %j carries none, and is refused",
  (header) => {
    expect(() => bearerToken(header)).toThrow(expect.objectContaining({ code: "TOKEN_INVALID" }));
  },
);
