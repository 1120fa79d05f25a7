// What time it is at the server, learnt from the Date headers of its answers.

/** Between these lies the server's clock minus ours, in milliseconds. */
export interface Offset {
  readonly atLeast: number;
  readonly atMost: number;
}

/**
 * What one answer tells, together with what earlier ones told. A Date header has whole seconds: the server's clock stood
 * somewhere in that second at some moment between `sentAt` and `gotAt` (milliseconds, our clock). Each answer can only
 * narrow the bounds; one that contradicts them means that a clock was set, and counts alone.
 */
export function narrowed(known: Offset | undefined, date: number, sentAt: number, gotAt: number): Offset {
  const told = { atLeast: date - gotAt, atMost: date + 1000 - sentAt };
  const both = {
    atLeast: Math.max(known?.atLeast ?? told.atLeast, told.atLeast),
    atMost: Math.min(known?.atMost ?? told.atMost, told.atMost),
  };
  return both.atLeast <= both.atMost ? both : told;
}

let offset: Offset | undefined;

/** The latest that it can be at the server: a countdown by it never shows more time than there is. */
export const serverNow = (): number => Date.now() + (offset?.atMost ?? 0);

export function noteClock(response: Response, sentAt: number): void {
  const date = Date.parse(response.headers.get("date") ?? "");
  // An answer from a cache, or a clock of ours that went backwards meanwhile, tells nothing.
  if (Number.isNaN(date) || response.headers.has("age") || Date.now() < sentAt) return;
  offset = narrowed(offset, date, sentAt, Date.now());
}
