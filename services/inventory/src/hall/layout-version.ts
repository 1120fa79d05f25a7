// The name of a layout, made of what it says. Pure.
import { derivedHex64 } from "@onsale/kit/ids";
import type { Section } from "@onsale/proto/inventory/v1/catalog";

/** Names the layout: sections with the same seats, names and tiers have the same version. */
export function layoutFingerprint(sections: readonly Section[]): string {
  const numbers = (list: readonly number[]) => [...list].sort((a, b) => a - b);
  return derivedHex64(
    "layout",
    JSON.stringify(
      sections.map(({ sectionId, name, tierId, generalAdmission, capacity, rows, focalRow, focalSeat }) => [
        [sectionId, name, tierId, generalAdmission ? capacity : 0],
        rows.map(({ label, firstSeat, seatCount, gaps, blocked, accessible, companion }) => [
          label,
          firstSeat,
          seatCount,
          numbers(gaps),
          numbers(blocked),
          // Only where there are any: a layout from before there were these keeps its version.
          ...(accessible.length + companion.length === 0 ? [] : [numbers(accessible), numbers(companion)]),
        ]),
        ...(focalRow === "" ? [] : [[focalRow, focalSeat]]),
      ]),
    ),
  );
}
