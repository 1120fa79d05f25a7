// Readers of the live seats, in a load generator's process: many open event streams, and when each version reached each of them.
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { writeRequest } from "./http-client.js";

export interface ReadersJob {
  readonly kind: "readers";
  readonly port: number;
  readonly eventId: string;
  readonly readers: number;
  /** From when all have their snapshot. */
  readonly seconds: number;
}

/** One version of the seats, as it came to the readers. */
export interface ReadVersion {
  /** "start:length:state" by comma, seats counted in layout order; undefined: the whole map came in place of changes. */
  readonly changes: string | undefined;
  /** Epoch milliseconds, one for each reader. */
  readonly arrivals: Float64Array;
}

export interface ReadersTally {
  readonly readers: number;
  /** Whose connection was closed meanwhile. */
  readonly dropped: number;
  readonly versions: readonly ReadVersion[];
  readonly bytes: number;
}

const now = () => performance.timeOrigin + performance.now();
const connectingAtOnce = 100;
const idMark = Buffer.from("\nid: ");

/** Tells "ready" when every reader has its snapshot. */
export async function readStream(job: ReadersJob, tell: (news: unknown) => void): Promise<ReadersTally> {
  const { port, eventId, readers, seconds } = job;
  const request = writeRequest({ method: "GET", path: `/v1/events/${eventId}/seats/stream`, host: "127.0.0.1" });
  const sockets: Socket[] = [];
  const arrivals = new Map<string, number[]>();
  const changes = new Map<string, string | undefined>();
  let [dropped, bytes, listening] = [0, 0, false];

  function arrived(chunk: Buffer): void {
    const at = now();
    bytes += chunk.length;
    for (let from = chunk.indexOf(idMark); from >= 0; from = chunk.indexOf(idMark, from + 1)) {
      const end = chunk.indexOf(10, from + idMark.length);
      const id = chunk.toString("latin1", from + idMark.length, end < 0 ? chunk.length : end);
      const times = arrivals.get(id);
      if (times) times.push(at);
      else arrivals.set(id, [at]);
    }
  }

  async function open(first: boolean): Promise<void> {
    const socket = connect({ port, host: "127.0.0.1" });
    sockets.push(socket);
    await new Promise<void>((resolve, reject) => {
      let text = "";
      let here = false;
      socket.once("error", reject);
      socket.once("close", () => {
        dropped += 1;
        if (!here) reject(new Error(`a reader was refused: ${text.slice(0, 500)}`));
      });
      socket.on("data", (chunk) => {
        if (listening) arrived(chunk);
        // The first one reads all of it; the others only note when what came. Their snapshot they await.
        if (here && !first) return;
        text += chunk.toString("latin1");
        if (!here && /\nevent: (snapshot|wait)\n/.test(text) && text.includes("\n\n", text.indexOf("\ndata: "))) {
          here = true;
          resolve();
        }
        if (!first) return;
        const whole = text.lastIndexOf("\n\n");
        for (const event of text.slice(0, Math.max(0, whole)).split("\n\n")) {
          const id = /^id: (.+)$/m.exec(event)?.[1];
          const data = /^data: (.+)$/m.exec(event)?.[1];
          if (id === undefined || data === undefined || !listening) continue;
          changes.set(
            id,
            /^event: changes$/m.test(event) ? (JSON.parse(data) as { changes: string }).changes : undefined,
          );
        }
        if (whole >= 0) text = text.slice(whole + 2);
      });
      socket.write(request);
    });
  }

  try {
    for (let at = 0; at < readers; at += connectingAtOnce)
      await Promise.all(
        Array.from({ length: Math.min(connectingAtOnce, readers - at) }, (_, next) => open(at + next === 0)),
      );
    await sleep(1_000);
    listening = true;
    tell("ready");
    await sleep(seconds * 1_000);
    listening = false;
    const versions = [...changes].map(([id, what]) => ({
      changes: what,
      arrivals: Float64Array.from(arrivals.get(id) ?? []),
    }));
    return { readers, dropped, versions, bytes };
  } finally {
    for (const socket of sockets) socket.removeAllListeners("close").destroy();
  }
}
