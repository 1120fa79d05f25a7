// Halls to begin with: how many rows and seats, where wheelchairs stand. Names of sections come from the page's language. Pure.
import { emptyRow, emptySection, type RowForm, rowLabel, type SectionForm, writeNumbers } from "./layout-form.js";

/** What a template's sections and tiers are called. */
export type TemplateNames = Readonly<
  Record<"stalls" | "circle" | "block" | "upper" | "floor" | "standing" | "hall" | "box" | "front" | "standard", string>
>;

export interface VenueTemplate {
  readonly sections: readonly SectionForm[];
  readonly tiers: readonly { readonly id: string; readonly name: string }[];
}

/** So many rows, each longer than the one before by `grows`; the last one begins and ends with a place for a wheelchair and who comes along. */
function rows(count: number, seats: number, { grows = 0, accessible = false } = {}): RowForm[] {
  return Array.from({ length: count }, (_, rank) => {
    const length = seats + grows * rank;
    const last = accessible && rank === count - 1;
    return {
      ...emptyRow,
      label: rowLabel(rank),
      seats: String(length),
      accessible: last ? writeNumbers([1, length]) : "",
      companion: last ? writeNumbers([2, length - 1]) : "",
    };
  });
}

const section = (id: string, name: string, tier: string, made: readonly RowForm[]): SectionForm => ({
  ...emptySection,
  id,
  name,
  tier,
  rows: made,
});
const places = (id: string, name: string, tier: string, capacity: number): SectionForm => ({
  ...emptySection,
  id,
  name,
  tier,
  kind: "places",
  capacity: String(capacity),
});

export const templateNames = ["theatre", "hall", "arena", "club"] as const;
export type TemplateName = (typeof templateNames)[number];

export function venueTemplate(template: TemplateName, names: TemplateNames): VenueTemplate {
  switch (template) {
    case "theatre":
      return {
        tiers: [
          { id: "front", name: names.front },
          { id: "standard", name: names.standard },
        ],
        sections: [
          section("S", names.stalls, "front", rows(10, 14, { grows: 1, accessible: true })),
          section("C", names.circle, "standard", rows(5, 20, { grows: 1 })),
        ],
      };
    case "hall":
      return {
        tiers: [
          { id: "front", name: names.front },
          { id: "standard", name: names.standard },
          { id: "box", name: names.box },
        ],
        sections: [
          section("L", `${names.box} L`, "box", rows(8, 3)),
          section("P", names.hall, "front", rows(18, 28, { grows: 0, accessible: true })),
          section("R", `${names.box} R`, "box", rows(8, 3)),
          section("B", names.circle, "standard", rows(8, 36, { grows: 1 })),
        ],
      };
    case "arena":
      return {
        tiers: [
          { id: "floor", name: names.floor },
          { id: "lower", name: names.block },
          { id: "upper", name: names.upper },
        ],
        sections: [
          places("FLOOR", names.floor, "floor", 1_500),
          ...Array.from({ length: 6 }, (_, at) =>
            section(`1${at + 1}`, `${names.block} 1${at + 1}`, "lower", rows(16, 22, { accessible: at % 2 === 0 })),
          ),
          ...Array.from({ length: 6 }, (_, at) =>
            section(`2${at + 1}`, `${names.upper} 2${at + 1}`, "upper", rows(12, 24)),
          ),
        ],
      };
    case "club":
      return {
        tiers: [{ id: "standing", name: names.standing }],
        sections: [places("GA", names.standing, "standing", 400)],
      };
  }
}
