// What a version of an event's seats says, and the step from one to the next. Pure.
import type { SeatChange, SeatSnapshot, SeatVersion } from "@onsale/proto/inventory/v1/live";
import type { SectionAvailability } from "@onsale/proto/inventory/v1/seats";
import type { Layout } from "../hall/layout.js";
import { countStates, joinMaps } from "../hall/seat-map.js";
import type { Generation } from "../valkey/marker.js";
import { outgrowsMap, runsBetween } from "./seat-changes.js";

/** All that a version says. */
export interface Told {
  readonly version: SeatVersion;
  readonly layoutVersion: string;
  readonly seatCount: number;
  readonly states: Uint8Array;
  readonly places: readonly SectionAvailability[];
}
type Image = Pick<Told, "seatCount" | "states" | "places">;
type Head = Pick<Told, "version" | "layoutVersion">;

export const headOf = ({ version, layoutVersion }: Head): string =>
  `${version.epoch}|${version.version}|${layoutVersion}`;

export function readHead(head: string): Head | undefined {
  const [, epoch, version, layoutVersion] = /^(\d+)\|(\d+)\|(.*)$/.exec(head) ?? [];
  if (layoutVersion === undefined) return undefined;
  return { version: { epoch: Number(epoch), version: Number(version) }, layoutVersion };
}

export const isOf = ({ version, layoutVersion }: Head, generation: Generation, layout: Layout): boolean =>
  version.epoch === generation.epoch && layoutVersion === layout.version;

export function versionOf({ version }: SeatChange): SeatVersion {
  if (!version) throw new Error("a change of seats has no version");
  return version;
}

export function imageOf(layout: Layout, maps: readonly Uint8Array[]): Image {
  const parts = layout.sections.map((section, at) => ({ section, map: maps[at] as Uint8Array, seats: section.seats }));
  const seated = parts.filter(({ section }) => !section.generalAdmission);
  return {
    seatCount: seated.reduce((sum, { seats }) => sum + seats, 0),
    states: joinMaps(seated),
    places: parts
      .filter(({ section }) => section.generalAdmission)
      .map(({ section, map, seats }) => ({ sectionId: section.sectionId, ...countStates(map, seats) })),
  };
}

/** The step from a version to the next, or undefined when nothing has changed. */
export function changeBetween(told: Told, next: Told): SeatChange | undefined {
  const runs = runsBetween(told.states, next.states, told.seatCount);
  const before = new Map(told.places.map((one) => [one.sectionId, one]));
  const places = next.places.filter((one) => !isSame(one, before.get(one.sectionId)));
  if (runs.length === 0 && places.length === 0) return undefined;
  return outgrowsMap(runs, told.seatCount)
    ? { version: next.version, runs: [], states: Buffer.from(next.states), places }
    : { version: next.version, runs, states: Buffer.alloc(0), places };
}

export const isSame = (one: SectionAvailability, other: SectionAvailability | undefined): boolean =>
  other !== undefined &&
  one.free === other.free &&
  one.held === other.held &&
  one.sold === other.sold &&
  one.blocked === other.blocked;

export function snapshotOf({ states, places, ...told }: Told, recent: SeatChange[]): SeatSnapshot {
  return { ...told, states: Buffer.from(states.buffer, states.byteOffset, states.length), places: [...places], recent };
}
