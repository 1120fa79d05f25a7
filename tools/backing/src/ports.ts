// Free ports on the loopback address, below the range from which the kernel takes ports for outgoing connections.
import { randomInt } from "node:crypto";
import { createServer } from "node:net";

const lowest = 20_000;
const highest = 26_000;
/** A port's guard lies this far above it: still below the kernel's own range, and never handed out itself. */
const guardDistance = highest - lowest;

/**
 * A port for a server to be started soon. No other caller on this machine gets it while this process lives: a socket of ours
 * listens on the port's guard until the end of the process, however it ends. Free otherwise only at the moment of asking.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const port = randomInt(lowest, highest);
    if ((await canListen(port + guardDistance, "and keep it")) && (await canListen(port))) return port;
  }
  throw new Error(`No free port on 127.0.0.1 between ${lowest} and ${highest} in 50 tries.`);
}

/** The wished port, or the next free one above it. */
export async function portFrom(wished: number, tries = 100): Promise<number> {
  for (let port = wished; port < wished + tries; port++) if (await isFree(port)) return port;
  throw new Error(`No free port on 127.0.0.1 from ${wished} to ${wished + tries - 1}.`);
}

export async function isFree(port: number): Promise<boolean> {
  return await canListen(port);
}

async function canListen(port: number, keep?: "and keep it"): Promise<boolean> {
  return await new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      if (keep) {
        server.unref();
        resolve(true);
      } else server.close(() => resolve(true));
    });
  });
}
