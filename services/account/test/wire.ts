// A wire to a store that a test can cut, or make silent, without touching the store that other tests use.
import { createServer, type Server, type Socket, connect as toStore } from "node:net";

export interface Wire {
  /** The port that leads to the store. */
  readonly port: number;
  /** As if the store was killed: open connections break, new ones are refused. */
  cut(): Promise<void>;
  /** As if the store was frozen: connections are accepted and stay open, and nothing comes back. */
  silence(): void;
  mend(): Promise<void>;
}

export async function stretchWire(url: string): Promise<Wire> {
  const { hostname, port: storePort } = new URL(url);
  const sockets = new Set<Socket>();
  let silent = false;
  let server: Server | undefined;

  function accept(socket: Socket): void {
    const store = toStore(Number(storePort), hostname);
    for (const end of [socket, store]) {
      sockets.add(end);
      end.on("error", () => undefined);
      end.on("close", () => {
        sockets.delete(end);
        socket.destroy();
        store.destroy();
      });
    }
    socket.on("data", (chunk) => silent || store.write(chunk));
    store.on("data", (chunk) => silent || socket.write(chunk));
  }
  async function listen(port: number): Promise<number> {
    const listening = createServer(accept);
    await new Promise<void>((resolve, reject) => {
      listening.once("error", reject);
      listening.listen(port, "127.0.0.1", resolve);
    });
    server = listening;
    return (listening.address() as { port: number }).port;
  }
  const breakConnections = () => {
    for (const socket of sockets) socket.destroy();
  };

  const port = await listen(0);
  return {
    port,
    async cut() {
      const listening = server;
      server = undefined;
      if (!listening) return;
      const closed = new Promise((resolve) => listening.close(resolve));
      breakConnections();
      await closed;
    },
    silence() {
      silent = true;
    },
    async mend() {
      if (silent) {
        silent = false;
        breakConnections(); // what was swallowed can't be resumed
      }
      if (!server) await listen(port);
    },
  };
}
