// The life of a process: started parts are stopped in reverse order on SIGTERM or SIGINT, once, within a bound.
import { createServer, type Server } from "node:http";
import type { Logger } from "./log.js";
import type { Metrics } from "./metrics.js";

export interface Lifecycle {
  /** Registers how to stop a part; the last one registered is stopped first. */
  onStop(part: string, stop: () => Promise<unknown> | unknown): void;
  /** False once stopping has begun: readiness follows it. */
  running(): boolean;
  /** The exit code is 1 when a part does not stop cleanly; else the one given, 0 by default. */
  stop(reason: string, exitCode?: number): Promise<void>;
}

export interface LifecycleOptions {
  readonly log: Logger;
  /** A part that takes longer is left behind, with a warning. */
  readonly partTimeoutSeconds: number;
  /** Called at the end; process.exit in a service. */
  readonly exit?: (code: number) => void;
}

export function createLifecycle({ log, partTimeoutSeconds, exit }: LifecycleOptions): Lifecycle {
  const parts: { part: string; stop: () => Promise<unknown> | unknown }[] = [];
  let stopping: Promise<void> | undefined;

  async function stopParts(reason: string, exitCode: number): Promise<void> {
    log.info({ reason }, "stopping");
    let failed = false;
    for (const { part, stop } of parts.reverse()) {
      try {
        await within(partTimeoutSeconds, stop());
      } catch (err) {
        failed = true;
        log.error({ err, part }, "a part did not stop cleanly");
      }
    }
    log.info("stopped");
    exit?.(failed ? 1 : exitCode);
  }

  return {
    onStop: (part, stop) => void parts.push({ part, stop }),
    running: () => stopping === undefined,
    stop: (reason, exitCode = 0) => (stopping ??= stopParts(reason, exitCode)),
  };
}

async function within(timeoutSeconds: number, work: Promise<unknown> | unknown): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took longer than ${timeoutSeconds} s`)), timeoutSeconds * 1000);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The lifecycle of a service process: its signals, and a bug that nobody caught ends it, so that its supervisor starts it afresh. */
export function processLifecycle(log: Logger, graceSeconds: number): Lifecycle {
  const lifecycle = createLifecycle({ log, partTimeoutSeconds: graceSeconds, exit: (code) => process.exit(code) });
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void lifecycle.stop(signal));
  process.on("uncaughtException", (err) => {
    log.fatal({ err }, "a bug: nothing caught this");
    process.exit(1);
  });
  return lifecycle;
}

export interface OpsServerOptions {
  readonly listen: string;
  readonly metrics: Metrics;
  /** Throws or answers false when the process can't serve; asked on each /readyz. */
  readonly ready: () => Promise<boolean> | boolean;
}

/** Plain HTTP for operators and probes: /healthz (the process lives), /readyz (it can serve), /metrics. */
export async function startOpsServer({
  listen,
  metrics,
  ready,
}: OpsServerOptions): Promise<{ port: number; stop(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const answer = (status: number, body: string, type = "text/plain; charset=utf-8") =>
      response.writeHead(status, { "content-type": type }).end(body);
    try {
      if (request.url === "/healthz") return answer(200, "ok\n");
      if (request.url === "/readyz") return (await ready()) ? answer(200, "ready\n") : answer(503, "not ready\n");
      if (request.url === "/metrics")
        return answer(200, await metrics.registry.metrics(), metrics.registry.contentType);
      return answer(404, "there are /healthz, /readyz and /metrics here\n");
    } catch {
      return answer(503, "not ready\n");
    }
  });
  const [host, port] = splitAddress(listen);
  await listenOn(server, host, port);
  return {
    port: (server.address() as { port: number }).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export function splitAddress(address: string): [host: string, port: number] {
  const at = address.lastIndexOf(":");
  return [address.slice(0, at), Number(address.slice(at + 1))];
}

export async function listenOn(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
