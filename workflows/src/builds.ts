// Builds of the worker beside each other: which takes the new workflows, whose pods may go, whose workflows are stranded. Pure.

export interface RosterWorker {
  /** Unique among all workers of the deployment; a pod's name. */
  readonly name: string;
  readonly buildId: string;
  /** leaving: told to go, works on for what its build began. left: takes no more work. */
  readonly state: "staying" | "leaving" | "left";
  /** When it said that it leaves. */
  readonly toldAtMs?: number | undefined;
}

/** Who works for a deployment, as Temporal has seen it lately. */
export interface Roster {
  /** The build that takes new workflows. Undefined: nobody does. */
  readonly current: string | undefined;
  /** A person, and no worker, made it the current one at this time. */
  readonly chosenAtMs?: number | undefined;
  readonly workers: readonly RosterWorker[];
}

const staying = ({ workers }: Roster, buildId: string): readonly RosterWorker[] =>
  workers.filter((worker) => worker.buildId === buildId && worker.state === "staying");

/** Those that take work, also if they are about to leave. */
export const polling = ({ workers }: Roster, buildId: string | undefined): readonly RosterWorker[] =>
  workers.filter((worker) => worker.buildId === buildId && worker.state !== "left");

/**
 * Shall this build take the new workflows from now on? By the workers that stay, so that it makes no difference what brought them:
 * an upgrade, a rollback, half of one. A build must have more of them than the current one: two builds side by side don't take it
 * from each other in turns, and one that hardly comes up never gets it. What a person chose stands while anybody works for it who
 * was not told to go since.
 */
export function takesOver(roster: Roster, buildId: string): boolean {
  const { current, chosenAtMs } = roster;
  const ours = staying(roster, buildId).length;
  if (buildId === current || ours === 0) return false;
  if (current === undefined) return true;
  if (chosenAtMs !== undefined)
    return !polling(roster, current).some(({ toldAtMs }) => toldAtMs === undefined || toldAtMs < chosenAtMs);
  const others = new Set(roster.workers.map((worker) => worker.buildId));
  others.delete(buildId);
  others.delete(current);
  return ours > staying(roster, current).length && [...others].every((other) => ours >= staying(roster, other).length);
}

/**
 * What a worker that was told to go still does. spared: nothing, others of the current build stay. awaiting: it is the current build's
 * last one, and another build is about to take over. busy: workflows of its build are open. done: none is.
 */
export function duty(roster: Roster, buildId: string, openWorkflows: number): "spared" | "awaiting" | "busy" | "done" {
  if (roster.current === buildId) {
    if (staying(roster, buildId).length > 0) return "spared";
    if (roster.workers.some(({ state }) => state === "staying")) return "awaiting";
  }
  return openWorkflows > 0 ? "busy" : "done";
}

/** Builds whose workflows nobody takes on, of those that are known. */
export const forsaken = (roster: Roster, builds: readonly string[]): readonly string[] =>
  builds.filter((buildId) => buildId !== roster.current && polling(roster, buildId).length === 0);

/** One worker of the current build looks after what others left behind, so that it is done and counted once. */
export function isCaretaker(roster: Roster, name: string): boolean {
  const names = staying(roster, roster.current ?? "").map((worker) => worker.name);
  return names.sort()[0] === name;
}
