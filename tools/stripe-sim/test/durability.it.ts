// What was acknowledged is there after kill -9, idempotency keys too; and no card number is anywhere on disk or in a log.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../../backing/src/ports.js";
import { errorOf, simAt, temporaryDirectory } from "./a-sim.js";

const folder = fileURLToPath(new URL("..", import.meta.url));
const root = fileURLToPath(new URL("../../..", import.meta.url));
let directory: string;
beforeAll(async () => {
  execFileSync(join(root, "node_modules/.bin/tsc"), ["-b", folder], { cwd: root, stdio: "inherit" });
  directory = await temporaryDirectory();
}, 120_000);
afterAll(() => rm(directory, { recursive: true, force: true }));

const children = new Set<ChildProcess>();
/** What a failed test leaves behind. */
afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
});

interface Child {
  readonly process: ChildProcess;
  readonly output: () => string;
}

async function startChild(port: number, env: Record<string, string> = {}): Promise<Child> {
  const child = spawn(process.execPath, [join(folder, "dist/main.js")], {
    env: {
      PATH: process.env["PATH"],
      HTTP_LISTEN: `127.0.0.1:${port}`,
      SIM_DATA_DIR: directory,
      SIM_CONTROL: "true",
      SIM_RATE_PER_ENDPOINT: "0",
      SIM_RATE_TOTAL: "0",
      LOG_LEVEL: "debug",
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  child.once("exit", () => children.delete(child));
  let output = "";
  const ready = new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('"msg":"ready"')) resolve();
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("exit", (code) => reject(new Error(`stripe-sim ended with ${code}: ${output}`)));
  });
  await ready;
  return { process: child, output: () => output };
}

async function kill(child: Child, signal: NodeJS.Signals): Promise<number | null> {
  const ended = new Promise<number | null>((resolve) => child.process.once("exit", (code) => resolve(code)));
  child.process.kill(signal);
  return await ended;
}

const authorization = {
  amount: 2000,
  currency: "eur",
  capture_method: "manual",
  confirm: true,
  payment_method: "pm_card_visa",
  automatic_payment_methods: { enabled: true, allow_redirects: "never" },
} as const;

describe("kill -9 in the middle of a load", () => {
  it("loses nothing that was acknowledged", async () => {
    const acknowledged = new Map<string, { readonly id: string; readonly captured: boolean }>();
    // Small enough that the journal is rewritten again and again under load.
    const env = { SIM_COMPACT_BYTES: "60000" };
    let next = 0;
    for (let round = 0; round < 3; round += 1) {
      const port = await freePort();
      const child = await startChild(port, env);
      const { client } = simAt(port);
      const stripe = client({ timeout: 5_000 });
      let running = true;
      const buyer = async () => {
        while (running) {
          next += 1;
          const key = `key-${next}`;
          try {
            const { id } = await stripe.paymentIntents.create(
              { ...authorization, metadata: { key } },
              { idempotencyKey: key },
            );
            acknowledged.set(key, { id, captured: false });
            await stripe.paymentIntents.capture(id, {}, { idempotencyKey: `${key}-capture` });
            acknowledged.set(key, { id, captured: true });
          } catch {
            // The process is gone: whatever was under way was not acknowledged.
          }
        }
      };
      const buyers = Array.from({ length: 8 }, buyer);
      await new Promise((resolve) => setTimeout(resolve, 700));
      await kill(child, "SIGKILL");
      running = false;
      await Promise.all(buyers);
    }
    expect(acknowledged.size).toBeGreaterThan(30);

    const port = await freePort();
    const child = await startChild(port);
    const sim = simAt(port);
    const ledger = (await (await sim.fetch("/_sim/ledger")).json()) as {
      payment_intents: { id: string; metadata: { key: string }; captured: number; successfulCharges: number }[];
    };
    const found = new Map(ledger.payment_intents.map((line) => [line.id, line]));
    for (const [key, { id, captured }] of acknowledged) {
      expect(found.get(id)?.metadata.key, key).toBe(key);
      if (captured) expect(found.get(id)?.captured).toBe(2000);
    }
    // No key made two payments, and no payment two charges.
    expect(new Set(ledger.payment_intents.map(({ metadata }) => metadata.key)).size).toBe(
      ledger.payment_intents.length,
    );
    expect(ledger.payment_intents.every(({ successfulCharges }) => successfulCharges === 1)).toBe(true);
    const keys = [...acknowledged].slice(0, 5).concat([...acknowledged].slice(-5));
    for (const [key, { id }] of keys) {
      const replay = await sim.stripe.paymentIntents.create(
        { ...authorization, metadata: { key } },
        { idempotencyKey: key },
      );
      expect(replay.id).toBe(id);
      expect(replay.lastResponse.headers["idempotent-replayed"]).toBe("true");
    }
    expect(await kill(child, "SIGTERM")).toBe(0);
  });

  it("only one process at a time has the data", async () => {
    const first = await startChild(await freePort());
    await expect(startChild(await freePort())).rejects.toThrow("Another stripe-sim is using");
    expect(await kill(first, "SIGTERM")).toBe(0);
  });
});

describe("card numbers", () => {
  it("are neither on disk nor in the log nor in the log of requests", async () => {
    const port = await freePort();
    const child = await startChild(port, { LOG_LEVEL: "trace" });
    const sim = simAt(port);
    const card = { number: "4000 0000 0000 9995", exp_month: 12, exp_year: 2040, cvc: "8642" };
    await errorOf(sim.stripe.paymentMethods.create({ type: "card", card }, { idempotencyKey: "leak-1" }));
    const method = await sim.stripe.paymentMethods.create(
      { type: "card", card: { ...card, cvc: "864" } },
      { idempotencyKey: "leak-2" },
    );
    await errorOf(sim.stripe.paymentIntents.create({ ...authorization, payment_method: method.id }));
    const typed = new URLSearchParams({
      number: "4000000000009995",
      expiry: "12/40",
      cvc: "864",
      return_url: "http://localhost/",
    });
    expect((await fetch(`${sim.url}/card`, { method: "POST", body: typed, redirect: "manual" })).status).toBe(303);
    const requests = JSON.stringify(await sim.requests());
    await kill(child, "SIGTERM");
    const files = await Promise.all((await readdir(directory)).map((name) => readFile(join(directory, name), "utf8")));
    const disk = files.join("\n");
    expect(disk).toContain(method.id);
    for (const text of [disk, child.output(), requests]) {
      expect(text.replace(/[\s-]/g, "")).not.toContain("4000000000009995");
      expect(text).not.toMatch(/"?cvc"?\s*[:=]\s*"?864/);
    }
  });
});
