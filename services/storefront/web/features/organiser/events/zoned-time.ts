// Times as clocks on a wall show them at a place, and the moments that they mean. Pure.

const clocks = new Map<string, Intl.DateTimeFormat>();

function clockOf(timeZone: string): Intl.DateTimeFormat {
  let clock = clocks.get(timeZone);
  if (!clock) {
    clock = new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
    });
    clocks.set(timeZone, clock);
  }
  return clock;
}

/** "2027-05-01T20:00": what the clocks of that zone show, as an input of type datetime-local takes it. */
export function wallTime(ms: number, timeZone: string): string {
  const parts: Partial<Record<Intl.DateTimeFormatPartTypes, string>> = {};
  for (const { type, value } of clockOf(timeZone).formatToParts(new Date(ms))) parts[type] = value;
  const { year = "", month, day, hour, minute } = parts;
  return `${year.padStart(4, "0")}-${month}-${day}T${hour}:${minute}`;
}

const asUtc = (wall: string): number => Date.parse(`${wall}:00Z`);

/**
 * The moment, in milliseconds since 1970. Of two (clocks were put back), the first. Undefined: no time, or one that the clocks
 * of that zone skip.
 */
export function momentOf(wall: string, timeZone: string): number | undefined {
  const text = wall.slice(0, 16);
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$/.test(text)) return undefined;
  const utc = asUtc(text);
  if (Number.isNaN(utc)) return undefined;
  const dayMs = 86_400_000;
  // A zone's offset a day before and a day after: one of the two holds at the time itself.
  const candidates = [utc - dayMs, utc + dayMs].map(
    (near) => utc - (asUtc(wallTime(near, timeZone)) - floorMinute(near)),
  );
  return candidates.sort((a, b) => a - b).find((ms) => wallTime(ms, timeZone) === text);
}

const floorMinute = (ms: number): number => Math.floor(ms / 60_000) * 60_000;

export const isTimeZone = (name: string): boolean => {
  try {
    return clockOf(name) !== undefined;
  } catch {
    return false;
  }
};
