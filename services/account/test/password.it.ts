// Changing one's password, and looking accounts up for those who look after buyers: the whole service, on real stores.
import { randomBytes } from "node:crypto";
import { Writable } from "node:stream";
import { DomainError, type RefusalCode } from "@onsale/kit/errors";
import { connect, type ServiceClient } from "@onsale/kit/grpc-client";
import { newId } from "@onsale/kit/ids";
import { createLogger } from "@onsale/kit/log";
import { createContext } from "@onsale/kit/process";
import { AccountServiceService } from "@onsale/proto/account/v1/account";
import { MongoClient } from "mongodb";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { accountSettings } from "../src/config.js";
import { startAccount } from "../src/service.js";

const backing = inject("backing");
const database = `account_${randomBytes(6).toString("hex")}`;
const mongo = new MongoClient(backing.mongodbUri);
const old = "seventeen owls at dusk";
const fresh = "eighteen herons at dawn";
const logged: string[] = [];
let client: ServiceClient<typeof AccountServiceService>;
let stop: () => Promise<unknown>;

beforeAll(async () => {
  const context = createContext("account", accountSettings, {
    GRPC_LISTEN: "127.0.0.1:0",
    MONGODB_URI: backing.mongodbUri,
    MONGODB_DATABASE: database,
    REDIS_URL: backing.redisUrl,
    ACCOUNT_KEY_SECRET: randomBytes(24).toString("hex"),
    LOG_LEVEL: "trace",
    ARGON2_MEMORY_KIB: "1024",
    ARGON2_PASSES: "1",
    LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS: "3",
  });
  const sink = new Writable({
    write(chunk, _encoding, done) {
      logged.push(String(chunk));
      done();
    },
  });
  const { port } = await startAccount({ ...context, log: createLogger("account", "trace", sink) });
  client = connect(AccountServiceService, {
    address: `127.0.0.1:${port}`,
    trust: context.trust,
    deadlineMs: 15_000,
  });
  stop = () => context.lifecycle.stop("test");
});
afterAll(async () => {
  client.close();
  await stop();
  await mongo.db(database).dropDatabase();
  await mongo.close();
});

const someAddress = () => `10.${[...randomBytes(3)].join(".")}`;
async function codeOf(call: Promise<unknown>): Promise<RefusalCode> {
  try {
    await call;
  } catch (error) {
    if (error instanceof DomainError) return error.code;
    throw error;
  }
  throw new Error("expected a refusal, and there was none");
}

async function person(sessions = 1) {
  const email = `person.${randomBytes(6).toString("hex")}@example.com`;
  const accountId = newId("acc");
  await client.signUp({ accountId, email, password: old, name: "A person" });
  const address = someAddress();
  const logIn = async (password: string) => {
    const { session } = await client.logIn({ email, password, clientAddress: address });
    if (!session) throw new Error("no session");
    return session;
  };
  const open: Awaited<ReturnType<typeof logIn>>[] = [];
  for (let at = 0; at < sessions; at++) open.push(await logIn(old));
  const change = (
    more: Partial<{ sessionId: string; currentPassword: string; newPassword: string; clientAddress: string }> = {},
  ) =>
    client.changePassword({
      accountId,
      sessionId: open[0]?.sessionId ?? "",
      currentPassword: old,
      newPassword: fresh,
      clientAddress: address,
      ...more,
    });
  return { email, accountId, open, logIn, change };
}

describe("changing a password", () => {
  test("only the new one logs in from then on, and every session but this one has ended", async () => {
    const { open, logIn, change } = await person(3);
    await change();
    expect(await codeOf(logIn(old))).toBe("CREDENTIALS_INVALID");
    expect((await logIn(fresh)).sessionId).toBeTruthy();
    const [mine, ...others] = open;
    expect((await client.refreshSession({ refreshToken: mine?.refreshToken ?? "" })).session?.sessionId).toBe(
      mine?.sessionId,
    );
    for (const { refreshToken } of others)
      expect(await codeOf(client.refreshSession({ refreshToken }))).toBe("SESSION_REVOKED");
  });

  test("sent again, because its answer was lost, it is fine", async () => {
    const { logIn, change } = await person();
    await change();
    await change();
    expect((await logIn(fresh)).sessionId).toBeTruthy();
  });

  test("a wrong current password changes nothing, and guesses are bounded as log-ins are", async () => {
    const { open, logIn, change, email } = await person(2);
    const guess = (newPassword = fresh) => change({ currentPassword: "a wild guess at night", newPassword });
    expect(await codeOf(guess())).toBe("PASSWORD_WRONG");
    expect((await client.refreshSession({ refreshToken: open[1]?.refreshToken ?? "" })).session).toBeTruthy();
    expect(await codeOf(guess())).toBe("PASSWORD_WRONG");
    expect(await codeOf(guess())).toBe("PASSWORD_WRONG");
    expect(await codeOf(guess())).toBe("TOO_MANY_ATTEMPTS");
    // The same counter: whoever guesses here can't go on guessing there.
    expect(await codeOf(logIn(old))).toBe("TOO_MANY_ATTEMPTS");
    const elsewhere = await client.logIn({ email, password: old, clientAddress: someAddress() });
    expect(elsewhere.session).toBeTruthy();
  });

  test.each<[string, Parameters<Awaited<ReturnType<typeof person>>["change"]>[0], RefusalCode]>([
    ["too short", { newPassword: "short" }, "PASSWORD_WEAK"],
    ["the same", { newPassword: old }, "PASSWORD_WEAK"],
    ["with a control character", { newPassword: "nine lives\u0007and a bell" }, "REQUEST_INVALID"],
    ["without the current one", { currentPassword: "" }, "REQUEST_INVALID"],
    ["without a session", { sessionId: "" }, "REQUEST_INVALID"],
    ["from no address", { clientAddress: "somewhere" }, "REQUEST_INVALID"],
  ])("%s is refused", async (_, more, code) => {
    const { change, logIn } = await person();
    expect(await codeOf(change(more))).toBe(code);
    expect((await logIn(old)).sessionId).toBeTruthy();
  });

  test("of an account that is not there is refused", async () => {
    const { open } = await person();
    const call = client.changePassword({
      accountId: newId("acc"),
      sessionId: open[0]?.sessionId ?? "",
      currentPassword: old,
      newPassword: fresh,
      clientAddress: "",
    });
    expect(await codeOf(call)).toBe("ACCOUNT_NOT_FOUND");
  });

  test("two at once: one of them sets the password, and the other is told", async () => {
    const { change, logIn } = await person();
    const choices = [fresh, "nineteen swans at noon"];
    const outcomes = await Promise.allSettled(choices.map((newPassword) => change({ newPassword })));
    const won = choices.filter((_, at) => outcomes[at]?.status === "fulfilled");
    expect(won).toHaveLength(1);
    for (const outcome of outcomes)
      if (outcome.status === "rejected") expect(["UNAVAILABLE", "PASSWORD_WRONG"]).toContain(outcome.reason.code);
    expect((await logIn(won[0] ?? "")).sessionId).toBeTruthy();
  });
});

describe("looking accounts up", () => {
  test("by ids and by e-mail, in any spelling; what is not there is left out", async () => {
    const [one, two] = [await person(0), await person(0)];
    const { accounts } = await client.findAccounts({
      accountIds: [one.accountId, newId("acc"), one.accountId, "no such\u0000id"],
      email: ` ${two.email.toUpperCase()} `,
    });
    expect(accounts.map(({ email }) => email).sort()).toEqual([one.email, two.email].sort());
    expect(JSON.stringify(accounts)).not.toContain("argon2");
    const both = await client.findAccounts({ accountIds: [one.accountId], email: one.email });
    expect(both.accounts).toHaveLength(1);
    expect(await client.findAccounts({ accountIds: [], email: "nobody@example.com" })).toEqual({ accounts: [] });
    expect(await client.findAccounts({ accountIds: [], email: "not an e-mail" })).toEqual({ accounts: [] });
    const many = Array.from({ length: 101 }, () => newId("acc"));
    expect(await codeOf(client.findAccounts({ accountIds: many, email: "" }))).toBe("REQUEST_INVALID");
  });
});

test("no password and no e-mail is in a log", () => {
  const text = logged.join("");
  expect(text.length).toBeGreaterThan(1_000);
  for (const secret of [old, fresh, "a wild guess", "@example.com", "argon2id"]) expect(text).not.toContain(secret);
});
