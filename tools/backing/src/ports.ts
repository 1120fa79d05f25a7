// Free ports on the loopback address, below the range from which the kernel takes ports for outgoing connections.
import { randomInt } from "node:crypto";
import { createServer } from "node:net";

const lowest = 20_000;
const highest = 32_000;

/** Free at the moment of asking. Random, so that several test runs on one machine do not pick the same. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const port = randomInt(lowest, highest);
    if (await isFree(port)) return port;
  }
  throw new Error(`No free port on 127.0.0.1 between ${lowest} and ${highest} in 50 tries.`);
}

/** The wished port, or the next free one above it. */
export async function portFrom(wished: number, tries = 100): Promise<number> {
  for (let port = wished; port < wished + tries; port++) if (await isFree(port)) return port;
  throw new Error(`No free port on 127.0.0.1 from ${wished} to ${wished + tries - 1}.`);
}

export async function isFree(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
}
