// Seats named briefly: neighbours of a row as one run, "A-C-1" to "A-C-12" as section A, row C, 1–12. Pure.

export interface SeatRun {
  readonly section: string;
  readonly row: string;
  readonly from: number;
  readonly to: number;
  readonly seats: readonly string[];
}

/** By section and row in the order in which they first come, numbers rising. Ids that are not section-row-number stand alone. */
export function seatRuns(seatIds: Iterable<string>): readonly SeatRun[] {
  const rows = new Map<string, { section: string; row: string; seats: { number: number; id: string }[] }>();
  for (const id of seatIds) {
    const [section = id, row = "", number = ""] = id.split("-");
    const key = `${section}-${row}`;
    const known = rows.get(key) ?? { section, row, seats: [] };
    known.seats.push({ number: Number(number) || 0, id });
    rows.set(key, known);
  }
  return [...rows.values()].flatMap(({ section, row, seats }) => {
    seats.sort((a, b) => a.number - b.number);
    const runs: { section: string; row: string; from: number; to: number; seats: string[] }[] = [];
    for (const { number, id } of seats) {
      const last = runs.at(-1);
      if (last && number === last.to + 1) {
        last.to = number;
        last.seats.push(id);
      } else runs.push({ section, row, from: number, to: number, seats: [id] });
    }
    return runs;
  });
}
