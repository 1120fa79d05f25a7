// A question: what it is asked of, how long it may take, and what it answers.
import type { Tally } from "./drive.js";
import type { Findings } from "./findings.js";
import type { Ground, Stage, StageOptions } from "./stage.js";

export type Size = "full" | "quick" | "smoke";

export interface Scope {
  readonly ground: Ground;
  /** The value for this run: full is what the README shows, quick is for looking, smoke only shows that it works. */
  pick<Value>(full: Value, quick: Value, smoke: Value): Value;
  /** The services that it is asked of; to be stopped by whoever asked for them. Smoke has fewer of them, shared by the questions. */
  openStage(options?: StageOptions): Promise<Stage>;
  /** Since the question was put. Rounds end early rather than make the run too long. */
  seconds(): number;
  /** Tells whoever waits what is being done. */
  say(line: string): void;
}

export interface Question {
  readonly title: string;
  ask(scope: Scope): Promise<Findings>;
}

/** A benchmark of failures is none: throws unless the answers were exactly those that the traffic must get. */
export function expectOutcomes({ outcomes, count }: Tally, what: string, share: { won?: number; lost?: number }): void {
  const { won = 0, lost = 0, ...others } = outcomes;
  const odd = Object.keys(others).length > 0;
  if (!odd && (share.won === undefined || won === share.won) && (share.lost === undefined || lost === share.lost))
    return;
  throw new Error(
    `${what}: of ${count} requests ${share.won ?? "any"} should have won and ${share.lost ?? "any"} lost, but the answers were ${JSON.stringify(outcomes)}`,
  );
}
