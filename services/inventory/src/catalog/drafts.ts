// Drafts: what may be stored as one, and the edit that puts another content in place of one, whole.
import { DomainError } from "@onsale/kit/errors";
import type { Section } from "@onsale/proto/inventory/v1/catalog";
import { type Misfit, refitChannels } from "../channels/channel.js";
import type { ChannelStore } from "../channels/channel-store.js";
import { problemsInPrices, problemsOf } from "../events/event-checks.js";
import type { EventStore } from "../events/event-store.js";
import {
  type EventRecord,
  type EventStatus,
  isId,
  type NewEvent,
  statusOf,
  storedFingerprint,
} from "../events/events.js";
import { eventNotFound, type KnownEvents } from "../events/known-events.js";
import { planLayout } from "../hall/layout.js";
import { layoutFingerprint } from "../hall/layout-version.js";
import type { Problem } from "../hall/problems.js";
import type { DraftStore } from "./draft-store.js";

export interface DraftDependencies {
  readonly store: { readonly channels: ChannelStore; readonly drafts: DraftStore; readonly events: EventStore };
  readonly events: KnownEvents;
  readonly now: () => number;
}

export interface Replacement {
  /** Its organiser is ignored. */
  readonly wanted: NewEvent;
  readonly sections: readonly Section[];
  readonly layoutSource: string;
  /** Who asks; empty: an operator, whose hands reach all. */
  readonly organiserId: string;
  /** Of the draft that was edited. */
  readonly revision: string;
}

export type Drafts = ReturnType<typeof createDrafts>;

const tries = 8;
const mostProblemsTold = 50;
const mostSeatsTold = 20;
const longestSourceBytes = 2 * 1024 * 1024;

export function createDrafts({ store, events, now }: DraftDependencies) {
  return {
    /**
     * Refusals: EVENT_NOT_FOUND, also for another's; EVENT_NOT_DRAFT; DRAFT_CHANGED; CHANNEL_IN_THE_WAY; REQUEST_INVALID and
     * LAYOUT_INVALID (details.problems: what and where, all of it). What is there already is answered, whatever the revision:
     * so does a retry whose first answer was lost.
     */
    async replace(wish: Replacement): Promise<{ event: EventRecord; revision: string }> {
      const { sections, layoutSource, organiserId } = wish;
      const { eventId } = wish.wanted;
      for (let attempt = 1; attempt <= tries; attempt++) {
        // First the channels: whoever changes them, or the draft, between here and the end makes the store refuse.
        const allotments = isId(eventId) ? await store.channels.of(eventId) : undefined;
        const stored = allotments && (await store.events.find(eventId))?.event;
        if (!stored || (organiserId !== "" && stored.organiserId !== organiserId)) throw eventNotFound();
        if (stored.published) throw notDraft(statusOf(stored));
        const wanted: NewEvent = { ...wish.wanted, organiserId: stored.organiserId };
        checkDraft(wanted, sections, layoutSource);
        const counted = withCapacities(sections);
        const event: EventRecord = {
          ...stored,
          ...wanted,
          capacity: counted.reduce((sum, { capacity }) => sum + capacity, 0),
          layoutVersion: layoutFingerprint(sections),
          revision: stored.revision + 1,
        };
        if (writeRevision(stored) !== wish.revision) {
          if (storedFingerprint(stored) !== storedFingerprint(event)) throw draftChanged();
          return { event: stored, revision: writeRevision(stored) };
        }
        checkStart(wanted, now());
        const from = await events.layoutOf(stored.layoutVersion);
        const { channels, misfits } = refitChannels(
          allotments.channels,
          from,
          planLayout(event.layoutVersion, counted),
          event,
          now(),
        );
        if (misfits.length > 0) throw inTheWay(misfits);
        const next = { ...allotments, version: allotments.version + 1, channels };
        if (await store.drafts.replace({ event, sections: counted, layoutSource, allotments: next }))
          return { event, revision: writeRevision(event) };
      }
      throw new DomainError("UNAVAILABLE", "The draft's channels are being changed by others. Please try again.");
    },
  };
}

// ---- what may be stored

/** Refusals: REQUEST_INVALID, LAYOUT_INVALID. */
export function checkDraft(wanted: NewEvent, sections: readonly Section[], layoutSource: string): void {
  if (layoutSource.length > longestSourceBytes)
    throw new DomainError("REQUEST_INVALID", "The layout's source is longer than any layout needs.");
  const { inEvent, inLayout } = problemsOf(wanted, sections);
  if (inEvent.length > 0) throw refused("REQUEST_INVALID", "The event", [...inEvent, ...inLayout]);
  if (inLayout.length > 0) throw refused("LAYOUT_INVALID", "The seat layout", inLayout);
}

/** A draft from before a rule of prices must not be published against it. Refusal: REQUEST_INVALID. */
export function checkPrices(event: Pick<NewEvent, "currency" | "seatsPerPerson" | "tiers">): void {
  const problems = problemsInPrices(event);
  if (problems.length > 0) throw refused("REQUEST_INVALID", "The event", problems, "published");
}

/** Apart from the rest: what was stored once may be sent again when it has begun. Refusal: REQUEST_INVALID. */
export function checkStart({ startsAtMs }: Pick<NewEvent, "startsAtMs">, nowMs: number): void {
  if (startsAtMs <= nowMs)
    throw refused("REQUEST_INVALID", "The event", [{ at: "event.starts_at_ms", problem: "is in the past" }]);
}

/** Seated sections get their capacity from their rows. */
export function withCapacities(sections: readonly Section[]): Section[] {
  const layout = planLayout("", sections);
  return sections.map((section, at) => ({ ...section, capacity: layout.sections[at]?.seats ?? 0 }));
}

// ---- revisions

export const writeRevision = ({ revision }: Pick<EventRecord, "revision">): string => String(revision);

/** One that never was is that of no draft. */
export const readRevision = (revision: string): number =>
  /^(0|[1-9]\d{0,14})$/.test(revision) ? Number(revision) : -1;

// ---- refusals

export const draftChanged = (): DomainError =>
  new DomainError(
    "DRAFT_CHANGED",
    "Somebody has saved this draft since you read it, so nothing of yours was saved or published. Read it again, and decide then.",
  );

function notDraft(status: EventStatus): DomainError {
  const because =
    status === "cancelled"
      ? "The event was cancelled, and stays as it was."
      : "The event is published: people may have seen it or bought seats, so it can't be edited any more.";
  return new DomainError("EVENT_NOT_DRAFT", `${because} You can copy it into a new event.`, { eventStatus: status });
}

function inTheWay(misfits: readonly Misfit[]): DomainError {
  const lines = misfits.map(({ name, problem, seats }) => {
    const told = seats.slice(0, mostSeatsTold);
    const more = seats.length > told.length ? ` and ${seats.length - told.length} more` : "";
    return `“${name}” ${problem}${told.length > 0 ? ` (${told.join(", ")}${more})` : ""}`;
  });
  return new DomainError(
    "CHANNEL_IN_THE_WAY",
    `The draft can't be changed so while it has these channels: ${lines.join("; ")}. Change or delete them first, or edit the draft so that they fit.`,
    {
      channels: misfits.map(({ channelId, name, problem, seats }) => ({
        channelId,
        name,
        problem,
        ...(seats.length > 0 ? { seats: seats.slice(0, mostSeatsTold) } : {}),
      })),
    },
  );
}

function refused(
  code: "REQUEST_INVALID" | "LAYOUT_INVALID",
  what: string,
  problems: readonly Problem[],
  done = "stored",
): DomainError {
  const told = problems.slice(0, mostProblemsTold);
  const lines = told.map(({ at, problem }) => `${at} ${problem}`);
  const more = problems.length > told.length ? `; and ${problems.length - told.length} more` : "";
  return new DomainError(code, `${what} can't be ${done}: ${lines.join("; ")}${more}.`, { problems: told });
}
