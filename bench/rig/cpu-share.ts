// Holds processes to a share of one core each, as a container's CPU limit does, by the kernel's own cgroups (v1 or v2).
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = "/sys/fs/cgroup";
const periodMicros = 20_000;

export interface CpuShare {
  /** Lets the processes have as much as they like again. */
  lift(): void;
}

/**
 * Each of the processes gets `share` of one core, from 0 to 1. Undefined where this process may not make cgroups: that takes root,
 * and a cgroup tree with the cpu controller in it.
 */
export function limitCpu(pids: readonly number[], share: number): CpuShare | undefined {
  const v1 = join(root, "cpu");
  const isV1 = existsSync(join(v1, "cpu.cfs_quota_us"));
  const top = isV1 ? v1 : root;
  const members = isV1 ? "tasks" : "cgroup.procs";
  const before = new Map<number, string>();
  const made: string[] = [];
  const lift = () => {
    for (const [pid, home] of before) quietly(() => writeFileSync(join(home, "cgroup.procs"), String(pid)));
    for (const folder of made) quietly(() => rmdirSync(folder));
  };
  try {
    for (const pid of pids) {
      const folder = join(top, `onsale-bench-${pid}`);
      mkdirSync(folder);
      made.push(folder);
      const quota = Math.round(periodMicros * share);
      if (isV1) {
        writeFileSync(join(folder, "cpu.cfs_period_us"), String(periodMicros));
        writeFileSync(join(folder, "cpu.cfs_quota_us"), String(quota));
      } else writeFileSync(join(folder, "cpu.max"), `${quota} ${periodMicros}`);
      before.set(pid, join(top, homeOf(pid, isV1)));
      writeFileSync(join(folder, "cgroup.procs"), String(pid));
      if (!readFileSync(join(folder, members), "utf8").split("\n").includes(String(pid)))
        throw new Error(`process ${pid} did not move`);
    }
  } catch {
    lift();
    return undefined;
  }
  return { lift };
}

/** The cgroup that a process is in now, below the top. */
function homeOf(pid: number, isV1: boolean): string {
  for (const line of readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n")) {
    const [, controllers = "", path = "/"] = line.split(":");
    if (isV1 ? controllers.split(",").includes("cpu") : controllers === "") return path;
  }
  return "/";
}

function quietly(work: () => void): void {
  try {
    work();
  } catch {
    // a process that has ended, or a cgroup that is gone: there is nothing to lift
  }
}
