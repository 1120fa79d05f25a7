// Histories of real runs, replayed by the workflows as they are now: a change that would break running checkouts fails
// here. Record anew with `RECORD=1 npx vitest run --project component workflows/test`, and only when it is meant so.
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createLogger } from "@onsale/kit/log";
import { temporal } from "@temporalio/proto";
import { Worker } from "@temporalio/worker";
import { DeterminismViolationError } from "@temporalio/workflow";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleWorkflows } from "../src/bundle.js";
import { installRuntime } from "../src/worker.js";
import { currentCode, recorded } from "./stage.js";

type Recorded = Awaited<ReturnType<typeof recorded>>[number];

async function replay(code: string, histories: readonly Recorded[]) {
  const failures: Record<string, unknown> = {};
  const all = histories.map(({ name, history }) => ({ workflowId: name, history }));
  for await (const { workflowId, error } of Worker.runReplayHistories({ workflowBundle: { code } }, all))
    failures[workflowId] = error;
  return failures;
}

let histories: readonly Recorded[];
beforeAll(async () => {
  installRuntime(createLogger("replay", "silent"), undefined);
  histories = await recorded();
});

describe("the workflows as they are", () => {
  it("have a recorded history of each way to end", () => {
    expect(histories.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        "3ds",
        "cancelled",
        "cancelled-by-operator",
        "capture-refused",
        "declined-then-paid",
        "event-cancelled",
        "expired",
        "paid",
        "reconcile",
        "refund",
        "refund-before-reservations",
        "seat-lost",
      ]),
    );
    for (const { history } of histories)
      expect(history.events.at(-1)?.eventType).toBe(
        temporal.api.enums.v1.EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
      );
  });

  it("replay them all", async () => {
    const failures = await replay(await currentCode(), histories);
    expect(Object.keys(failures).sort()).toEqual(histories.map(({ name }) => name).sort());
    for (const [name, error] of Object.entries(failures)) expect(error, name).toBeUndefined();
  });
});

describe("this test can fail", () => {
  let folder: string;
  beforeAll(async () => {
    const cache = new URL("../../.cache/test-bundles/", import.meta.url).pathname;
    await mkdir(cache, { recursive: true });
    folder = await mkdtemp(`${cache}changed-`);
    await cp(new URL("../src/", import.meta.url), folder, { recursive: true });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("a checkout that captures before it claims is found out", async () => {
    const path = `${folder}/workflows/checkout.ts`;
    const text = await readFile(path, "utf8");
    const changed = text.replace(
      'await inHouse("claimSeats"',
      'await atStripe.capturePayment.executeWithOptions({ summary: "too early" }, [checkoutId]);\n      await inHouse("claimSeats"',
    );
    expect(changed).not.toBe(text);
    await writeFile(path, changed);
    const failures = await replay(
      await bundleWorkflows(`${folder}/workflows/index.ts`),
      histories.filter(({ name }) => name === "paid" || name === "expired"),
    );
    expect(failures["paid"]).toBeInstanceOf(DeterminismViolationError);
    expect(failures["expired"]).toBeUndefined(); // it never came to where the change is
  });
});
