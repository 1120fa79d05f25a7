// A load generator, seen from the parent: a process of its own, so that its CPU time is not that of what it measures.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { boundToUs } from "@onsale/backing/child-process";
import type { Watched } from "./cpu-time.js";
import type { Tally } from "./drive.js";
import type { GrpcHolds, RawHolds, RestHolds } from "./hold-load.js";
import type { Job } from "./load.js";
import type { ReadersJob, ReadersTally } from "./reader-load.js";
import type { SaleJob, SaleTally } from "./sale-load.js";

export interface Generator extends Watched {
  run(job: RawHolds | GrpcHolds | RestHolds): Promise<Tally>;
  run(job: ReadersJob, onNews: (news: unknown) => void): Promise<ReadersTally>;
  run(job: SaleJob): Promise<SaleTally>;
  stop(): Promise<void>;
}

const program = fileURLToPath(new URL("./load.js", import.meta.url));

export function startGenerator(name = "load generator"): Generator {
  const [command, args] = boundToUs(process.execPath, [program]);
  const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit", "ipc"], serialization: "advanced" });
  const waiting = new Map<
    number,
    {
      resolve: (answer: unknown) => void;
      reject: (error: Error) => void;
      onNews?: ((news: unknown) => void) | undefined;
    }
  >();
  let next = 1;
  child.on("message", (message: { id: number; answer?: unknown; news?: unknown; error?: string }) => {
    const one = waiting.get(message.id);
    if ("news" in message) return one?.onNews?.(message.news);
    waiting.delete(message.id);
    if (message.error !== undefined) one?.reject(new Error(`the load generator failed: ${message.error}`));
    else one?.resolve(message.answer);
  });
  const gone = new Promise<void>((resolve) => {
    child.once("exit", (code, signal) => {
      for (const one of waiting.values()) one.reject(new Error(`the load generator ended (${signal ?? code})`));
      waiting.clear();
      resolve();
    });
    child.once("error", () => resolve());
  });
  const run = (job: Job, onNews?: (news: unknown) => void) =>
    new Promise<unknown>((resolve, reject) => {
      const id = next++;
      waiting.set(id, { resolve, reject, onNews });
      child.send({ id, job });
    });
  return {
    name,
    pids: () => (child.pid === undefined ? [] : [child.pid]),
    run: run as Generator["run"],
    async stop() {
      if (child.connected) child.disconnect();
      child.kill("SIGTERM");
      await gone;
    },
  };
}
