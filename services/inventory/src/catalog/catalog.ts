// The organiser's and the visitor's use cases: create, publish, show and find events.
import { DomainError } from "@onsale/kit/errors";
import type { Section } from "@onsale/proto/inventory/v1/catalog";
import { cityKey, type EventSearch, placeOf, readCursor, writeCursor } from "../events/event-search.js";
import type { EventStore } from "../events/event-store.js";
import {
  type EventRecord,
  type EventStatus,
  fingerprint,
  isId,
  isVisible,
  type NewEvent,
  statusOf,
} from "../events/events.js";
import { eventCancelled, eventNotFound, type KnownEvents } from "../events/known-events.js";
import { type OwnEventSearch, readOwnCursor, writeOwnCursor } from "../events/own-events.js";
import { searchWords } from "../events/search-words.js";
import type { Generations } from "../generations/generations.js";
import type { LayoutStore } from "../hall/layout-store.js";
import { layoutFingerprint } from "../hall/layout-version.js";
import { lineProblem } from "../hall/problems.js";
import {
  checkDraft,
  checkPrices,
  checkStart,
  draftChanged,
  readRevision,
  withCapacities,
  writeRevision,
} from "./drafts.js";

export interface CatalogDependencies {
  readonly store: { readonly events: EventStore; readonly layouts: LayoutStore };
  readonly events: KnownEvents;
  readonly generations: Generations;
  readonly now: () => number;
}

export interface EventQuery extends Omit<EventSearch, "words" | "after"> {
  readonly query: string;
  readonly cursor: string;
}

/** How long publishing waits for the seats to be there. */
const publishWaitMs = 10_000;
const mostPerPage = 100;
const mostOwnPerPage = 500;
const longestReason = 200;
const dayMs = 24 * 60 * 60 * 1000;
const mostWords = 10;

export class Catalog {
  readonly #store;
  readonly #events;
  readonly #generations;
  readonly #now;

  constructor({ store, events, generations, now }: CatalogDependencies) {
    this.#store = store;
    this.#events = events;
    this.#generations = generations;
    this.#now = now;
  }

  /** Refusals: REQUEST_INVALID and LAYOUT_INVALID (details.problems: what and where, all of it), EVENT_EXISTS. */
  async create(wanted: NewEvent, sections: readonly Section[], layoutSource = ""): Promise<EventRecord> {
    checkDraft(wanted, sections, layoutSource);
    const made = fingerprint(wanted, sections);
    const before = await this.#store.events.find(wanted.eventId);
    if (before) return sameAs(before, made);
    checkStart(wanted, this.#now());
    const counted = withCapacities(sections);
    const event: EventRecord = {
      ...wanted,
      published: false,
      capacity: counted.reduce((sum, { capacity }) => sum + capacity, 0),
      layoutVersion: layoutFingerprint(sections),
      createdAtMs: this.#now(),
      cancelledAtMs: 0,
      cancelReason: "",
      epoch: 0,
      revision: 0,
    };
    if (await this.#store.events.add(event, counted, layoutSource, made)) return event;
    // Someone was quicker between the look and the insert: perhaps our own first try.
    const other = await this.#store.events.find(wanted.eventId);
    if (!other) throw new Error("an event's id was taken, and then there was none");
    return sameAs(other, made);
  }

  /**
   * organiserId empty: an operator, who may publish any. With a revision: that one or nothing; what is published already stays so.
   * Refusals: EVENT_NOT_FOUND, also for another's draft; EVENT_CANCELLED; DRAFT_CHANGED; REQUEST_INVALID (details.problems: prices
   * that can't be charged, in a draft from before that was checked).
   */
  async publish(eventId: string, organiserId: string, revision?: string): Promise<EventRecord> {
    let event = await this.#owned(eventId, organiserId);
    // What is published is what the store says, not what was read: the draft may be edited meanwhile.
    if (!event.published) {
      checkPrices(event);
      event =
        (await this.#store.events.publish(eventId, revision === undefined ? undefined : readRevision(revision))) ??
        (await this.#owned(eventId, organiserId));
    }
    if (!event.published) throw draftChanged();
    if (event.cancelledAtMs > 0) throw eventCancelled();
    this.#events.forget(eventId);
    await this.#generations.ensure(event, publishWaitMs);
    return event;
  }

  /** For good. Refusals: EVENT_NOT_FOUND, also for another's; EVENT_IS_DRAFT; REQUEST_INVALID. */
  async cancel(eventId: string, organiserId: string, reason: string): Promise<EventRecord> {
    const problem = reason === "" ? undefined : lineProblem(reason, longestReason);
    if (problem) throw new DomainError("REQUEST_INVALID", `The reason ${problem}.`);
    const before = await this.#owned(eventId, organiserId);
    const status = statusOf(before);
    if (status === "draft")
      throw new DomainError("EVENT_IS_DRAFT", "The event is a draft: nobody has seen it, so nothing is cancelled.");
    if (status === "published") await this.#store.events.cancel(eventId, this.#now(), reason);
    this.#events.forget(eventId);
    return await this.#owned(eventId, organiserId);
  }

  /** An organiser's event (organiserId empty: anybody's), with its whole layout and the words that it was made with. */
  async own(
    eventId: string,
    organiserId: string,
  ): Promise<{ event: EventRecord; sections: Section[]; layoutSource: string; revision: string | undefined }> {
    const { event, layoutSourceId } = await this.#ownedWithSource(eventId, organiserId);
    const [sections, layoutSource] = await Promise.all([
      this.#sectionsOf(event),
      this.#store.layouts.source(layoutSourceId),
    ]);
    return { event, sections, layoutSource, revision: event.published ? undefined : writeRevision(event) };
  }

  /** Newest first. organiserId empty: everybody's. No status: all. Refusals: REQUEST_INVALID. */
  async listOwn(wish: {
    readonly organiserId: string;
    readonly status: EventStatus | undefined;
    readonly query: string;
    readonly cursor: string;
    /** 0: 20. */
    readonly limit: number;
  }): Promise<{ events: EventRecord[]; nextCursor: string }> {
    const { organiserId, status, query, cursor, limit } = wish;
    if (organiserId !== "" && !isId(organiserId))
      throw new DomainError("REQUEST_INVALID", "The organiser's id is not one.");
    if (!Number.isInteger(limit) || limit < 0 || limit > mostOwnPerPage)
      throw new DomainError("REQUEST_INVALID", `A page may have 1 to ${mostOwnPerPage} events.`);
    const words = wordsOf(query);
    if (query.trim() !== "" && words.length === 0) return { events: [], nextCursor: "" };
    const pageSize = limit === 0 ? 20 : limit;
    const search: OwnEventSearch = {
      organiserId,
      statuses: status === undefined ? [] : [status],
      words,
      limit: pageSize + 1,
      after: undefined,
    };
    const after = cursor === "" ? undefined : readOwnCursor(search, cursor);
    if (cursor !== "" && !after) throw strangeCursor();
    const found = await this.#store.events.own({ ...search, after });
    const page = found.slice(0, pageSize);
    const last = page.at(-1);
    return { events: page, nextCursor: found.length > pageSize && last ? writeOwnCursor(search, last) : "" };
  }

  /** Those that are not drafts. Refusals: REQUEST_INVALID. */
  async some(eventIds: readonly string[]): Promise<EventRecord[]> {
    if (eventIds.length > mostPerPage)
      throw new DomainError("REQUEST_INVALID", `At most ${mostPerPage} events can be asked for at once.`);
    const wanted = eventIds.filter(isId);
    return wanted.length === 0 ? [] : (await this.#store.events.some(wanted)).filter(({ published }) => published);
  }

  /** With its sections, which have no rows here. */
  async show(eventId: string, viewerId: string): Promise<{ event: EventRecord; sections: Section[] }> {
    const event = await this.#visible(eventId, viewerId);
    return { event, sections: (await this.#sectionsOf(event)).map((section) => ({ ...section, rows: [] })) };
  }

  async layout(eventId: string, viewerId: string): Promise<{ event: EventRecord; sections: Section[] }> {
    const event = await this.#visible(eventId, viewerId);
    return { event, sections: await this.#sectionsOf(event) };
  }

  /** Published events in an order. Refusals: REQUEST_INVALID. */
  async search({ query, cursor, limit, ...wish }: EventQuery) {
    const problem = searchProblem(wish);
    if (problem) throw new DomainError("REQUEST_INVALID", problem);
    if (!Number.isInteger(limit) || limit < 0 || limit > mostPerPage)
      throw new DomainError("REQUEST_INVALID", `A page may have 1 to ${mostPerPage} events.`);
    const words = wordsOf(query);
    const pageSize = limit === 0 ? 20 : limit;
    const { city, fromMs, toMs, currency, priceFrom, priceTo, sort } = wish;
    const search: EventSearch = {
      words,
      city: cityKey(city),
      fromMs,
      toMs,
      currency,
      priceFrom,
      priceTo,
      sort,
      limit: pageSize + 1, // one more tells whether there is a next page
      after: undefined,
    };
    const after = cursor === "" ? undefined : readCursor(search, cursor);
    if (cursor !== "" && !after) throw strangeCursor();
    // Asked for words or a city that have no letter or digit, nothing matches.
    const nothing = (query.trim() !== "" && words.length === 0) || (city.trim() !== "" && search.city === "");
    const found = nothing ? [] : await this.#store.events.search({ ...search, after });
    const page = found.slice(0, pageSize);
    const last = page.at(-1);
    const nextCursor = found.length > pageSize && last ? writeCursor(search, placeOf(last, sort)) : "";
    return { events: page, nextCursor };
  }

  /** The cities and currencies of published events that begin today (in UTC, as days are searched) or later, those of most events first. */
  facets() {
    return this.#store.events.facets(this.#now() - (this.#now() % dayMs));
  }

  async #visible(eventId: string, viewerId: string): Promise<EventRecord> {
    const found = isId(eventId) ? (await this.#store.events.find(eventId))?.event : undefined;
    if (!found || !isVisible(found, viewerId)) throw eventNotFound();
    return found;
  }

  /** organiserId empty: an operator, whose hands reach all. Another's event is not told apart from none. */
  async #ownedWithSource(eventId: string, organiserId: string) {
    const found = isId(eventId) ? await this.#store.events.find(eventId) : undefined;
    if (!found || (organiserId !== "" && found.event.organiserId !== organiserId)) throw eventNotFound();
    return found;
  }

  async #owned(eventId: string, organiserId: string) {
    return (await this.#ownedWithSource(eventId, organiserId)).event;
  }

  async #sectionsOf({ layoutVersion }: EventRecord): Promise<Section[]> {
    const sections = await this.#store.layouts.find(layoutVersion);
    if (!sections) throw new Error(`layout ${layoutVersion} is not in the database, though an event has it`);
    return sections;
  }
}

function searchProblem(wish: Omit<EventQuery, "query" | "cursor" | "limit">): string | undefined {
  const { city, fromMs, toMs, currency, priceFrom, priceTo } = wish;
  if (city.length > 100 || /\p{Cc}/u.test(city)) return "The city is too long, or has control characters.";
  if (![fromMs, toMs].every((ms) => Number.isSafeInteger(ms) && ms >= 0))
    return "The times must be milliseconds since 1970, or 0.";
  if (currency !== "" && !/^[A-Z]{3}$/.test(currency)) return "The currency must be three capital letters, as EUR.";
  if (![priceFrom, priceTo].every((price) => Number.isSafeInteger(price) && price >= 0))
    return "The prices must be whole numbers in the currency's minor unit, or 0.";
  if (priceTo > 0 && priceFrom > priceTo) return "The lowest price is higher than the highest one.";
  if (priceFrom + priceTo > 0 && currency === "")
    return "A price says nothing without its currency, as amounts of two currencies can't be compared: name one.";
  return undefined;
}

/** Refusals: REQUEST_INVALID. */
function wordsOf(query: string): string[] {
  if (query.length > 200 || /\p{Cc}/u.test(query))
    throw new DomainError("REQUEST_INVALID", "The search words are too long, or have control characters.");
  const words = searchWords(query);
  if (words.length > mostWords)
    throw new DomainError("REQUEST_INVALID", `A search may have at most ${mostWords} words.`);
  return words;
}

const strangeCursor = () =>
  new DomainError("REQUEST_INVALID", "The cursor is not one of this search in this order. Start again without it.");

function sameAs(stored: { event: EventRecord; fingerprint: string }, made: string): EventRecord {
  if (stored.fingerprint === made) return stored.event;
  const message =
    "There is another event with this id. An event can't be changed by creating it again; choose a new id.";
  throw new DomainError("EVENT_EXISTS", message);
}
