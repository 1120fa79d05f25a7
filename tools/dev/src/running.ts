// The note in .data that tells which process runs the stack of this folder, and where it answers.
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Running {
  readonly pid: number;
  /** Tells the process from a later one that got the same pid. */
  readonly startedTicks: string | undefined;
  /** From here on: once it is ready. */
  readonly gatewayUrl?: string;
  readonly temporalUiUrl?: string | undefined;
  readonly temporalNamespace?: string;
  readonly stripeUrl?: string | undefined;
}

const fileIn = (dataDir: string) => join(dataDir, "running.json");

/** The live owner of the folder, if there is one. */
export function readRunning(dataDir: string): Running | undefined {
  try {
    const running = JSON.parse(readFileSync(fileIn(dataDir), "utf8")) as Running;
    return isAlive(running) ? running : undefined;
  } catch {
    return undefined;
  }
}

/** Makes this process the owner. False when another one is. */
export function claimFolder(dataDir: string): boolean {
  const draft = `${fileIn(dataDir)}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(ourselves()));
  try {
    for (let attempt = 0; attempt < 5; attempt++) {
      try {
        linkSync(draft, fileIn(dataDir)); // fails when it is there, so of two at once only one succeeds
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
        if (readRunning(dataDir)) return false;
        rmSync(fileIn(dataDir), { force: true });
      }
    }
    return false;
  } finally {
    rmSync(draft, { force: true });
  }
}

export function noteReady(dataDir: string, where: Omit<Running, "pid" | "startedTicks">): void {
  const draft = `${fileIn(dataDir)}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify({ ...ourselves(), ...where }, undefined, 2)}\n`);
  renameSync(draft, fileIn(dataDir));
}

export function leaveFolder(dataDir: string): void {
  if (readRunning(dataDir)?.pid === process.pid) rmSync(fileIn(dataDir), { force: true });
}

function ourselves(): Running {
  return { pid: process.pid, startedTicks: startedTicks(process.pid) };
}

function isAlive({ pid, startedTicks: noted }: Running): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return noted === undefined || startedTicks(pid) === noted;
}

/** When the kernel started it, in its clock ticks (field 22 of proc(5) stat); undefined where there is no /proc. */
function startedTicks(pid: number): string | undefined {
  return procStat(pid)?.[19];
}

export function parentOf(pid: number): number | undefined {
  const parent = procStat(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

/** The fields after the command's name, which is in parentheses and may hold anything. */
function procStat(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}
