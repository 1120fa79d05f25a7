// Events: what one is, who may see it, when its seats are for sale, and whether two are the same. Pure.
import { derivedHex64 } from "@onsale/kit/ids";
import type { PriceTier, Section, Venue } from "@onsale/proto/inventory/v1/catalog";
import { layoutFingerprint } from "../hall/layout-version.js";

/** How much a single seat left between taken ones counts when seats are chosen: never leave one where others will do, rather not, not at all. */
export const orphanRules = ["strict", "lenient", "off"] as const;
export type OrphanRule = (typeof orphanRules)[number];

/** An event as it is stored. */
export interface EventRecord {
  readonly eventId: string;
  readonly organiserId: string;
  readonly name: string;
  readonly description: string;
  readonly venue: Venue;
  readonly published: boolean;
  readonly startsAtMs: number;
  readonly onSaleAtMs: number;
  /** 0: until the event starts. */
  readonly offSaleAtMs: number;
  readonly currency: string;
  readonly seatsPerPerson: number;
  readonly tiers: readonly PriceTier[];
  readonly capacity: number;
  readonly layoutVersion: string;
  readonly orphanRule: OrphanRule;
  /** Until then accessible and companion seats are only for who asks for them. 0: until the event starts. */
  readonly accessibleUntilMs: number;
  /** Until then buyers may give their orders back by themselves. 0: they may not. */
  readonly refundableUntilMs: number;
  readonly createdAtMs: number;
  /** Off the sale for good since then; 0: it is not. A cancelled event stays published: those who have tickets find it. */
  readonly cancelledAtMs: number;
  readonly cancelReason: string;
  /** The newest generation of its seats in Valkey that was ever begun. */
  readonly epoch: number;
  /** Counts the edits of the draft. */
  readonly revision: number;
}

export type NewEvent = Omit<
  EventRecord,
  "published" | "capacity" | "layoutVersion" | "epoch" | "createdAtMs" | "cancelledAtMs" | "cancelReason" | "revision"
>;

export type EventStatus = "draft" | "published" | "cancelled";

export const statusOf = ({ published, cancelledAtMs }: EventRecord): EventStatus =>
  cancelledAtMs > 0 ? "cancelled" : published ? "published" : "draft";

export const saleEndsAtMs = ({ offSaleAtMs, startsAtMs }: Pick<EventRecord, "offSaleAtMs" | "startsAtMs">): number =>
  offSaleAtMs === 0 ? startsAtMs : offSaleAtMs;

/** When accessible and companion seats become seats like all others. */
export const accessibleEndsAtMs = ({
  accessibleUntilMs,
  startsAtMs,
}: Pick<EventRecord, "accessibleUntilMs" | "startsAtMs">): number =>
  accessibleUntilMs === 0 ? startsAtMs : accessibleUntilMs;

/** Stands for an operator, who sees every draft. */
export const everyViewer = "*";

export const isVisible = ({ published, organiserId }: EventRecord, viewerId: string): boolean =>
  published || viewerId === everyViewer || viewerId === organiserId;

export const isId = (text: string): boolean => /^[A-Za-z0-9_-]{1,64}$/.test(text);

// ---- the same event again

/** The same for the same event and layout, whatever the order in which a client sent numbers. */
export function fingerprint(event: NewEvent, sections: readonly Section[]): string {
  return fingerprintWith(event, layoutFingerprint(sections));
}

/** Of what is stored, as it would be made again. */
export const storedFingerprint = (event: EventRecord): string => fingerprintWith(event, event.layoutVersion);

function fingerprintWith(event: NewEvent, layoutVersion: string): string {
  const { eventId, organiserId, name, description, venue, startsAtMs, onSaleAtMs, offSaleAtMs } = event;
  const { currency, seatsPerPerson, tiers } = event;
  return derivedHex64(
    "event",
    JSON.stringify([
      [eventId, organiserId, name, description, startsAtMs, onSaleAtMs, offSaleAtMs, currency, seatsPerPerson],
      [venue.name, venue.city, venue.country, venue.timeZone],
      tiers.map(({ tierId, name: tier, amount }) => [tierId, tier, amount]),
      layoutVersion,
      // Only where they are given: events made before there were these keep their fingerprint.
      ...(event.orphanRule === "lenient" && event.accessibleUntilMs === 0
        ? []
        : [[event.orphanRule, event.accessibleUntilMs]]),
      ...(event.refundableUntilMs === 0 ? [] : [["refundable until", event.refundableUntilMs]]),
    ]),
  );
}
