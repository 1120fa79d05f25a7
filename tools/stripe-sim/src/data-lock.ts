// One process per data directory: two writers would ruin the journal. Released by the system even after kill -9.
import { mkdir, realpath, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { derivedHex64 } from "@onsale/kit/ids";

/** Throws when another process has the directory. Answers how to release it. */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  await mkdir(directory, { recursive: true });
  // A socket and not a file with a process id in it: a dead holder can't be mistaken for another living process.
  const socketPath = join(tmpdir(), `stripe-sim-${derivedHex64("data", await realpath(directory))}.sock`);
  if (await answers(socketPath))
    throw new Error(`Another stripe-sim is using ${directory}. Stop it, or set SIM_DATA_DIR to another directory.`);
  await rm(socketPath, { force: true });
  const holder = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    holder.once("error", reject);
    holder.listen(socketPath, resolve);
  });
  holder.unref();
  return () => new Promise((resolve) => holder.close(() => resolve()));
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
