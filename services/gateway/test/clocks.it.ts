// The gateway and the clocks of Valkey and Temporal: read from the real ones, shown, and a reason not to be ready.
import { setTimeout as sleep } from "node:timers/promises";
import { Client, Connection } from "@temporalio/client";
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";
import { type Harness, startHarness } from "./harness.js";

const backing = inject("backing");
let gateway: Harness;
beforeAll(async () => {
  gateway = await startHarness({ ...backing, settings: { CLOCK_CHECK_SECONDS: "0.3" } });
});
afterAll(() => gateway?.stop()); // again is fine

const offset = async (of: string) => {
  const { text } = await gateway.get("/metrics");
  const value = new RegExp(`^onsale_clock_offset_seconds\\{[^}]*of="${of}"[^}]*\\} (\\S+)$`, "m").exec(text)?.[1];
  return value === undefined ? undefined : Number(value);
};
const ready = async () => (await gateway.get("/readyz")).status;

test("clocks that agree: shown as that, and ready", async () => {
  for (const of of ["valkey", "temporal"]) await expect.poll(() => offset(of)).toBeCloseTo(0, 0);
  expect(await ready()).toBe(200);
});

describe("this machine's clock, as the others see it", () => {
  // Other tests use the same servers, so it is ours that is moved.
  test.each([
    ["ahead", 40_000],
    ["behind", -40_000],
  ])("%s: not ready, with the offset shown; and ready again once it is right", async (_, movedMs) => {
    const real = Date.now.bind(Date);
    const moved = vi.spyOn(Date, "now").mockImplementation(() => real() + movedMs);
    try {
      await expect.poll(ready).toBe(503);
      for (const of of ["valkey", "temporal"])
        await expect.poll(async () => Math.round((await offset(of)) ?? 0)).toBe(-movedMs / 1000);
    } finally {
      moved.mockRestore();
    }
    await expect.poll(ready).toBe(200);
  });
});

test("asking Temporal for its time leaves nothing there", async () => {
  await gateway.stop();
  const connection = await Connection.connect({ address: backing.temporalAddress });
  try {
    const { workflow } = new Client({ connection });
    const left = async () => (await workflow.count(`TaskQueue = "${gateway.taskQueue}-clock"`)).count;
    await sleep(2_000); // its lists are a little behind
    await expect.poll(left, { timeout: 45_000 }).toBe(0);
  } finally {
    await connection.close();
  }
});
