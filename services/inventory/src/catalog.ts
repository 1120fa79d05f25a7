// The organiser's and the visitor's use cases: create, publish, show and find events.
import { DomainError } from "@onsale/kit/errors";
import type { Section } from "@onsale/proto/inventory/v1/catalog";
import {
  cityKey,
  type EventRecord,
  type EventSearch,
  fingerprint,
  isId,
  isVisible,
  layoutFingerprint,
  type NewEvent,
  type Problem,
  problemsOf,
  readCursor,
  searchWords,
  writeCursor,
} from "./events.js";
import type { Generations } from "./generation.js";
import { eventNotFound, type KnownEvents } from "./known-events.js";
import { planLayout } from "./layout.js";
import type { Store } from "./store.js";

export interface CatalogDependencies {
  readonly store: Store;
  readonly events: KnownEvents;
  readonly generations: Generations;
  readonly now: () => number;
}

export interface EventQuery {
  readonly query: string;
  readonly city: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly cursor: string;
  /** 0: 20. */
  readonly limit: number;
}

export type Catalog = ReturnType<typeof createCatalog>;

/** How long publishing waits for the seats to be there. */
const publishWaitMs = 10_000;
const mostProblemsTold = 50;
const mostPerPage = 100;
const mostWords = 10;

export function createCatalog({ store, events, generations, now }: CatalogDependencies) {
  async function visible(eventId: string, viewerId: string): Promise<EventRecord> {
    const found = isId(eventId) ? (await store.findEvent(eventId))?.event : undefined;
    if (!found || !isVisible(found, viewerId)) throw eventNotFound();
    return found;
  }

  async function sectionsOf({ layoutVersion }: EventRecord): Promise<Section[]> {
    const sections = await store.findSections(layoutVersion);
    if (!sections) throw new Error(`layout ${layoutVersion} is not in the database, though an event has it`);
    return sections;
  }

  return {
    /** Refusals: REQUEST_INVALID and LAYOUT_INVALID (details.problems: what and where, all of it), EVENT_EXISTS. */
    async create(wanted: NewEvent, sections: readonly Section[]): Promise<EventRecord> {
      const { inEvent, inLayout } = problemsOf(wanted, sections);
      if (inEvent.length > 0) throw refused("REQUEST_INVALID", "The event", [...inEvent, ...inLayout]);
      if (inLayout.length > 0) throw refused("LAYOUT_INVALID", "The seat layout", inLayout);

      const made = fingerprint(wanted, sections);
      const before = await store.findEvent(wanted.eventId);
      if (before) return sameAs(before, made);
      if (wanted.startsAtMs <= now())
        throw refused("REQUEST_INVALID", "The event", [{ at: "event.starts_at_ms", problem: "is in the past" }]);

      const counted = withCapacities(sections);
      const event: EventRecord = {
        ...wanted,
        published: false,
        capacity: counted.reduce((sum, { capacity }) => sum + capacity, 0),
        layoutVersion: layoutFingerprint(sections),
        epoch: 0,
      };
      if (await store.addEvent(event, counted, made)) return event;
      // Someone was quicker between the look and the insert: perhaps our own first try.
      const other = await store.findEvent(wanted.eventId);
      if (!other) throw new Error("an event's id was taken, and then there was none");
      return sameAs(other, made);
    },

    /** organiserId empty: an operator, who may publish any. Refusals: EVENT_NOT_FOUND, also for another's draft. */
    async publish(eventId: string, organiserId: string): Promise<EventRecord> {
      const found = isId(eventId) ? (await store.findEvent(eventId))?.event : undefined;
      if (!found || (organiserId !== "" && found.organiserId !== organiserId)) throw eventNotFound();
      if (!found.published) await store.publish(eventId);
      events.forget(eventId);
      const published = { ...found, published: true };
      await generations.ensure(published, publishWaitMs);
      return published;
    },

    /** With its sections, which have no rows here. */
    async show(eventId: string, viewerId: string): Promise<{ event: EventRecord; sections: Section[] }> {
      const event = await visible(eventId, viewerId);
      return { event, sections: (await sectionsOf(event)).map((section) => ({ ...section, rows: [] })) };
    },

    async layout(eventId: string, viewerId: string): Promise<{ event: EventRecord; sections: Section[] }> {
      const event = await visible(eventId, viewerId);
      return { event, sections: await sectionsOf(event) };
    },

    /** Published events by start time. Refusals: REQUEST_INVALID. */
    async search({ query, city, fromMs, toMs, cursor, limit }: EventQuery) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is refused
      if (query.length > 200 || city.length > 100 || /[\u0000-\u001f\u007f]/.test(query + city))
        throw new DomainError("REQUEST_INVALID", "The search words are too long, or have control characters.");
      if (![fromMs, toMs].every((ms) => Number.isSafeInteger(ms) && ms >= 0))
        throw new DomainError("REQUEST_INVALID", "The times must be milliseconds since 1970, or 0.");
      if (!Number.isInteger(limit) || limit < 0 || limit > mostPerPage)
        throw new DomainError("REQUEST_INVALID", `A page may have 1 to ${mostPerPage} events.`);
      const words = searchWords(query);
      if (words.length > mostWords)
        throw new DomainError("REQUEST_INVALID", `A search may have at most ${mostWords} words.`);
      const pageSize = limit === 0 ? 20 : limit;
      const search: EventSearch = {
        words,
        city: cityKey(city),
        fromMs,
        toMs,
        limit: pageSize + 1, // one more tells whether there is a next page
        after: undefined,
      };
      const after = cursor === "" ? undefined : readCursor(search, cursor);
      if (cursor !== "" && !after)
        throw new DomainError("REQUEST_INVALID", "The cursor is not one of this search. Start again without it.");
      // Asked for words or a city that have no letter or digit, nothing matches.
      const nothing = (query.trim() !== "" && words.length === 0) || (city.trim() !== "" && search.city === "");
      const found = nothing ? [] : await store.searchEvents({ ...search, after });
      const page = found.slice(0, pageSize);
      const last = page.at(-1);
      return { events: page, nextCursor: found.length > pageSize && last ? writeCursor(search, last) : "" };
    },
  };
}

function sameAs(stored: { event: EventRecord; fingerprint: string }, made: string): EventRecord {
  if (stored.fingerprint === made) return stored.event;
  const message =
    "There is another event with this id. An event can't be changed by creating it again; choose a new id.";
  throw new DomainError("EVENT_EXISTS", message);
}

function refused(code: "REQUEST_INVALID" | "LAYOUT_INVALID", what: string, problems: readonly Problem[]): DomainError {
  const told = problems.slice(0, mostProblemsTold);
  const lines = told.map(({ at, problem }) => `${at} ${problem}`);
  const more = problems.length > told.length ? `; and ${problems.length - told.length} more` : "";
  return new DomainError(code, `${what} can't be stored: ${lines.join("; ")}${more}.`, { problems: told });
}

/** Seated sections get their capacity from their rows. */
function withCapacities(sections: readonly Section[]): Section[] {
  const layout = planLayout("", sections);
  return sections.map((section, at) => ({ ...section, capacity: layout.sections[at]?.seats ?? 0 }));
}
