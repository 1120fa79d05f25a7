// The worker as a process: killed in the middle, stopped in the middle, started before Temporal, outliving it, and two
// builds side by side.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { freePort } from "@onsale/backing/ports";
import { startTemporal } from "@onsale/backing/servers";
import { checkoutWorkflowId, searchAttributes } from "@onsale/workflows/contract";
import { Client, Connection } from "@temporalio/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hashOf } from "../src/bundle.js";
import { registerSearchAttributes } from "../src/search-attributes.js";
import { buildsOf, openInstallation } from "./installation.js";
import { after, type Behaviour } from "./scripted-services.js";
import { currentCode, type Handle, kinds, look, openStage, pay, result, type Stage, until } from "./stage.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const run = promisify(execFile);

let stage: Stage;
const children: ChildProcess[] = [];
beforeAll(async () => {
  // What runs as a process is what was compiled: both must be of now.
  await run(process.execPath, ["node_modules/typescript/bin/tsc", "-b", "workflows"], { cwd: root });
  await run(process.execPath, ["workflows/dist/bundle.js"], { cwd: root });
  stage = await openStage({ worker: false });
}, 240_000);
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await stage.close();
});

interface WorkerProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  output(): string;
  ready(): Promise<boolean>;
  alive(): boolean;
}

async function startProcess(more: Record<string, string> = {}): Promise<WorkerProcess> {
  const opsPort = await freePort();
  const child = spawn(process.execPath, ["workflows/dist/main.js"], {
    cwd: root,
    env: {
      PATH: process.env["PATH"],
      ...stage.env,
      LOG_LEVEL: "info",
      OPS_LISTEN: `127.0.0.1:${opsPort}`,
      SHUTDOWN_GRACE_SECONDS: "40",
      ...more,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (output += chunk));
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  return {
    child,
    exited,
    output: () => output,
    alive: () => child.exitCode === null && child.signalCode === null,
    ready: () =>
      fetch(`http://127.0.0.1:${opsPort}/readyz`).then(
        (response) => response.ok,
        () => false,
      ),
  };
}

const begin = async () => {
  const input = stage.newCheckout();
  return { input, id: input.checkoutId, handle: await stage.startCheckout(input) };
};
/** The effect is there, the answer never comes. */
const hangsAfter: Behaviour = async (_, model) => {
  await model();
  await new Promise((resolve) => setTimeout(resolve, 45_000));
};
/** Neither effect nor answer. */
const hangs: Behaviour = () => new Promise((resolve) => setTimeout(resolve, 45_000));

describe("kill -9 of the worker", () => {
  const cases = [
    ["after the authorization", "claimSeats", hangs],
    ["after authorizing, before its answer", "authorize", hangsAfter],
    ["after capturing, before its answer", "capture", hangsAfter],
    ["after issuing, before its answer", "issueTickets", hangsAfter],
  ] as const;
  // One death meets them all, as in life; what is waited for is the same timeouts.
  it(`${cases.map(([when]) => when).join("; ")}: the next one completes each checkout, charged once`, async () => {
    const first = await startProcess();
    const dying = await Promise.all(
      cases.map(async ([when, method, behaviour]) => {
        const { handle, id } = await begin();
        stage.services.script(id, method, behaviour);
        return { when, method, handle, id, paying: pay(handle) };
      }),
    );
    for (const { id, method } of dying) await until(() => stage.services.methods(id).includes(method), 90_000);
    first.child.kill("SIGKILL");
    await first.exited;
    const second = await startProcess();
    for (const { when, handle, id, paying } of dying) {
      expect((await paying).status, when).toBe("completed");
      expect((await result(handle)).status, when).toBe("completed");
      expect(stage.services.facts(id), when).toMatchObject({ authorizations: 1, captures: 1, claimed: true });
      expect(stage.services.facts(id).order?.ticketIds, when).toHaveLength(3);
    }
    second.child.kill("SIGTERM");
    expect(await second.exited).toBe(0);
  }, 240_000);
});

describe("SIGTERM", () => {
  it("lets the step in flight end, leaves the rest to the next worker, and exits with 0", async () => {
    const first = await startProcess();
    const { handle, id } = await begin();
    stage.services.script(id, "capture", after(3_000));
    const paying = pay(handle);
    await until(() => stage.services.methods(id).includes("capture"));
    first.child.kill("SIGTERM");
    expect(await first.exited).toBe(0);
    const second = await startProcess();
    expect((await paying).status).toBe("completed");
    expect(stage.services.methods(id).filter((method) => method === "capture")).toHaveLength(1);
    second.child.kill("SIGTERM");
    expect(await second.exited).toBe(0);
  }, 60_000);
});

describe("Temporal", () => {
  it("may come up later, and be killed while a checkout is held: the worker stays, the checkout completes", async () => {
    const dataDir = await mkdtemp(`${tmpdir()}/onsale-worker-`);
    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    const worker = await startProcess({ TEMPORAL_ADDRESS: address });
    await until(() => worker.output().includes("not connected to Temporal"));
    expect(await worker.ready()).toBe(false);

    const server = await startTemporal({ port, dataDir, env: process.env, keepsData: true });
    try {
      await until(() => worker.ready(), 60_000);
      const connection = await Connection.connect({ address });
      const input = stage.newCheckout();
      const handle: Handle = await new Client({ connection }).workflow.start("checkout", {
        workflowId: checkoutWorkflowId(input.checkoutId),
        taskQueue: stage.taskQueue,
        args: [input],
      });
      await until(async () => (await look(handle)).status === "held");

      await server.kill9();
      await until(async () => !(await worker.ready()));
      expect(worker.alive()).toBe(true);
      await server.restart();
      await until(() => worker.ready(), 60_000);

      const paid = async () => {
        try {
          return (await pay(handle, "one-key")).status === "completed";
        } catch {
          return false; // the client's connection comes back by itself
        }
      };
      await until(paid, 60_000);
      expect(stage.services.facts(input.checkoutId)).toMatchObject({ authorizations: 1, captures: 1 });
      await connection.close();
      worker.child.kill("SIGTERM");
      expect(await worker.exited).toBe(0);
    } finally {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    }
  }, 180_000);
});

describe("versioning", () => {
  it("a checkout costs no more for it, and stays with its build", async () => {
    const shop = openInstallation(stage);
    const old = await shop.startPod("one");
    await shop.untilCurrent("one");
    const held = await begin();
    await until(async () => (await look(held.handle)).status === "held");
    await shop.startPod("two");
    old.tellToGo();
    await shop.untilCurrent("two");

    const fresh = await begin();
    expect((await pay(fresh.handle)).status).toBe("completed");
    expect((await pay(held.handle)).status).toBe("completed");
    expect(await buildsOf(held.handle)).toEqual(["one"]);
    expect(await buildsOf(fresh.handle)).toEqual(["two"]);
    expect((await kinds(fresh.handle)).length).toBeLessThanOrEqual(28);
  }, 90_000);

  it("when the only worker of the current build is killed, another build goes on with all that it had", async () => {
    const shop = openInstallation(stage);
    const doomed = await startProcess({ ...shop.settings, BUILD_ID: "one", POD_NAME: "doomed" });
    await shop.untilCurrent("one");
    const held = await begin();
    await until(async () => (await look(held.handle)).status === "held");
    await shop.startPod("two");
    doomed.child.kill("SIGKILL");
    await doomed.exited;
    const begun = await begin();
    // Temporal lists it for some minutes more; that it polls no more is seen after a poll's length.
    await until(async () => (await shop.current()) === "two", 120_000);
    expect((await pay(begun.handle)).status).toBe("completed");
    expect((await pay(held.handle)).status).toBe("completed");
    expect(await buildsOf(held.handle)).toEqual(["one", "two"]);
  }, 240_000);

  it("registers search attributes by any number of workers at once", async () => {
    const { operatorService } = stage.connection;
    await Promise.all(Array.from({ length: 5 }, () => registerSearchAttributes(operatorService, "default")));
    const { customAttributes } = await operatorService.listSearchAttributes({ namespace: "default" });
    for (const name of Object.values(searchAttributes)) expect(customAttributes).toHaveProperty(name);
  });

  it("names a build by its workflows' code", async () => {
    const code = await currentCode();
    expect(hashOf(code)).toMatch(/^[0-9a-f]{16}$/);
    expect(hashOf(`${code} `)).not.toBe(hashOf(code));
  });
});
