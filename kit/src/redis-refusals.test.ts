import { describe, expect, it } from "vitest";
import { DomainError } from "./errors.js";
import { createLogger } from "./log.js";
import { refusalTeller, serverRefusal, serverUnavailable } from "./redis-refusals.js";

/** As ioredis throws what a server answers. */
const reply = (message: string) => Object.assign(new Error(message), { name: "ReplyError" });

describe("what a server refuses with", () => {
  it.each([
    ["LOADING Valkey is loading the dataset in memory", "LOADING"],
    ["MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.", "MISCONF"],
    ["NOSCRIPT No matching script.", "NOSCRIPT"],
    ["MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "MASTERDOWN"],
    ["CLUSTERDOWN Hash slot not served", "CLUSTERDOWN"],
    ["TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN"],
    ["MOVED 3999 127.0.0.1:6381", "MOVED"],
    ["ASK 3999 127.0.0.1:6381", "ASK"],
    ["UNBLOCKED force unblock from blocking operation, instance state changed", "UNBLOCKED"],
    ["WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS"],
    ["DENIED Redis is running in protected mode", "DENIED"],
    ["ERR max number of clients reached", "ERR max number of clients reached"],
    ["OOM command not allowed when used memory > 'maxmemory'. script: 1a, on @user_script:1.", "OOM"],
    ["ERR Error running script (call to f_1a): @user_script:5: -OOM command not allowed", "OOM"],
  ])("%s", (message, code) => {
    expect(serverRefusal(reply(message))?.code).toBe(code);
    expect(serverUnavailable(reply(message), "Try again.")).toMatchObject({ code: "UNAVAILABLE" });
  });

  it.each([
    "ERR unknown command 'GTE'",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "ERR Error running script (call to f_1a): @user_script:5: attempt to index a nil value",
    "OOMPH",
  ])("%s is a bug of ours", (message) => {
    const error = reply(message);
    expect(serverRefusal(error)).toBeUndefined();
    expect(serverUnavailable(error, "Try again.")).toBe(error);
  });

  it("is not what a broken connection says, which is unavailable too", () => {
    const broken = new Error("Connection is closed.");
    expect(serverRefusal(broken)).toBeUndefined();
    const told = serverUnavailable(broken, "Try again.") as DomainError;
    expect(told).toBeInstanceOf(DomainError);
    expect(told).toMatchObject({ code: "UNAVAILABLE", message: "Try again.", cause: broken });
  });
});

it("is told in the log by its kind, once a minute, if somebody must do something about it", () => {
  const lines: string[] = [];
  const log = createLogger("test", "info", { write: (line: string) => lines.push(line) });
  let now = 0;
  const tell = refusalTeller(log, () => now);
  const said = () => lines.splice(0).map((line) => (JSON.parse(line) as { refusal: string }).refusal);
  tell(reply("MISCONF no disk"));
  tell(reply("MISCONF no disk"));
  tell(reply("OOM full"));
  tell(reply("LOADING a moment"));
  tell(reply("ERR unknown command"));
  tell(new Error("Connection is closed."));
  expect(said()).toEqual(["MISCONF", "OOM"]);
  now = 61_000;
  tell(reply("MISCONF no disk"));
  expect(said()).toEqual(["MISCONF"]);
});
