// What a process remembers of events and layouts, so that a hold asks MongoDB for nothing.
import { DomainError } from "@onsale/kit/errors";
import { type Layout, planLayout } from "../hall/layout.js";
import type { LayoutStore } from "../hall/layout-store.js";
import type { EventStore } from "./event-store.js";
import { type EventRecord, isId } from "./events.js";

export interface KnownEvents {
  /** EVENT_NOT_FOUND for drafts too: their seats are nobody's yet. At most `eventCacheMs` old while MongoDB answers. */
  published(eventId: string): Promise<EventRecord>;
  /** The layout never changes under its version. */
  layoutOf(layoutVersion: string): Promise<Layout>;
  forget(eventId: string): void;
}

export interface KnownEventsSettings {
  readonly eventCacheMs: number;
  readonly layoutCacheSize: number;
}

const mostEvents = 5_000;
/** While MongoDB is away, seats go on being held: what an event says changes hardly ever. */
const withoutStoreMs = 15 * 60 * 1000;

export function rememberEvents(
  store: { readonly events: EventStore; readonly layouts: LayoutStore },
  { eventCacheMs, layoutCacheSize }: KnownEventsSettings,
): KnownEvents {
  const events = new Map<string, { event: EventRecord; readAtMs: number }>();
  const layouts = new Map<string, Layout>();
  const loading = new Map<string, Promise<unknown>>();

  /** One load at a time for each key, whoever asks. */
  function once<T>(key: string, load: () => Promise<T>): Promise<T> {
    const running = loading.get(key) as Promise<T> | undefined;
    if (running) return running;
    const work = load().finally(() => loading.delete(key));
    loading.set(key, work);
    return work;
  }

  async function loadEvent(eventId: string): Promise<EventRecord> {
    const known = events.get(eventId);
    try {
      const found = await store.events.find(eventId);
      if (!found?.event.published) throw eventNotFound();
      remember(events, eventId, { event: found.event, readAtMs: Date.now() }, mostEvents);
      return found.event;
    } catch (error) {
      const away = error instanceof DomainError && error.code === "UNAVAILABLE";
      if (!away || !known || Date.now() - known.readAtMs > withoutStoreMs) throw error;
      return known.event;
    }
  }

  return {
    async published(eventId) {
      if (!isId(eventId)) throw eventNotFound();
      const known = events.get(eventId);
      if (known && Date.now() - known.readAtMs < eventCacheMs) return known.event;
      return await once(`event ${eventId}`, () => loadEvent(eventId));
    },

    async layoutOf(version) {
      const known = layouts.get(version);
      if (known) {
        remember(layouts, version, known, layoutCacheSize);
        return known;
      }
      return await once(`layout ${version}`, async () => {
        const sections = await store.layouts.find(version);
        if (!sections) throw new Error(`layout ${version} is not in the database, though an event has it`);
        const layout = planLayout(version, sections);
        remember(layouts, version, layout, layoutCacheSize);
        return layout;
      });
    },

    forget: (eventId) => void events.delete(eventId),
  };
}

export const eventNotFound = (): DomainError =>
  new DomainError("EVENT_NOT_FOUND", "There is no such event, or it is not published.");

export const eventCancelled = (): DomainError =>
  new DomainError(
    "EVENT_CANCELLED",
    "This event was cancelled: its seats are not for sale any more. Whoever has bought gets the money back.",
  );

/** Puts it last, and drops the first, which was put longest ago. */
function remember<T>(map: Map<string, T>, key: string, value: T, most: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > most) map.delete(map.keys().next().value as string);
}
