// The whole account service over gRPC, against real MongoDB-protocol and Valkey servers.
import { randomBytes } from "node:crypto";
import { Writable } from "node:stream";
import { DomainError, type RefusalCode } from "@onsale/kit/errors";
import { connect, type ServiceClient } from "@onsale/kit/grpc-client";
import { newId } from "@onsale/kit/ids";
import { createLogger } from "@onsale/kit/log";
import { createContext } from "@onsale/kit/process";
import { AccountServiceService } from "@onsale/proto/account/v1/account";
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { MongoClient } from "mongodb";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { accountSettings } from "../src/config.js";
import { startAccount } from "../src/service.js";

const backing = inject("backing");
const database = `account_${randomBytes(6).toString("hex")}`;
const keySecret = randomBytes(24).toString("hex");
const password = "seventeen owls at dusk";
const day = 24 * 60 * 60 * 1000;

type Client = ServiceClient<typeof AccountServiceService>;
interface Started {
  readonly client: Client;
  readonly logged: string[];
  ready(): Promise<boolean> | boolean;
  stop(): Promise<void>;
}

const started: Started[] = [];
const mongo = new MongoClient(backing.mongodbUri);

async function start(env: Record<string, string> = {}, now?: () => number): Promise<Started> {
  const context = createContext("account", accountSettings, {
    GRPC_LISTEN: "127.0.0.1:0",
    MONGODB_URI: backing.mongodbUri,
    MONGODB_DATABASE: database,
    REDIS_URL: backing.redisUrl,
    GRPC_SHARED_SECRET: "a secret of the account tests",
    ACCOUNT_KEY_SECRET: keySecret,
    LOG_LEVEL: "trace",
    // Cheap, but Argon2id all the same: the tests are about us, not about its cost.
    ARGON2_MEMORY_KIB: "1024",
    ARGON2_PASSES: "1",
    ...env,
  });
  const logged: string[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      logged.push(String(chunk));
      done();
    },
  });
  const service = await startAccount({ ...context, log: createLogger("account", "trace", sink) }, now);
  const client = connect(AccountServiceService, {
    address: `127.0.0.1:${service.port}`,
    trust: context.trust,
    deadlineMs: 15_000,
  });
  const running: Started = {
    client,
    logged,
    ready: () => service.ready(),
    stop: async () => {
      client.close();
      await context.lifecycle.stop("test");
    },
  };
  started.push(running);
  return running;
}

async function refused(call: Promise<unknown>): Promise<DomainError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
  throw new Error("expected a refusal, and there was none");
}
const codeOf = async (call: Promise<unknown>): Promise<RefusalCode> => (await refused(call)).code;

let people = 0;
function person() {
  people += 1;
  return {
    accountId: newId("acc"),
    email: `person.${people}.${randomBytes(3).toString("hex")}@example.com`,
    password,
    name: `Person ${people}`,
  };
}
/** A new address each time, so that tests don't share counters. */
const someAddress = () => `10.${[...randomBytes(3)].join(".")}`;

let main: Started;
beforeAll(async () => {
  main = await start();
});
afterAll(async () => {
  for (const service of started) await service.stop();
  await mongo.db(database).dropDatabase();
  await mongo.close();
});

async function signedUp(client: Client = main.client) {
  const given = person();
  const { account } = await client.signUp(given);
  return { ...given, account: account! };
}
async function loggedIn(client: Client = main.client, clock?: { address: string }) {
  const given = await signedUp(client);
  const { session } = await client.logIn({ ...given, clientAddress: clock?.address ?? someAddress() });
  return { ...given, session: session! };
}

describe("sign-up", () => {
  test("makes a buyer, and finds the same account by other spellings of the e-mail", async () => {
    const given = { ...person(), email: "  Zoë.Smith@BÜCHER.example " };
    const { account } = await main.client.signUp(given);
    expect(account).toMatchObject({
      accountId: given.accountId,
      email: "zoë.smith@xn--bcher-kva.example",
      name: given.name,
      roles: ["buyer"],
    });
    expect(Math.abs(account!.createdAtMs - Date.now())).toBeLessThan(60_000);
    const { account: read } = await main.client.getAccount({ accountId: given.accountId });
    expect(read).toEqual(account);
    const spelt = { email: "ZOE\u0308.SMITH@bücher.EXAMPLE", password, clientAddress: someAddress() };
    expect((await main.client.logIn(spelt)).account).toEqual(account);
  });

  test("makes an id when the caller has none", async () => {
    const { account } = await main.client.signUp({ ...person(), accountId: "" });
    expect(account!.accountId).toMatch(/^acc_[0-9a-z]{26}$/);
  });

  test("answers a retry as it answered the first time, in a row and at once", async () => {
    const given = person();
    const all = await Promise.all(Array.from({ length: 8 }, () => main.client.signUp(given)));
    const again = await main.client.signUp(given);
    for (const answer of all) expect(answer).toEqual(again);
    expect(await mongo.db(database).collection("accounts").countDocuments({ email: given.email })).toBe(1);
  });

  test("gives an e-mail to one of many who sign up with it at once", async () => {
    const { email } = person();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, () => main.client.signUp({ ...person(), email })),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const outcome of outcomes)
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "EMAIL_TAKEN" });
  });

  test("refuses a taken e-mail, a taken id, and a retry with another password", async () => {
    const first = await signedUp();
    expect(await codeOf(main.client.signUp({ ...person(), email: first.email.toUpperCase() }))).toBe("EMAIL_TAKEN");
    expect(await codeOf(main.client.signUp({ ...first, password: "another eleven owls" }))).toBe("EMAIL_TAKEN");
    expect(await codeOf(main.client.signUp({ ...person(), accountId: first.accountId }))).toBe(
      "IDEMPOTENCY_KEY_REUSED",
    );
  });

  test("refuses weak passwords and says why", async () => {
    const given = person();
    for (const [weak, why] of [
      ["", /0 characters/],
      ["short one", /9 characters; it needs at least 10/],
      ["💺💺💺💺💺", /5 characters/],
      ["password123", /everybody tries first/],
      ["aaaaaaaaaaaaaaaa", /same few characters/],
      [given.email.toUpperCase(), /your e-mail or your name/],
      ["x1y2z3".repeat(30), /more than 128/],
      ["x".repeat(1_000_000), /more than 128/],
    ] as const) {
      const refusal = await refused(main.client.signUp({ ...given, password: weak }));
      expect([weak.slice(0, 20), refusal.code]).toEqual([weak.slice(0, 20), "PASSWORD_WEAK"]);
      expect(refusal.message).toMatch(why);
    }
    expect(await codeOf(main.client.getAccount({ accountId: given.accountId }))).toBe("ACCOUNT_NOT_FOUND");
  });

  test("refuses nonsense and stores nothing of it", async () => {
    const before = await mongo.db(database).collection("accounts").countDocuments();
    const { email: _, ...rest } = person();
    const nonsense = [
      ...[
        "",
        "no-at",
        "@example.com",
        "a@",
        "a@b",
        "a@@example.com",
        "a b@example.com",
        "a\u0000@example.com",
        "a@exa mple.com",
      ],
      ...[
        "a..b@example.com",
        "a@-x.example",
        "a@127.0.0.1",
        "a@[::1]",
        `${"a".repeat(65)}@example.com`,
        `a@${"b.".repeat(200)}com`,
      ],
      ..."\n\r\u200b\u202e".split("").map((c) => `a${c}b@example.com`),
      "a".repeat(2_000_000),
    ].map((email) => ({ ...rest, email }));
    for (const request of [
      ...nonsense,
      { ...person(), name: "" },
      { ...person(), name: " \t " },
      { ...person(), name: "a\u0000b" },
      { ...person(), name: "a\u202eb" },
      { ...person(), name: "n".repeat(101) },
      { ...person(), password: "a password with \u0000 in it" },
      { ...person(), accountId: "has space" },
      { ...person(), accountId: "\u0000" },
      { ...person(), accountId: "x".repeat(101) },
    ])
      expect([JSON.stringify(request).slice(0, 200), await codeOf(main.client.signUp(request))]).toEqual([
        JSON.stringify(request).slice(0, 200),
        "REQUEST_INVALID",
      ]);
    expect(await mongo.db(database).collection("accounts").countDocuments()).toBe(before);
  });
});

describe("log-in", () => {
  test("gives a session whose access token the public keys verify", async () => {
    const { accountId, session } = await loggedIn();
    const { jwksJson } = await main.client.getVerificationKeys({});
    const jwks = JSON.parse(jwksJson);
    const { payload, protectedHeader } = await jwtVerify(session.accessToken, createLocalJWKSet(jwks), {
      issuer: "onsale",
      audience: "onsale",
      typ: "at+jwt",
      algorithms: ["EdDSA"],
    });
    expect(protectedHeader).toEqual({ alg: "EdDSA", typ: "at+jwt", kid: jwks.keys[0].kid });
    expect(Object.keys(payload).sort()).toEqual(["aud", "exp", "iat", "iss", "jti", "roles", "sid", "sub"]);
    expect(payload).toMatchObject({ sub: accountId, sid: session.sessionId, roles: ["buyer"] });
    expect(payload.exp! - payload.iat!).toBe(600);
    expect(session.accessExpiresAtMs).toBe(payload.exp! * 1000);
    expect(session.refreshExpiresAtMs - Date.now()).toBeGreaterThan(29 * day);
    expect(jwks.keys.every((key: object) => !("d" in key))).toBe(true);
  });

  test("refuses a wrong password and an unknown e-mail in the same words", async () => {
    const { email } = await signedUp();
    const wrong = await refused(
      main.client.logIn({ email, password: "not the password", clientAddress: someAddress() }),
    );
    const unknown = await refused(main.client.logIn({ ...person(), clientAddress: someAddress() }));
    expect(wrong.code).toBe("CREDENTIALS_INVALID");
    expect([unknown.code, unknown.message, unknown.details]).toEqual([wrong.code, wrong.message, wrong.details]);
  });

  test("takes as long for an unknown e-mail as for a wrong password", async () => {
    // The real parameters: with the tests' cheap ones, the network would be most of it.
    const costly = await start({
      ARGON2_MEMORY_KIB: "19456",
      ARGON2_PASSES: "4",
      LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS: "50",
    });
    const { email } = await signedUp(costly.client);
    const time = async (email: string) => {
      const from = performance.now();
      await codeOf(costly.client.logIn({ email, password: "not the password", clientAddress: someAddress() }));
      return performance.now() - from;
    };
    const median = (times: number[]) => times.sort((a, b) => a - b)[times.length >> 1]!;
    const known: number[] = [];
    const unknown: number[] = [];
    for (let i = 0; i < 9; i++) {
      known.push(await time(email));
      unknown.push(await time(person().email));
    }
    expect(median(unknown)).toBeGreaterThan(median(known) * 0.6);
    expect(median(unknown)).toBeLessThan(median(known) * 1.7);
    await costly.stop();
  });

  test("refuses nonsense", async () => {
    const given = await signedUp();
    const clientAddress = someAddress();
    for (const request of [
      { ...given, email: "nonsense", clientAddress },
      { ...given, email: "a\u0000@example.com", clientAddress },
      { ...given, password: "", clientAddress },
      { ...given, clientAddress: "not an address" },
      { ...given, clientAddress: "10.0.0.1, 10.0.0.2" },
    ])
      expect(await codeOf(main.client.logIn(request))).toBe("REQUEST_INVALID");
    for (const password of ["\u0000", "x".repeat(1_000_000)])
      expect(await codeOf(main.client.logIn({ ...given, password, clientAddress }))).toBe("CREDENTIALS_INVALID");
  });

  test("hashes the password anew when the parameters have changed, and only then", async () => {
    const given = await signedUp();
    const stored = async () =>
      (await mongo
        .db(database)
        .collection<{ _id: string; passwordHash: string }>("accounts")
        .findOne({ _id: given.accountId }))!.passwordHash;
    const before = await stored();
    expect(before).toMatch(/^\$argon2id\$v=19\$m=1024,t=1,p=1\$/);
    await main.client.logIn({ ...given, clientAddress: someAddress() });
    expect(await stored()).toBe(before);
    const stronger = await start({ ARGON2_MEMORY_KIB: "2048", ARGON2_PASSES: "2" });
    await stronger.client.logIn({ ...given, clientAddress: someAddress() });
    expect(await stored()).toMatch(/^\$argon2id\$v=19\$m=2048,t=2,p=1\$/);
    await stronger.client.logIn({ ...given, clientAddress: someAddress() });
    await stronger.stop();
  });

  test("a storm waits in line up to the bound, and what is more is told to come back", async () => {
    const narrow = await start({
      PASSWORD_HASH_CONCURRENCY: "1",
      PASSWORD_HASH_QUEUE: "3",
      ARGON2_MEMORY_KIB: "19456",
      ARGON2_PASSES: "4",
    });
    const outcomes = await Promise.all(
      Array.from({ length: 30 }, () => codeOf(narrow.client.logIn({ ...person(), clientAddress: someAddress() }))),
    );
    expect(new Set(outcomes)).toEqual(new Set(["CREDENTIALS_INVALID", "UNAVAILABLE"]));
    expect(outcomes.filter((code) => code === "CREDENTIALS_INVALID").length).toBeGreaterThanOrEqual(4);
    await narrow.stop();
  });
});

describe("throttling", () => {
  const wrong = "not the password";

  test("after ten failures at one place even the right password waits there, but not elsewhere", async () => {
    const given = await signedUp();
    const clientAddress = someAddress();
    for (let i = 0; i < 10; i++)
      expect(await codeOf(main.client.logIn({ ...given, password: wrong, clientAddress }))).toBe("CREDENTIALS_INVALID");
    const refusal = await refused(main.client.logIn({ ...given, clientAddress }));
    expect(refusal.code).toBe("TOO_MANY_ATTEMPTS");
    const wait = refusal.details["retryAfterSeconds"] as number;
    expect(wait).toBeGreaterThan(800);
    expect(wait).toBeLessThanOrEqual(900);
    expect(refusal.message).toMatch(/15 minutes/);
    // Who guesses can't lock the owner out, who is at another address.
    await main.client.logIn({ ...given, clientAddress: someAddress() });
  });

  test("a hundred guesses at once don't slip through before they are counted", async () => {
    const given = await signedUp();
    const clientAddress = someAddress();
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, () => codeOf(main.client.logIn({ ...given, password: wrong, clientAddress }))),
    );
    expect(outcomes.filter((code) => code === "CREDENTIALS_INVALID")).toHaveLength(10);
    expect(outcomes.filter((code) => code === "TOO_MANY_ATTEMPTS")).toHaveLength(90);
  });

  test("a success forgets the failures before it", async () => {
    const given = await signedUp();
    const clientAddress = someAddress();
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 8; i++)
        expect(await codeOf(main.client.logIn({ ...given, password: wrong, clientAddress }))).toBe(
          "CREDENTIALS_INVALID",
        );
      await main.client.logIn({ ...given, clientAddress });
    }
  });

  test("guesses from everywhere lock the account, save where its owner has logged in before", async () => {
    const strict = await start({ LOGIN_FAILURES_PER_ACCOUNT: "12" });
    const given = await signedUp(strict.client);
    const home = someAddress();
    await strict.client.logIn({ ...given, clientAddress: home });
    for (let i = 0; i < 12; i++)
      expect(await codeOf(strict.client.logIn({ ...given, password: wrong, clientAddress: someAddress() }))).toBe(
        "CREDENTIALS_INVALID",
      );
    expect(await codeOf(strict.client.logIn({ ...given, clientAddress: someAddress() }))).toBe("TOO_MANY_ATTEMPTS");
    await strict.client.logIn({ ...given, clientAddress: home });
    await strict.stop();
  });

  test("one address that tries many accounts is stopped, also when it walks through its IPv6 network", async () => {
    const strict = await start({ LOGIN_FAILURES_PER_ADDRESS: "6" });
    const prefix = `2001:db8:${randomBytes(2).toString("hex")}:${randomBytes(2).toString("hex")}`;
    const codes: RefusalCode[] = [];
    for (let i = 1; i <= 8; i++)
      codes.push(await codeOf(strict.client.logIn({ ...person(), password: wrong, clientAddress: `${prefix}::${i}` })));
    expect(codes).toEqual([...Array(6).fill("CREDENTIALS_INVALID"), "TOO_MANY_ATTEMPTS", "TOO_MANY_ATTEMPTS"]);
    await strict.stop();
  });

  test("many people with the right password at one address all get in", async () => {
    const strict = await start({ LOGIN_FAILURES_PER_ADDRESS: "5" });
    const everybody = await Promise.all(Array.from({ length: 20 }, () => signedUp(strict.client)));
    const clientAddress = someAddress();
    await Promise.all(everybody.map((given) => strict.client.logIn({ ...given, clientAddress })));
    await strict.stop();
  });

  test("the block grows", async () => {
    const quick = await start({
      LOGIN_WINDOW_SECONDS: "1",
      LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS: "1",
      LOGIN_BLOCK_MAX_SECONDS: "3",
    });
    const given = await signedUp(quick.client);
    const clientAddress = someAddress();
    const waits: number[] = [];
    for (let i = 0; i < 3; i++) {
      let refusal: DomainError;
      do refusal = await refused(quick.client.logIn({ ...given, password: wrong, clientAddress }));
      while (refusal.code !== "TOO_MANY_ATTEMPTS");
      const wait = refusal.details["retryAfterSeconds"] as number;
      waits.push(wait);
      await new Promise((resolve) => setTimeout(resolve, wait * 1000 + 100));
    }
    expect(waits).toEqual([1, 2, 3]);
    await quick.client.logIn({ ...given, clientAddress });
    await quick.stop();
  });
});

describe("sessions", () => {
  test("each refresh gives a new pair with today's roles; the session stays the same", async () => {
    const { accountId, session } = await loggedIn();
    await main.client.setRoles({ accountId, roles: ["organiser", "buyer", "organiser"] });
    const first = (await main.client.refreshSession({ refreshToken: session.refreshToken })).session!;
    const { session: second, account } = await main.client.refreshSession({ refreshToken: first.refreshToken });
    expect(new Set([session, first, second!].map(({ refreshToken }) => refreshToken)).size).toBe(3);
    expect(new Set([session, first, second!].map(({ accessToken }) => accessToken)).size).toBe(3);
    expect(second!.sessionId).toBe(session.sessionId);
    expect(account!.roles).toEqual(["buyer", "organiser"]);
    const { jwksJson } = await main.client.getVerificationKeys({});
    const { payload } = await jwtVerify(second!.accessToken, createLocalJWKSet(JSON.parse(jwksJson)));
    expect(payload["roles"]).toEqual(["buyer", "organiser"]);
  });

  test("a used token ends the whole session, however old it is", async () => {
    const { session } = await loggedIn();
    let latest = session.refreshToken;
    for (let i = 0; i < 5; i++)
      latest = (await main.client.refreshSession({ refreshToken: latest })).session!.refreshToken;
    const reuse = await refused(main.client.refreshSession({ refreshToken: session.refreshToken }));
    expect(reuse.code).toBe("SESSION_REVOKED");
    expect(reuse.message).toMatch(/used before/);
    expect(await codeOf(main.client.refreshSession({ refreshToken: latest }))).toBe("SESSION_REVOKED");
  });

  test("of many refreshes with one token at once, one gets new tokens, and the others end the session", async () => {
    const { session } = await loggedIn();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 6 }, () => main.client.refreshSession({ refreshToken: session.refreshToken })),
    );
    const won = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value.session!] : []));
    expect(won).toHaveLength(1);
    for (const outcome of outcomes)
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "SESSION_REVOKED" });
    expect(await codeOf(main.client.refreshSession({ refreshToken: won[0]!.refreshToken }))).toBe("SESSION_REVOKED");
  });

  test("an invented token is refused and ends nothing", async () => {
    const { session } = await loggedIn();
    const [id, random, mark] = session.refreshToken.split(".") as [string, string, string];
    const other = randomBytes(32).toString("base64url");
    for (const refreshToken of [
      ...[
        "x",
        "\u0000",
        `${id}..`,
        `${id}.${other}.${mark}`,
        `${newId("ses")}.${random}.${mark}`,
        `${id}.${random}.${"A".repeat(22)}`,
      ],
      ...[`${session.refreshToken}x`, ` ${session.refreshToken}`, session.accessToken, "x".repeat(1_000_000)],
    ])
      expect(await codeOf(main.client.refreshSession({ refreshToken }))).toBe("SESSION_REVOKED");
    expect(await codeOf(main.client.refreshSession({ refreshToken: "" }))).toBe("REQUEST_INVALID");
    await main.client.refreshSession({ refreshToken: session.refreshToken });
  });

  test("the refresh token is not in the database", async () => {
    const { session } = await loggedIn();
    const documents = JSON.stringify(await mongo.db(database).collection("sessions").find().toArray());
    expect(documents).toContain(session.sessionId);
    for (const part of session.refreshToken.split(".").slice(1)) expect(documents).not.toContain(part);
  });

  test("logging out ends the session, twice is fine, and nobody ends another's", async () => {
    const mine = await loggedIn();
    const other = await loggedIn();
    await main.client.logOut({ accountId: other.accountId, sessionId: mine.session.sessionId, everywhere: false });
    const { session } = await main.client.refreshSession({ refreshToken: mine.session.refreshToken });
    for (let i = 0; i < 2; i++)
      await main.client.logOut({ accountId: mine.accountId, sessionId: mine.session.sessionId, everywhere: false });
    expect(await codeOf(main.client.refreshSession({ refreshToken: session!.refreshToken }))).toBe("SESSION_REVOKED");
    await main.client.logOut({ accountId: mine.accountId, sessionId: newId("ses"), everywhere: false });
    for (const request of [
      { accountId: "", sessionId: mine.session.sessionId },
      { accountId: mine.accountId, sessionId: "" },
      { accountId: mine.accountId, sessionId: "\u0000" },
    ])
      expect(await codeOf(main.client.logOut({ ...request, everywhere: false }))).toBe("REQUEST_INVALID");
    const nobody = { accountId: "", sessionId: "", everywhere: true };
    expect(await codeOf(main.client.logOut(nobody))).toBe("REQUEST_INVALID");
  });

  test("logging out everywhere ends every session of the account, and of no other", async () => {
    const { accountId, session, email, password } = await loggedIn();
    const { session: second } = await main.client.logIn({ email, password, clientAddress: "192.0.2.1" });
    const other = await loggedIn();
    await main.client.logOut({ accountId, sessionId: "", everywhere: true });
    for (const { refreshToken } of [session, second!])
      expect(await codeOf(main.client.refreshSession({ refreshToken }))).toBe("SESSION_REVOKED");
    await main.client.refreshSession({ refreshToken: other.session.refreshToken });
  });

  test("a session ends when it is idle for long, and after its longest time in any case", async () => {
    let now = Date.now();
    const later = await start({}, () => now);
    const idle = (await loggedIn(later.client)).session;
    const busy = (await loggedIn(later.client)).session;
    now += 29 * day;
    let latest = (await later.client.refreshSession({ refreshToken: busy.refreshToken })).session!;
    now += 2 * day;
    expect(await codeOf(later.client.refreshSession({ refreshToken: idle.refreshToken }))).toBe("SESSION_REVOKED");
    for (; now - Date.now() < 60 * day; now += 20 * day)
      latest = (await later.client.refreshSession({ refreshToken: latest.refreshToken })).session!;
    latest = (await later.client.refreshSession({ refreshToken: latest.refreshToken })).session!;
    expect(latest.refreshExpiresAtMs - Date.now()).toBeLessThanOrEqual(90 * day);
    now = latest.refreshExpiresAtMs + 1;
    expect(await codeOf(later.client.refreshSession({ refreshToken: latest.refreshToken }))).toBe("SESSION_REVOKED");
    await later.stop();
  });
});

describe("accounts and roles", () => {
  test("refuses unknown accounts and roles that are none", async () => {
    const { accountId } = await signedUp();
    for (const unknown of [newId("acc"), "", "\u0000", "x".repeat(5_000), '{"$ne":""}']) {
      expect(await codeOf(main.client.getAccount({ accountId: unknown }))).toBe("ACCOUNT_NOT_FOUND");
      expect(await codeOf(main.client.setRoles({ accountId: unknown, roles: ["buyer"] }))).toBe("ACCOUNT_NOT_FOUND");
    }
    for (const roles of [[], ["admin"], ["buyer", "root"], ["Buyer"], [""], Array(10_000).fill("x")])
      expect(await codeOf(main.client.setRoles({ accountId, roles }))).toBe("REQUEST_INVALID");
    const { account } = await main.client.setRoles({ accountId, roles: ["gate", "operator"] });
    expect(account!.roles).toEqual(["operator", "gate"]);
  });

  test("the first operator is made once, by several processes that start together", async () => {
    const env = {
      ACCOUNT_BOOTSTRAP_OPERATOR_EMAIL: `op.${randomBytes(4).toString("hex")}@example.com`,
      ACCOUNT_BOOTSTRAP_OPERATOR_PASSWORD: "the operator's password",
    };
    const pods = await Promise.all([start(env), start(env), start(env)]);
    for (const { client } of pods) {
      const { account } = await client.logIn({
        email: env.ACCOUNT_BOOTSTRAP_OPERATOR_EMAIL,
        password: env.ACCOUNT_BOOTSTRAP_OPERATOR_PASSWORD,
        clientAddress: someAddress(),
      });
      expect(account!.roles).toEqual(["operator"]);
    }
    await Promise.all(pods.map((pod) => pod.stop()));
  });

  test("somebody who signed up with the operator's e-mail first does not become one", async () => {
    const squatter = await signedUp();
    const pod = await start({
      ACCOUNT_BOOTSTRAP_OPERATOR_EMAIL: squatter.email,
      ACCOUNT_BOOTSTRAP_OPERATOR_PASSWORD: "the operator's password",
    });
    expect((await pod.client.getAccount(squatter)).account!.roles).toEqual(["buyer"]);
    expect(pod.logged.join("")).toMatch(/was not made/);
    await pod.stop();
  });

  test("half of the first operator, or a weak one, does not start", async () => {
    await expect(start({ ACCOUNT_BOOTSTRAP_OPERATOR_EMAIL: "op@example.com" })).rejects.toThrow(/needs both/);
    await expect(
      start({ ACCOUNT_BOOTSTRAP_OPERATOR_EMAIL: person().email, ACCOUNT_BOOTSTRAP_OPERATOR_PASSWORD: "short" }),
    ).rejects.toThrow(/at least 10/);
  });
});

describe("signing keys", () => {
  const own = () => ({ MONGODB_DATABASE: `${database}_${randomBytes(3).toString("hex")}` });
  const published = async ({ client }: Started) => JSON.parse((await client.getVerificationKeys({})).jwksJson);
  const drop = (env: { MONGODB_DATABASE: string }) => mongo.db(env.MONGODB_DATABASE).dropDatabase();

  test("several processes that start together make one key, and verify each other's tokens", async () => {
    const env = own();
    const pods = await Promise.all(Array.from({ length: 4 }, () => start(env)));
    const sets = await Promise.all(pods.map(published));
    expect(sets[0].keys).toHaveLength(1);
    for (const set of sets) expect(set).toEqual(sets[0]);
    const given = await signedUp(pods[0]!.client);
    for (const { client } of pods) {
      const { session } = await client.logIn({ ...given, clientAddress: someAddress() });
      await jwtVerify(session!.accessToken, createLocalJWKSet(sets[0]), { issuer: "onsale", audience: "onsale" });
    }
    await Promise.all(pods.map((pod) => pod.stop()));
    await drop(env);
  });

  test("a key is published before it signs, and stays until its last token has expired", async () => {
    const env = own();
    let now = Date.now();
    const pod = await start(env, () => now);
    const other = await start(env, () => now);
    const given = await signedUp(pod.client);
    const signedBy = async ({ client }: Started) => {
      const { session } = await client.logIn({ ...given, clientAddress: someAddress() });
      return decodeProtectedHeader(session!.accessToken).kid;
    };
    const kids = async (from: Started): Promise<string[]> =>
      (await published(from)).keys.map(({ kid }: { kid: string }) => kid);

    const [first] = await kids(pod);
    expect(await signedBy(pod)).toBe(first);
    now += 30 * day - 61 * 60_000;
    expect(await kids(pod)).toEqual([first]);
    now += 2 * 60_000; // one hour before its time is over
    const [, second] = await kids(pod);
    expect(second).toBeDefined();
    expect(await kids(other)).toEqual([first, second]);
    expect([await signedBy(pod), await signedBy(other)]).toEqual([first, first]);
    now += 60 * 60_000;
    expect([await signedBy(pod), await signedBy(other)]).toEqual([second, second]);
    expect(await kids(other)).toEqual([first, second]);
    now += 15 * 60_000; // older tokens live 10 minutes, and 10 more are for processes that are late
    expect(await kids(pod)).toEqual([first, second]);
    now += 10 * 60_000;
    expect(await kids(pod)).toEqual([second]);
    await Promise.all([pod.stop(), other.stop()]);
    await drop(env);
  });

  test("private keys are sealed: another secret can't use them, the previous one can be handed on", async () => {
    const env = own();
    const before = await start(env);
    const { session, ...given } = await loggedIn(before.client);
    const [kid] = (await published(before)).keys;
    const documents = JSON.stringify(await mongo.db(env.MONGODB_DATABASE).collection("signing_keys").find().toArray());
    expect(documents).not.toMatch(/PRIVATE|"d":/);
    await before.stop();

    const secret = randomBytes(24).toString("hex");
    await expect(start({ ...env, ACCOUNT_KEY_SECRET: secret })).rejects.toThrow(/sealed with another secret/);
    const after = await start({ ...env, ACCOUNT_KEY_SECRET: secret, ACCOUNT_KEY_SECRET_PREVIOUS: keySecret });
    expect((await published(after)).keys[0]).toEqual(kid);
    await after.client.refreshSession({ refreshToken: session.refreshToken });
    await after.client.logIn({ ...given, clientAddress: someAddress() });
    await after.stop();
    await drop(env);
  });
});

describe("logs", () => {
  test("of a whole session, at the chattiest level, have nothing personal or secret in them", async () => {
    const pod = await start();
    const marker = randomBytes(6).toString("hex");
    const given = {
      ...person(),
      email: `secret.${marker}@example.com`,
      name: `Secret ${marker}`,
      password: `pw ${marker} pw`,
    };
    const clientAddress = someAddress();
    const { client } = pod;
    await client.signUp(given);
    await codeOf(client.signUp({ ...given, accountId: "" }));
    await codeOf(client.signUp({ ...given, password: marker.slice(0, 8) }));
    await codeOf(client.logIn({ ...given, password: `wrong ${marker}`, clientAddress }));
    const { session } = await client.logIn({ ...given, clientAddress });
    const { session: next } = await client.refreshSession({ refreshToken: session!.refreshToken });
    await codeOf(client.refreshSession({ refreshToken: session!.refreshToken }));
    await client.logOut({ accountId: given.accountId, sessionId: session!.sessionId, everywhere: false });
    await client.getAccount(given);
    await client.setRoles({ accountId: given.accountId, roles: ["buyer"] });
    await pod.stop();

    const log = pod.logged.join("");
    expect(log).toContain("refused"); // it did log at that level
    const tokens = [session!, next!].flatMap(({ accessToken, refreshToken }) => [accessToken, refreshToken]);
    for (const secret of [marker, clientAddress, keySecret, ...tokens.flatMap((token) => token.split(".").slice(1))])
      expect(log).not.toContain(secret);
  });
});
