// A plain pipelining client of Valkey: it writes commands that are given whole, and tells each answer's first word.
import { connect } from "node:net";

export interface RespConnection {
  /** Sends a command; its answer's first word. */
  ask(command: Buffer): Promise<string>;
  /** Sends the commands, at most `ahead` unanswered at a time; calls back with each answer's first word, in order. */
  run(commands: readonly Buffer[], ahead: number, answered: (at: number, word: string) => void): Promise<void>;
  close(): void;
}

export function writeCommand(args: readonly string[]): Buffer {
  return Buffer.from(`*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join("")}`);
}

export async function openResp(port: number): Promise<RespConnection> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  const waiting: { resolve: (word: string) => void; reject: (error: Error) => void }[] = [];
  const fail = (error: Error) => {
    for (const one of waiting.splice(0)) one.reject(error);
  };
  let left: Buffer = Buffer.alloc(0);
  let afterChunk = () => {};
  socket.on("data", (chunk) => {
    let bytes = left.length === 0 ? chunk : Buffer.concat([left, chunk]);
    for (let answer = readAnswer(bytes); answer; answer = readAnswer(bytes)) {
      waiting.shift()?.resolve(answer.word);
      bytes = bytes.subarray(answer.length);
    }
    left = bytes;
    afterChunk();
  });
  socket.on("error", fail);
  socket.on("close", () => fail(new Error("Valkey closed the connection")));
  return {
    ask: (command) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        socket.write(command);
      }),
    run: (commands, ahead, answered) =>
      new Promise((resolve, reject) => {
        let [sent, done] = [0, 0];
        const take = (word: string) => {
          answered(done++, word);
          if (done < commands.length) return;
          afterChunk = () => {};
          resolve();
        };
        const send = () => {
          const until = Math.min(commands.length, done + ahead);
          for (let at = sent; at < until; at++) waiting.push({ resolve: take, reject });
          if (until > sent) socket.write(Buffer.concat(commands.slice(sent, until)));
          sent = until;
        };
        // Half a window at a time: a client that writes each command by itself measures system calls.
        afterChunk = () => {
          if (done + ahead - sent >= ahead / 2) send();
        };
        send();
      }),
    close: () => socket.destroy(),
  };
}

/** The first complete answer (RESP 2): its length in bytes, and its first word; undefined: not all of it is here. */
export function readAnswer(bytes: Buffer, from = 0): { length: number; word: string } | undefined {
  const lineEnd = bytes.indexOf("\r\n", from);
  if (lineEnd < 0) return undefined;
  const line = bytes.toString("latin1", from + 1, lineEnd);
  const after = lineEnd + 2;
  switch (bytes[from]) {
    case 0x24: {
      const size = Number(line);
      if (size < 0) return { length: after - from, word: "" };
      if (bytes.length < after + size + 2) return undefined;
      return { length: after + size + 2 - from, word: bytes.toString("latin1", after, after + size) };
    }
    case 0x2a: {
      let at = after;
      let first: string | undefined;
      for (let left = Number(line); left > 0; left--) {
        const item = readAnswer(bytes, at);
        if (!item) return undefined;
        first ??= item.word;
        at += item.length;
      }
      return { length: at - from, word: first ?? "" };
    }
    case 0x2d:
      return { length: after - from, word: `error: ${line}` };
    default:
      return { length: after - from, word: line };
  }
}
