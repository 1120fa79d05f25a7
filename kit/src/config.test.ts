// Reading the environment: everything that is wrong in one message, and no value in it.
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { address, flag, processSettings, readConfig, seconds, wholeNumber } from "./config.js";

const shape = { ...processSettings, LISTEN: address, COUNT: wholeNumber.positive(), WAIT: seconds, FAST: flag };
const good = { LISTEN: "127.0.0.1:7001", COUNT: "3", WAIT: "0.5", FAST: "true" };

describe("readConfig", () => {
  test("gives typed values, defaults, and nothing that was not asked for", () => {
    const config = readConfig(shape, { ...good, SOMETHING_ELSE: "x" });
    expect(config).toMatchObject({ LISTEN: "127.0.0.1:7001", COUNT: 3, WAIT: 0.5, FAST: true, LOG_LEVEL: "info" });
    expect(config).not.toHaveProperty("SOMETHING_ELSE");
  });

  test("takes an empty variable as none", () => {
    expect(readConfig(shape, { ...good, LOG_LEVEL: "" }).LOG_LEVEL).toBe("info");
    expect(() => readConfig(shape, { ...good, COUNT: "" })).toThrow(/COUNT/);
  });

  test("names every problem at once, and repeats no value", () => {
    const secret = "hunter2";
    const env = {
      LISTEN: secret,
      COUNT: secret,
      WAIT: "-1",
      FAST: secret,
      LOG_LEVEL: secret,
      GRPC_SHARED_SECRET: secret,
    };
    const message = messageOf(() => readConfig(shape, env));
    for (const name of Object.keys(env)) expect(message).toContain(`${name}: `);
    expect(message).not.toContain(secret);
    expect(message.split("\n")).toHaveLength(1 + Object.keys(env).length);
  });

  test.each(["localhost", "127.0.0.1:", ":7001", "a b:1", "host:123456", "http://x:1"])(
    "refuses the address %j",
    (LISTEN) => {
      expect(() => readConfig({ LISTEN: address }, { LISTEN })).toThrow(/host:port/);
    },
  );

  test.each(["x", "1.5", "NaN", "Infinity", "1e400"])("refuses the whole number %j", (COUNT) => {
    expect(() => readConfig({ COUNT: wholeNumber }, { COUNT })).toThrow(/COUNT/);
  });

  test("a flag is true or false and nothing like it", () => {
    expect(readConfig({ FAST: flag.default(false) }, {}).FAST).toBe(false);
    for (const FAST of ["1", "yes", "TRUE"]) expect(() => readConfig({ FAST: flag }, { FAST })).toThrow(/FAST/);
  });

  test("does not repeat what a custom check was given", () => {
    const check = { KEY: z.string().refine(() => false, "is not right") };
    expect(messageOf(() => readConfig(check, { KEY: "hunter2" }))).not.toContain("hunter2");
  });
});

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("expected it to throw");
}
