// What has changed between two moments of an event's seats, written as runs of seats in layout order. Pure.
import { mapBytes, type SeatState, setState, stateAt } from "../hall/seat-map.js";

/** Two bits a seat in layout order, seats of sections with rows only. */
export type States = Uint8Array;

/**
 * In threes: seats to skip since the end of the run before, seats that have changed, and the state that they have now.
 * Both maps must have `seatCount` seats.
 */
export function runsBetween(before: States, after: States, seatCount: number): number[] {
  const runs: number[] = [];
  let end = 0; // of the run before
  let start = 0;
  let length = 0;
  let state: SeatState = 0;
  const close = () => {
    if (length > 0) {
      runs.push(start - end, length, state);
      end = start + length;
    }
    length = 0;
  };
  const bytes = mapBytes(seatCount);
  for (let at = 0; at < bytes; at++) {
    if (before[at] === after[at]) continue;
    const last = Math.min(at * 4 + 4, seatCount);
    for (let seat = at * 4; seat < last; seat++) {
      const now = stateAt(after, seat);
      if (now === stateAt(before, seat)) continue;
      if (length > 0 && start + length === seat && state === now) length += 1;
      else {
        close();
        start = seat;
        length = 1;
        state = now;
      }
    }
  }
  close();
  return runs;
}

/** A copy with the runs in it. Throws RangeError when a run lies outside. */
export function withRuns(states: States, runs: readonly number[], seatCount: number): States {
  const changed = Uint8Array.from(states);
  let seat = 0;
  for (let at = 0; at + 2 < runs.length; at += 3) {
    seat += runs[at] as number;
    const end = seat + (runs[at + 1] as number);
    if (end > seatCount) throw new RangeError(`a change names seat ${end - 1}, and there are ${seatCount}`);
    for (; seat < end; seat++) setState(changed, seat, runs[at + 2] as SeatState);
  }
  return changed;
}

/** Are so many runs longer, as a reader gets them, than the whole map? A run is some 8 characters, base64 four for three bytes. */
export const outgrowsMap = (runs: readonly number[], seatCount: number): boolean =>
  (runs.length / 3) * 8 > 200 + (mapBytes(seatCount) * 4) / 3;
