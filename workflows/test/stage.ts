// What a workflow test stands on: the real Temporal server, scripted services, a worker of its own, and buyers' requests.
import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { createContext } from "@onsale/kit/process";
import { Client, Connection, type WorkflowHandle } from "@temporalio/client";
import { defineSearchAttributeKey, SearchAttributeType } from "@temporalio/common";
import { temporal } from "@temporalio/proto";
import { inject } from "vitest";
import { bundleWorkflows } from "../src/bundle.js";
import { workerSettings } from "../src/config.js";
import {
  type CheckoutInput,
  type CheckoutView,
  cancelUpdate,
  checkoutDetails,
  checkoutQuery,
  checkoutSummary,
  checkoutWorkflowId,
  paymentChangedSignal,
  searchAttributes,
  submitPaymentUpdate,
  workflowTypes,
} from "../src/contract.js";
import { registerSearchAttributes } from "../src/search-attributes.js";
import { startWorkflows } from "../src/service.js";
import { type ScriptedServices, startScriptedServices } from "./scripted-services.js";

export type Event = temporal.api.history.v1.IHistoryEvent;
export type Handle = WorkflowHandle;
export type Stage = Awaited<ReturnType<typeof openStage>>;

const root = new URL("../../", import.meta.url);

/** The workflows' code from the sources as they are now; made once for all test files. */
export async function currentCode(): Promise<string> {
  const hash = createHash("sha256");
  for (const folder of ["workflows/src/", "workflows/src/books/", "workflows/src/workflows/", "kit/src/"])
    for (const file of (await readdir(new URL(folder, root))).filter((name) => name.endsWith(".ts")).sort())
      hash.update(await readFile(new URL(folder + file, root)));
  const cache = new URL(".cache/test-bundles/", root);
  const path = new URL(`${hash.digest("hex").slice(0, 32)}.js`, cache);
  if (!existsSync(path)) {
    await mkdir(cache, { recursive: true });
    const draft = new URL(`draft-${randomUUID()}.js`, cache);
    await writeFile(draft, await bundleWorkflows());
    await rename(draft, path);
  }
  return readFile(path, "utf8");
}

export interface StagedWorker {
  stop(): Promise<void>;
  /** As Prometheus reads them. */
  metrics(): Promise<string>;
}

export async function openStage({ worker = true }: { worker?: boolean } = {}) {
  const { temporalAddress } = inject("backing");
  const taskQueue = `test-${randomUUID()}`;
  const services: ScriptedServices = await startScriptedServices();
  const connection = await Connection.connect({ address: temporalAddress });
  const client = new Client({ connection });
  await registerSearchAttributes(connection.operatorService, "default");
  const stops: (() => Promise<unknown>)[] = [];
  const env = {
    ...services.env,
    TEMPORAL_ADDRESS: temporalAddress,
    TASK_QUEUE: taskQueue,
    RECONCILE_EVERY_SECONDS: "0", // the tests of the schedules ask for them
    BOOKS_AT: "never",
    NODE_ENV: "test",
    LOG_LEVEL: process.env["TEST_LOG_LEVEL"] ?? "silent",
  };

  /** A worker within this process; `more` over the environment. */
  async function startWorker(more: Record<string, string> = {}, code?: string): Promise<StagedWorker> {
    const context = createContext("workflows", workerSettings, { ...env, ...more });
    const running = await startWorkflows(context, code ?? (await currentCode()));
    const stop = () => context.lifecycle.stop("test");
    stops.push(stop);
    await until(() => running.ready());
    return { stop, metrics: () => context.metrics.registry.metrics() };
  }

  if (worker) await startWorker();

  function newCheckout(more: Partial<CheckoutInput> = {}): CheckoutInput {
    const unique = randomUUID().replaceAll("-", "").slice(0, 20);
    return {
      checkoutId: `chk_${unique}`,
      accountId: `acc_${unique}`,
      event: {
        eventId: `evt_${unique}`,
        name: "The Night Ferry",
        startsAtMs: Date.UTC(2027, 4, 1, 18),
        venueName: "Harbour Hall",
        city: "Hamburg",
        timeZone: "Europe/Berlin",
      },
      holdId: "0123456789abcdef",
      epoch: 1,
      deadlineMs: Date.now() + 300_000,
      seats: ["A-1-1", "A-1-2", "A-1-3"].map((seatId, at) => ({
        seatId,
        sectionId: "A",
        row: "1",
        number: String(at + 1),
        tierId: "standard",
        amount: 4_950,
      })),
      amount: 14_850,
      currency: "EUR",
      graceMs: 60_000,
      ...more,
    };
  }

  const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
  async function startCheckout(input: CheckoutInput): Promise<Handle> {
    return client.workflow.start(workflowTypes.checkout, {
      workflowId: checkoutWorkflowId(input.checkoutId),
      workflowIdReusePolicy: "REJECT_DUPLICATE",
      taskQueue,
      args: [input],
      staticSummary: checkoutSummary(input),
      staticDetails: checkoutDetails(input),
      typedSearchAttributes: [
        { key: keyword(searchAttributes.eventId), value: input.event.eventId },
        { key: keyword(searchAttributes.accountId), value: input.accountId },
        { key: keyword(searchAttributes.status), value: "held" },
      ],
    });
  }

  return {
    services,
    client,
    connection,
    taskQueue,
    env,
    newCheckout,
    startCheckout,
    startWorker,
    close: async () => {
      for (const stop of stops.reverse()) await stop();
      await connection.close();
      await services.stop();
    },
  };
}

// ---- what buyers and others do

export const pay = (handle: Handle, updateId: string = randomUUID()): Promise<CheckoutView> =>
  handle.executeUpdate<CheckoutView, [{ paymentMethodId: string; returnUrl: string }]>(submitPaymentUpdate, {
    updateId,
    args: [{ paymentMethodId: "pm_card_visa", returnUrl: "https://shop.example/return" }],
  });
export const cancel = (handle: Handle): Promise<CheckoutView> => handle.executeUpdate<CheckoutView, []>(cancelUpdate);
export const look = (handle: Handle): Promise<CheckoutView> => handle.query<CheckoutView>(checkoutQuery);
export const signal = (handle: Handle): Promise<void> => handle.signal(paymentChangedSignal);
export const result = (handle: Handle): Promise<CheckoutView> => handle.result() as Promise<CheckoutView>;

/** The code by which an update was refused. */
export async function refusal(update: Promise<unknown>): Promise<string> {
  try {
    await update;
  } catch (error) {
    const cause = (error as { cause?: { type?: string } }).cause;
    if (cause?.type) return cause.type;
    throw error;
  }
  throw new Error("the update was not refused");
}

// ---- what is left behind

export async function events(handle: Pick<Handle, "fetchHistory">): Promise<Event[]> {
  return (await handle.fetchHistory()).events ?? [];
}

/** The kinds of events without their long prefix: ["WorkflowExecutionStarted", …]. */
export async function kinds(handle: Handle): Promise<string[]> {
  return (await events(handle)).map((event) =>
    Object.keys(event)
      .filter((key) => key.endsWith("EventAttributes"))
      .map((key) => key.slice(0, -"EventAttributes".length))
      .join(),
  );
}

const histories = new URL("histories/", import.meta.url);

/** A run's history as JSON with base64 bytes, without what only tells of the machine it ran on. */
export async function historyJson(handle: Handle): Promise<string> {
  const history = JSON.parse(JSON.stringify(await handle.fetchHistory())) as unknown;
  const withoutMachine = (key: string, value: unknown) =>
    key === "identity" ? "worker" : key === "stackTrace" ? "" : value;
  return JSON.stringify(history, withoutMachine, 1);
}

/** Writes the run's history for the replay tests, when RECORD is set. */
export async function record(name: string, handle: Handle): Promise<void> {
  if (!process.env["RECORD"]) return;
  await mkdir(histories, { recursive: true });
  await writeFile(new URL(`${name}.json`, histories), `${await historyJson(handle)}\n`);
}

/** The recorded histories by name. */
export async function recorded(): Promise<{ name: string; history: temporal.api.history.v1.History }[]> {
  const names = (await readdir(histories)).filter((name) => name.endsWith(".json")).sort();
  return Promise.all(
    names.map(async (file) => ({
      name: file.slice(0, -".json".length),
      history: temporal.api.history.v1.History.fromObject(
        JSON.parse(await readFile(new URL(file, histories), "utf8")) as object,
      ),
    })),
  );
}

export async function until(condition: () => unknown | Promise<unknown>, withinMs = 100_000): Promise<void> {
  const end = Date.now() + withinMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${withinMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
