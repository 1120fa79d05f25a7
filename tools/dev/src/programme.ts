// The events that a fresh installation sells: invented places and people, every kind of layout. Pure.

export interface NewEvent {
  /** Part of the Idempotency-Key: stable. */
  readonly slug: string;
  readonly name: string;
  readonly description: string;
  readonly venue: { readonly name: string; readonly city: string; readonly country: string; readonly timeZone: string };
  readonly startsAt: string;
  readonly onSaleAt: string;
  /** Until then buyers may give their tickets back by themselves; never, if left out. */
  readonly refundableUntil?: string;
  readonly currency: string;
  readonly seatsPerPerson: number;
  readonly tiers: readonly { readonly id: string; readonly name: string; readonly amount: number }[];
  readonly sections: readonly NewSection[];
}

interface EqualRows {
  readonly count: number;
  readonly seats: number;
  readonly gaps?: readonly number[];
  readonly blocked?: readonly string[];
}
interface Row {
  readonly label: string;
  readonly seats: number;
  readonly first?: number;
  readonly gaps?: readonly number[];
  readonly blocked?: readonly number[];
}
type NewSection = { readonly id: string; readonly name: string; readonly tier: string } & (
  | { readonly rows: EqualRows | readonly Row[] }
  | { readonly capacity: number }
);

/** Dates follow the month, not the minute, so that sending the programme twice in a row sends the same. */
export function programme(now: Date): NewEvent[] {
  const at = (months: number, day: number, hour: number) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months, day, hour)).toISOString();
  const onSale = at(-1, 15, 9);
  return [
    {
      slug: "night-tram",
      name: "Night Tram: Last Stop Tour",
      description: "Synths, brass and a drummer who never looks up. Standing, with a small balcony.",
      venue: { name: "Kesselhaus Nord", city: "Leipzig", country: "DE", timeZone: "Europe/Berlin" },
      startsAt: at(2, 12, 19),
      onSaleAt: onSale,
      currency: "EUR",
      seatsPerPerson: 6,
      tiers: [
        { id: "floor", name: "Floor", amount: 2900 },
        { id: "balcony", name: "Balcony", amount: 3900 },
      ],
      sections: [
        { id: "FLOOR", name: "Floor, standing", tier: "floor", capacity: 450 },
        { id: "BALC", name: "Balcony, unnumbered", tier: "balcony", capacity: 60 },
      ],
    },
    {
      slug: "lighthouse",
      name: "The Lighthouse Keeper's Daughter",
      description: "A new play in two acts, about a light that must not go out.",
      venue: { name: "Harbour Street Theatre", city: "Bristol", country: "GB", timeZone: "Europe/London" },
      startsAt: at(1, 22, 19),
      onSaleAt: onSale,
      refundableUntil: at(1, 15, 19),
      currency: "GBP",
      seatsPerPerson: 8,
      tiers: [
        { id: "stalls", name: "Stalls", amount: 4850 },
        { id: "circle", name: "Dress circle", amount: 3600 },
        { id: "box", name: "Boxes", amount: 7200 },
      ],
      sections: [
        { id: "ST", name: "Stalls", tier: "stalls", rows: stalls() },
        {
          id: "DC",
          name: "Dress circle",
          tier: "circle",
          // Pillars stand where seats 7 and 20 would be; the last two of row H belong to the sound desk.
          rows: { count: 8, seats: 26, gaps: [7, 20], blocked: ["H-25", "H-26"] },
        },
        { id: "BOXL", name: "Boxes, left", tier: "box", rows: { count: 4, seats: 5 } },
        { id: "BOXR", name: "Boxes, right", tier: "box", rows: { count: 4, seats: 5, blocked: ["A-1", "A-2"] } },
      ],
    },
    {
      slug: "glasshouse",
      name: "Mara Voss: Glasshouse",
      description: "The new album from first note to last, in the round.",
      venue: { name: "Riverlight Arena", city: "Rotterdam", country: "NL", timeZone: "Europe/Amsterdam" },
      startsAt: at(3, 5, 18),
      onSaleAt: onSale,
      currency: "EUR",
      seatsPerPerson: 6,
      tiers: [
        { id: "floor", name: "Floor, standing", amount: 8900 },
        { id: "low", name: "Lower ring", amount: 11900 },
        { id: "high", name: "Upper ring", amount: 6900 },
      ],
      sections: [
        { id: "FLOOR", name: "Floor", tier: "floor", capacity: 1500 },
        ...blocks({ from: 101, count: 10, tier: "low", rows: 24, seats: 20 }),
        ...blocks({ from: 201, count: 10, tier: "high", rows: 28, seats: 22 }),
      ],
    },
    {
      slug: "homecoming",
      name: "Copper Canyon: The Homecoming",
      description: "One night, sixty thousand seats, and the whole town in them.",
      venue: { name: "Saltwater Stadium", city: "San Diego", country: "US", timeZone: "America/Los_Angeles" },
      startsAt: at(5, 18, 3),
      onSaleAt: onSale,
      currency: "USD",
      seatsPerPerson: 8,
      tiers: [
        { id: "lower", name: "Lower stand", amount: 15900 },
        { id: "upper", name: "Upper stand", amount: 7900 },
      ],
      sections: [
        ...blocks({ from: 101, count: 20, tier: "lower", rows: 30, seats: 50 }),
        ...blocks({ from: 201, count: 20, tier: "upper", rows: 30, seats: 50 }),
      ],
    },
    {
      slug: "winter-jazz",
      name: "Winter Jazz at the Water Mill",
      description: "Three trios, one old mill, tea in the break. The sale has not begun.",
      venue: { name: "Suisha Hall", city: "Kyoto", country: "JP", timeZone: "Asia/Tokyo" },
      startsAt: at(6, 9, 10),
      onSaleAt: at(4, 1, 1),
      currency: "JPY",
      seatsPerPerson: 4,
      tiers: [{ id: "all", name: "All seats", amount: 6800 }],
      sections: [{ id: "HALL", name: "Hall", tier: "all", rows: { count: 12, seats: 16, gaps: [8, 9] } }],
    },
  ];
}

/** A fan of rows, wider towards the back, with an aisle in the middle and two seats of row A for wheelchair companions. */
function stalls(): Row[] {
  return [..."ABCDEFGHJKLM"].map((label, index) => {
    const seats = 20 + 2 * Math.floor(index / 2) + 2;
    const aisle = seats / 2;
    return { label, seats, gaps: [aisle, aisle + 1], ...(label === "A" ? { blocked: [1, 2] } : {}) };
  });
}

function blocks({
  from,
  count,
  tier,
  rows,
  seats,
}: {
  from: number;
  count: number;
  tier: string;
  rows: number;
  seats: number;
}) {
  return Array.from({ length: count }, (_, index) => ({
    id: String(from + index),
    name: `Block ${from + index}`,
    tier,
    rows: { count: rows, seats },
  }));
}
