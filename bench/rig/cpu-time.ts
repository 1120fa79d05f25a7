// Processor time by process, and the most memory each has had, as the kernel counts them.
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { boundToUs } from "@onsale/backing/child-process";

const script = fileURLToPath(new URL(import.meta.url.includes("/dist/") ? "../../rig/" : "./", import.meta.url));

/** A part of the system under test: one process, or a server with the processes it forks. */
export interface Watched {
  readonly name: string;
  readonly pids: () => readonly number[];
}

/** Nanoseconds by name; parts of the same name are added up. */
export type CpuTimes = ReadonlyMap<string, number>;

export interface CpuMeter {
  read(parts: readonly Watched[]): Promise<CpuTimes>;
  stop(): void;
}

export function startCpuMeter(): CpuMeter {
  if (process.platform !== "linux")
    throw new Error("The benchmark reads Linux's CPU clocks, so it runs on Linux only.");
  const [command, args] = boundToUs("python3", ["-I", "-S", `${script}cpu-clock.py`]);
  const child: ChildProcess = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines: Interface = createInterface({ input: child.stdout as NonNullable<typeof child.stdout> });
  const waiting: { resolve: (numbers: number[]) => void; reject: (error: Error) => void }[] = [];
  lines.on("line", (line) => waiting.shift()?.resolve(line.split(" ").map(Number)));
  child.once("exit", () => {
    for (const one of waiting.splice(0)) one.reject(new Error("the CPU clock's reader has ended"));
  });
  return {
    async read(parts) {
      const pids = parts.map(({ name, pids }) => ({ name, pids: pids() }));
      const flat = pids.flatMap((part) => part.pids);
      const numbers =
        flat.length === 0
          ? []
          : await new Promise<number[]>((resolve, reject) => {
              waiting.push({ resolve, reject });
              child.stdin?.write(`${flat.join(" ")}\n`);
            });
      const times = new Map<string, number>();
      let at = 0;
      for (const part of pids)
        for (const _ of part.pids) times.set(part.name, (times.get(part.name) ?? 0) + (numbers[at++] ?? 0));
      return times;
    },
    stop: () => void child.kill("SIGTERM"),
  };
}

export function between(before: CpuTimes, after: CpuTimes): Map<string, number> {
  return new Map([...after].map(([name, ns]) => [name, Math.max(0, ns - (before.get(name) ?? 0))]));
}

/** A process and all that it has forked. */
export function familyOf(pid: number): number[] {
  const parents = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), parent: parentOf(Number(name)) }));
  const family = [pid];
  for (const member of family)
    for (const one of parents) if (one.parent === member && !family.includes(one.pid)) family.push(one.pid);
  return family;
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined;
  }
}

/** From here on peakMemoryBytes counts anew. */
export function forgetPeakMemory(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
  } catch {
    // Not ours to reset: the peak then counts from the start of the process, which is more, not less.
  }
}

/** VmHWM of proc(5) status; 0 for a process that is gone. */
export function peakMemoryBytes(pid: number): number {
  try {
    const found = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    return Number(found?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}
