// The account service while a store is away, frozen, late or back: it says so in time, and never crashes or lies.
import { randomBytes } from "node:crypto";
import { Writable } from "node:stream";
import { DomainError } from "@onsale/kit/errors";
import { connect, type ServiceClient } from "@onsale/kit/grpc-client";
import { newId } from "@onsale/kit/ids";
import { createLogger } from "@onsale/kit/log";
import { createContext, type RunningService } from "@onsale/kit/process";
import { deriveKey } from "@onsale/kit/sealed";
import { AccountServiceService } from "@onsale/proto/account/v1/account";
import { Redis } from "ioredis";
import { MongoClient } from "mongodb";
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from "vitest";
import { attemptKeys } from "../src/attempts.js";
import { accountSettings } from "../src/config.js";
import { startAccount } from "../src/service.js";
import { stretchWire, type Wire } from "./wire.js";

const backing = inject("backing");
const database = `account_outages_${randomBytes(6).toString("hex")}`;
const password = "seventeen owls at dusk";
const keySecret = "the key secret of the outage tests, long";
/** What callers give us, and the slack of a busy machine. */
const deadlineMs = 5_000;

let valkey: Wire;
let mongodb: Wire;
let client: ServiceClient<typeof AccountServiceService>;
let service: RunningService;
const logged: string[] = [];
const directMongo = new MongoClient(backing.mongodbUri);

function contextFor(mongoPort: number, valkeyPort: number, lines: string[]) {
  const context = createContext("account", accountSettings, {
    GRPC_LISTEN: "127.0.0.1:0",
    MONGODB_URI: `mongodb://127.0.0.1:${mongoPort}/?directConnection=true`,
    MONGODB_DATABASE: database,
    REDIS_URL: `redis://127.0.0.1:${valkeyPort}`,
    ACCOUNT_KEY_SECRET: keySecret,
    ARGON2_MEMORY_KIB: "1024",
    ARGON2_PASSES: "1",
    LOG_LEVEL: "warn",
  });
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  return { ...context, log: createLogger("account", "debug", sink) };
}
let context: ReturnType<typeof contextFor>;

beforeAll(async () => {
  valkey = await stretchWire(backing.redisUrl);
  mongodb = await stretchWire(backing.mongodbUri);
  context = contextFor(mongodb.port, valkey.port, logged);
  service = await startAccount(context);
  client = connect(AccountServiceService, { address: `127.0.0.1:${service.port}`, trust: {}, deadlineMs });
});
afterEach(async () => {
  await Promise.all([valkey.mend(), mongodb.mend()]);
  await back();
});
afterAll(async () => {
  client.close();
  await context.lifecycle.stop("test");
  await Promise.all([valkey.cut(), mongodb.cut()]);
  await directMongo.db(database).dropDatabase();
  await directMongo.close();
});

const someAddress = () => `10.${[...randomBytes(3)].join(".")}`;
async function signedUp() {
  const email = `person.${randomBytes(4).toString("hex")}@example.com`;
  const given = { accountId: newId("acc"), email, password, name: "Person" };
  await client.signUp(given);
  return given;
}
async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "OK";
  } catch (error) {
    if (error instanceof DomainError) return error.code;
    throw error;
  }
}
async function timed(call: Promise<unknown>): Promise<{ code: string; ms: number }> {
  const from = performance.now();
  return { code: await codeOf(call), ms: performance.now() - from };
}
async function until(what: () => Promise<boolean> | boolean): Promise<void> {
  for (let tries = 0; !(await what()); tries++) {
    if (tries > 300) throw new Error("it did not come about");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
const logs = (what: string) => logged.filter((line) => line.includes(what)).length;
/** The service has both stores, and counts in Valkey: an outage may end before anybody has noticed it. */
const back = () =>
  until(async () => {
    if ((await service.ready()) !== true || logs("Valkey is back") !== logs("Valkey is away")) return false;
    const [email, clientAddress] = [`nobody.${randomBytes(4).toString("hex")}@example.com`, someAddress()];
    await codeOf(client.logIn({ email, password: "wrong", clientAddress }));
    return (await countersOf(email, clientAddress)).length === 3;
  });

describe("Valkey", () => {
  test("away: everybody gets in, nobody gets a false 429, and failures are still counted here", async () => {
    const people = await Promise.all(Array.from({ length: 10 }, signedUp));
    await valkey.cut();
    const clientAddress = someAddress();
    const outcomes = await Promise.all(people.map((given) => timed(client.logIn({ ...given, clientAddress }))));
    expect(outcomes.map(({ code }) => code)).toEqual(people.map(() => "OK"));
    expect(Math.max(...outcomes.map(({ ms }) => ms))).toBeLessThan(5_000);
    const [victim] = people as [(typeof people)[number]];
    const guesses: string[] = [];
    for (let i = 0; i < 12; i++)
      guesses.push(await codeOf(client.logIn({ ...victim, password: "not the password", clientAddress })));
    expect(guesses).toEqual([...Array(10).fill("CREDENTIALS_INVALID"), ...Array(2).fill("TOO_MANY_ATTEMPTS")]);
    // It is told by the first try to connect again.
    await until(() => logs("Valkey is away") === 1);

    await valkey.mend();
    await back();
    // Counted for all again: failures here are seen in Valkey itself.
    const elsewhere = someAddress();
    expect(await countersOf(victim.email, elsewhere)).toEqual([]);
    await codeOf(client.logIn({ ...victim, password: "not the password", clientAddress: elsewhere }));
    expect(await countersOf(victim.email, elsewhere)).toEqual(["1", "1", "1"]);
  });

  test("frozen: log-ins wait a moment at most", async () => {
    const people = await Promise.all(Array.from({ length: 5 }, signedUp));
    valkey.silence();
    const clientAddress = someAddress();
    for (const given of people) {
      const { code, ms } = await timed(client.logIn({ ...given, clientAddress }));
      expect(code).toBe("OK");
      expect(ms).toBeLessThan(5_000);
    }
  });

  test("restarted without its data: nothing but the counters is gone", async () => {
    const given = await signedUp();
    const clientAddress = someAddress();
    for (let i = 0; i < 10; i++) await codeOf(client.logIn({ ...given, password: "wrong", clientAddress }));
    expect(await codeOf(client.logIn({ ...given, clientAddress }))).toBe("TOO_MANY_ATTEMPTS");
    await countersOf(given.email, clientAddress, "forget");
    expect(await codeOf(client.logIn({ ...given, clientAddress }))).toBe("OK");
  });
});

describe("MongoDB", () => {
  const everyCall = (given: Awaited<ReturnType<typeof signedUp>>, refreshToken: string, sessionId: string) => [
    client.signUp({ ...given, accountId: newId("acc"), email: `new.${given.email}` }),
    client.logIn({ ...given, clientAddress: someAddress() }),
    client.refreshSession({ refreshToken }),
    client.logOut({ accountId: given.accountId, sessionId, everywhere: false }),
    client.getAccount(given),
    client.setRoles({ accountId: given.accountId, roles: ["buyer"] }),
  ];

  test("away: every call says UNAVAILABLE before its deadline, the public keys are still served, and all is well after", async () => {
    const given = await signedUp();
    const { session } = await client.logIn({ ...given, clientAddress: someAddress() });
    await mongodb.cut();
    const outcomes = await Promise.all(everyCall(given, session!.refreshToken, session!.sessionId).map(timed));
    expect(outcomes.map(({ code }) => code)).toEqual(outcomes.map(() => "UNAVAILABLE"));
    for (const { ms } of outcomes) expect(ms).toBeLessThan(deadlineMs);
    expect(JSON.parse((await client.getVerificationKeys({})).jwksJson).keys).toHaveLength(1);
    expect(await service.ready()).toBe(false);
    expect(logged.join("")).not.toContain("a bug");

    await mongodb.mend();
    await back();
    // The refresh that failed did not use the token up.
    await client.refreshSession({ refreshToken: session!.refreshToken });
  });

  test("away: log-ins that nobody could check are held against nobody", async () => {
    const given = await signedUp();
    const clientAddress = someAddress();
    await mongodb.cut();
    const outcomes = await Promise.all(
      Array.from({ length: 9 }, () => codeOf(client.logIn({ ...given, clientAddress }))),
    );
    expect(new Set(outcomes)).toEqual(new Set(["UNAVAILABLE"]));
    await mongodb.mend();
    await back();
    for (let i = 0; i < 9; i++)
      expect(await codeOf(client.logIn({ ...given, password: "wrong", clientAddress }))).toBe("CREDENTIALS_INVALID");
    expect(await codeOf(client.logIn({ ...given, clientAddress }))).toBe("OK");
  });

  test("frozen: no caller waits past its deadline, and all is well after", async () => {
    const given = await signedUp();
    const { session } = await client.logIn({ ...given, clientAddress: someAddress() });
    mongodb.silence();
    const outcomes = await Promise.all(everyCall(given, session!.refreshToken, session!.sessionId).map(timed));
    for (const { code, ms } of outcomes) {
      expect(["UNAVAILABLE", "DEADLINE_EXCEEDED"]).toContain(code);
      expect(ms).toBeLessThan(deadlineMs + 1_500);
    }
    await mongodb.mend();
    await back();
    await client.getAccount(given);
  });
});

test("the service starts before its stores, and serves when they come", async () => {
  const lateMongodb = await stretchWire(backing.mongodbUri);
  const lateValkey = await stretchWire(backing.redisUrl);
  await Promise.all([lateMongodb.cut(), lateValkey.cut()]);
  const lines: string[] = [];
  const late = contextFor(lateMongodb.port, lateValkey.port, lines);
  let running: RunningService | undefined;
  const starting = startAccount(late).then((started) => {
    running = started;
    return started;
  });
  await until(() => lines.some((line) => line.includes("waiting for it")));
  expect(running).toBeUndefined();
  await lateMongodb.mend();
  expect(await (await starting).ready()).toBe(true);
  await late.lifecycle.stop("test");
  await lateMongodb.cut();
});

test("a service that is stopped while it waits for its stores stops", async () => {
  const nowhere = await stretchWire(backing.mongodbUri);
  await nowhere.cut();
  const late = contextFor(nowhere.port, valkey.port, []);
  const starting = startAccount(late);
  const outcome = expect(starting).rejects.toThrow(/stopped before/);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await late.lifecycle.stop("test");
  await outcome;
});

/** What Valkey itself has counted for this e-mail and address; "forget" removes it. */
async function countersOf(email: string, clientAddress: string, forget?: "forget"): Promise<string[]> {
  const keys = attemptKeys(deriveKey(keySecret, "login attempts"), email, clientAddress);
  const names = [`pair:${keys.accountAndAddress}`, `account:${keys.account}`, `address:${keys.address}`].map(
    (name) => `account:login:${name}`,
  );
  const redis = new Redis(backing.redisUrl);
  try {
    const counted = await redis.mget(names);
    if (forget) await redis.del(names);
    return counted.filter((count) => count !== null);
  } finally {
    redis.disconnect();
  }
}
