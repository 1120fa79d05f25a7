// The names of an event's keys in Valkey; what is in them stands in scripts.ts.
import type { SectionPlan } from "../hall/layout.js";

export function keysOf(eventId: string, epoch: number) {
  const event = `{${eventId}}:`;
  const generation = `${event}${epoch}:`;
  const names = {
    event,
    generation,
    marker: `${event}epoch`,
    ended: (holdId: string) => `${event}x:${holdId}`,
    lock: (what: string) => `${event}lock:${what}`,
    live: `${event}live`,
    liveSnapshot: `${event}live:s`,
    liveChanges: `${event}live:c`,
    people: `${generation}u`,
    queue: `${generation}q`,
    late: `${generation}d`,
    records: ({ sectionId }: SectionPlan) => `${generation}r:${sectionId}`,
    map: ({ sectionId }: SectionPlan) => `${generation}m:${sectionId}`,
    nextPlace: ({ sectionId }: SectionPlan) => `${generation}n:${sectionId}`,
    codes: `${generation}c`,
    pools: `${generation}a`,
    returned: ({ sectionId }: SectionPlan, pool = 0) => `${generation}g:${sectionId}${pool === 0 ? "" : `:${pool}`}`,
  };
  return {
    ...names,
    /** All keys of the epoch. */
    all: (sections: readonly SectionPlan[]) => [
      names.people,
      names.queue,
      names.late,
      names.codes,
      names.pools,
      ...sections.flatMap((section) => [names.records(section), names.map(section)]),
      ...sections
        .filter(({ generalAdmission }) => generalAdmission)
        .flatMap((section) => [names.nextPlace(section), names.returned(section)]),
    ],
  };
}
