// How a service is set up, and how it waits for stores that come up later.
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { DomainError } from "./errors.js";
import { createContext, prepareWhenAvailable } from "./process.js";

const silent = { LOG_LEVEL: "silent" };

describe("a context", () => {
  test("has the process's settings and the service's own", () => {
    const { config, trust, lifecycle } = createContext("tested", { OWN: z.string() }, { ...silent, OWN: "x" });
    expect(config).toMatchObject({ OWN: "x", LOG_LEVEL: "silent", OPS_LISTEN: "127.0.0.1:0" });
    expect(trust).toEqual({ sharedSecret: undefined, tls: undefined });
    expect(lifecycle.running()).toBe(true);
  });

  test("in production, needs services to know each other", () => {
    const production = { ...silent, NODE_ENV: "production" };
    expect(() => createContext("tested", {}, production).trust).toThrow(/GRPC_SHARED_SECRET/);
    // But not a process that has nothing to do with them.
    expect(createContext("tested", {}, production).config.NODE_ENV).toBe("production");
    const { trust } = createContext("tested", {}, { ...production, GRPC_SHARED_SECRET: "sixteen characters" });
    expect(trust.sharedSecret).toBe("sixteen characters");
  });

  test("refuses one third of mutual TLS", () => {
    expect(() => createContext("tested", {}, { ...silent, GRPC_TLS_CA: "/ca.pem" }).trust).toThrow(
      /all of GRPC_TLS_CA/,
    );
  });
});

describe("prepareWhenAvailable", () => {
  const away = () => new DomainError("UNAVAILABLE", "away");

  test("tries until the stores answer", async () => {
    let tries = 0;
    await prepareWhenAvailable(
      createContext("tested", {}, silent),
      async () => {
        tries += 1;
        if (tries < 4) throw away();
      },
      1,
    );
    expect(tries).toBe(4);
  });

  test("does not try again what waiting can't mend", async () => {
    let tries = 0;
    const bug = new Error("a wrong setting");
    const preparing = prepareWhenAvailable(createContext("tested", {}, silent), async () => {
      tries += 1;
      throw bug;
    });
    await expect(preparing).rejects.toBe(bug);
    expect(tries).toBe(1);
  });

  test("stops trying when the process is stopped", async () => {
    const context = createContext("tested", {}, silent);
    const preparing = prepareWhenAvailable(context, () => Promise.reject(away()), 1);
    setTimeout(() => void context.lifecycle.stop("test"), 10);
    await expect(preparing).rejects.toThrow(/stopped before/);
  });
});
