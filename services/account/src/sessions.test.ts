// Sessions and refresh tokens, without a store.
import { describe, expect, test } from "vitest";
import { createRefreshTokens, expiryFrom, judge, type Session } from "./sessions.js";

const sessionId = `ses_${"0".repeat(26)}`;
const session: Session = {
  sessionId,
  accountId: "acc_1",
  tokenHash: "current",
  createdAtMs: 0,
  expiresAtMs: 1000,
  endsAtMs: 5000,
  ended: false,
};

test.each<[string, Session | undefined, string, number, ReturnType<typeof judge>]>([
  ["the current token", session, "current", 999, "good"],
  ["an older token", session, "older", 999, "reused"],
  ["the moment of expiry", session, "current", 1000, "over"],
  ["an older token after that", session, "older", 1000, "over"],
  ["the absolute end", { ...session, expiresAtMs: 9000 }, "current", 5000, "over"],
  ["an ended session", { ...session, ended: true }, "current", 0, "over"],
  ["no session", undefined, "current", 0, "over"],
])("judges %s", (_, given, hash, nowMs, verdict) => {
  expect(judge(given, hash, nowMs)).toBe(verdict);
});

test("a session is prolonged, but not past its end", () => {
  const lifetimes = { idleMs: 100, absoluteMs: 1000 };
  expect(expiryFrom(50, 1000, lifetimes)).toBe(150);
  expect(expiryFrom(950, 1000, lifetimes)).toBe(1000);
});

describe("refresh tokens", () => {
  const secret = "a secret that is long enough for this";
  const tokens = createRefreshTokens(secret);

  test("are read back, and are all different", () => {
    const issued = Array.from({ length: 100 }, () => tokens.issue(sessionId));
    for (const { token, hash } of issued) expect(tokens.read(token)).toEqual({ sessionId, hash });
    expect(new Set(issued.map(({ token }) => token)).size).toBe(100);
    expect(issued.every(({ token, hash }) => !token.includes(hash))).toBe(true);
  });

  test("changed anywhere are not ours", () => {
    const { token } = tokens.issue(sessionId);
    for (let at = 0; at < token.length; at++) {
      const other = token[at] === "1" ? "2" : "1";
      expect(tokens.read(token.slice(0, at) + other + token.slice(at + 1))).toBeUndefined();
    }
    for (const changed of [
      "",
      token.slice(1),
      `${token}=`,
      `${token}\n`,
      token.replaceAll(".", ""),
      token.toUpperCase(),
    ])
      expect(tokens.read(changed)).toBeUndefined();
  });

  test("of the previous secret are read while it is kept, and of no other", () => {
    const { token, hash } = tokens.issue(sessionId);
    const next = "another secret that is long enough";
    expect(createRefreshTokens(next, secret).read(token)).toEqual({ sessionId, hash });
    expect(createRefreshTokens(next).read(token)).toBeUndefined();
    const renewed = createRefreshTokens(next, secret).issue(sessionId);
    expect(tokens.read(renewed.token)).toBeUndefined();
  });
});
