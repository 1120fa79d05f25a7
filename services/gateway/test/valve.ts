// A line between a gateway and Valkey that a test can cut, and make swallow everything.
import { connect as connectTcp, createServer, type Socket } from "node:net";

export type ValveMode = "open" | "cut" | "stalled";

export async function startValve(redisUrl: string) {
  const target = new URL(redisUrl);
  const sockets = new Set<Socket>();
  let mode: ValveMode = "open";
  const server = createServer((near) => {
    near.on("error", () => undefined);
    sockets.add(near);
    near.on("close", () => sockets.delete(near));
    if (mode === "cut") return void near.destroy();
    const far = connectTcp(Number(target.port), target.hostname);
    far.on("error", () => near.destroy());
    near.on("data", (data) => mode === "open" && far.write(data));
    far.on("data", (data) => mode === "open" && near.write(data));
    near.on("close", () => far.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `redis://127.0.0.1:${(server.address() as { port: number }).port}${target.pathname}`,
    set(next: ValveMode) {
      mode = next;
      if (next !== "stalled") for (const socket of sockets) socket.destroy();
    },
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
