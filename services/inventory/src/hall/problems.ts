// What may be wrong with a value that somebody wants to store, and where it stands. Pure.

export interface Problem {
  /** "sections[2].rows[0].gaps" */
  readonly at: string;
  /** "has seat 40, but the row ends at 30" */
  readonly problem: string;
}

const earliestMs = Date.UTC(2000, 0, 1);
const latestMs = Date.UTC(2200, 0, 1);

export const isWithin = (value: number, least: number, most: number): boolean =>
  Number.isSafeInteger(value) && value >= least && value <= most;

export function lineProblem(text: string, most: number): string | undefined {
  if (text.trim() === "") return "must not be empty";
  if (/[\p{Cc}\p{Cs}]/u.test(text)) return "must not have control characters";
  return text.length > most ? `may have at most ${most} characters` : undefined;
}

export function textProblem(text: string, most: number): string | undefined {
  if (/[\p{Cc}\p{Cs}]/u.test(text.replace(/[\n\r\t]/g, " "))) return "must not have control characters but line breaks";
  return text.length > most ? `may have at most ${most} characters` : undefined;
}

export const timeProblem = (ms: number): string | undefined =>
  isWithin(ms, earliestMs, latestMs) ? undefined : "must be a time between 2000 and 2200, in milliseconds since 1970";
