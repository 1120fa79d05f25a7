// A small HTTP/1.1 client for load: one request at a time on a kept connection, nothing parsed that is not needed.
import { connect, type Socket } from "node:net";

export interface HttpAnswer {
  readonly status: number;
  readonly body: Buffer;
}

export interface HttpConnection {
  /** `request` is a whole request as it goes over the wire. Never two at once. */
  send(request: Buffer): Promise<HttpAnswer>;
  /** False once the server has closed it, as it does with idle ones. */
  open(): boolean;
  close(): void;
}

const headEnd = Buffer.from("\r\n\r\n");

export async function openHttp(port: number): Promise<HttpConnection> {
  const socket: Socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  let waiting: { resolve: (answer: HttpAnswer) => void; reject: (error: Error) => void } | undefined;
  let received: Buffer = Buffer.alloc(0);
  const fail = (error: Error) => {
    waiting?.reject(error);
    waiting = undefined;
  };
  socket.on("error", fail);
  socket.on("close", () => fail(new Error("the server closed the connection")));
  socket.on("data", (chunk) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    const end = received.indexOf(headEnd);
    if (end < 0) return;
    const head = received.toString("latin1", 0, end);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined) return fail(new Error(`an answer without Content-Length: ${head.slice(0, 200)}`));
    const whole = end + headEnd.length + Number(length);
    if (received.length < whole) return;
    const body = received.subarray(end + headEnd.length, whole);
    received = Buffer.alloc(0);
    const done = waiting;
    waiting = undefined;
    done?.resolve({ status: Number(head.slice(9, 12)), body });
  });
  return {
    send: (request) =>
      new Promise((resolve, reject) => {
        if (waiting) return reject(new Error("one request at a time on a connection"));
        if (socket.destroyed) return reject(new Error("the connection is closed"));
        waiting = { resolve, reject };
        socket.write(request);
      }),
    open: () => !socket.destroyed && socket.writable,
    close: () => socket.destroy(),
  };
}

export interface Asked {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly host: string;
  readonly token?: string;
  readonly idempotencyKey?: string;
  readonly body?: unknown;
}

export function writeRequest({ method, path, host, token, idempotencyKey, body }: Asked): Buffer {
  const json = body === undefined ? "" : JSON.stringify(body);
  return Buffer.from(
    `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: onsale-bench\r\nAccept: application/json\r\n` +
      (token === undefined ? "" : `Authorization: Bearer ${token}\r\n`) +
      (idempotencyKey === undefined ? "" : `Idempotency-Key: ${idempotencyKey}\r\n`) +
      (json === "" ? "" : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(json)}\r\n`) +
      `\r\n${json}`,
  );
}
