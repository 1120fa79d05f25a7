// The shapes of the REST API, requests and answers. Objects are strict: an unknown field in a request is refused.
import { currencies, mostInAny, priceFault } from "@onsale/kit/currencies";
import { tellPriceFault } from "@onsale/kit/money";
import { z } from "zod";
import { roles } from "./http/authenticate.js";

// ---- what fields are made of

// No control characters, no half surrogates, and none that turn the direction of what follows: a name must not disguise itself.
const noControls = /^[^\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]*$/u;
const noControlsButLines = /^(?:[^\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]|[\n\t])*$/u;

/** One line of text, trimmed. */
export const line = (max: number) =>
  z
    .string()
    .trim()
    .min(1, "must not be empty")
    .max(max, `may have at most ${max} characters`)
    .regex(noControls, "must not have control characters")
    .meta({ pattern: noControls.source });

/** Text of several lines, trimmed. */
export const paragraphs = (max: number) =>
  z
    .string()
    .trim()
    .min(1, "must not be empty")
    .max(max, `may have at most ${max} characters`)
    .regex(noControlsButLines, "must not have control characters but line breaks")
    .meta({ pattern: noControlsButLines.source });
export const idParam = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);
export const accountParams = z.strictObject({ accountId: idParam });
export const eventParams = z.strictObject({ eventId: idParam });
export const checkoutParams = z.strictObject({ checkoutId: idParam });
export const ticketParams = z.strictObject({ ticketId: idParam });
const seatIdForm = /^[^\s\p{C}]{1,64}$/u;
export const seatId = z.string().regex(seatIdForm, "must be a seat id").meta({
  pattern: seatIdForm.source,
  description: "As in the event's layout: section, row and number.",
  example: "A-C-12",
});
export const sectionId = z
  .string()
  .regex(/^[A-Z0-9]{1,12}$/, "must be 1 to 12 of A-Z and 0-9")
  .meta({ example: "A" });
const tierId = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,32}$/, "must be 1 to 32 of A-Z, a-z, 0-9, _ and -")
  .meta({ example: "standard" });
export const time = z.iso.datetime().meta({ description: "UTC, ISO 8601.", example: "2027-05-01T18:00:00.000Z" });
export const timeIn = z
  .string()
  .max(40)
  .regex(
    /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/,
    "must be a time in ISO 8601 with its offset, as 2027-05-01T18:00:00Z",
  )
  .refine((text) => isTime(text), "must be a time that exists, after 1970")
  .transform((text) => Date.parse(text))
  .meta({ type: "string", format: "date-time", example: "2027-05-01T18:00:00Z" });
const isTime = (text: string) => {
  const [, year, month, day] = (/^(\d{4})-(\d{2})-(\d{2})/.exec(text) ?? []).map(Number);
  if (year === undefined || month === undefined || day === undefined) return false;
  const calendar = new Date(Date.UTC(year, month - 1, day));
  return calendar.getUTCMonth() === month - 1 && calendar.getUTCDate() === day && Date.parse(text) > 0;
};
/** A time, or a day: the day's first or last millisecond in UTC. */
const dayOrTime = (end: "first" | "last") =>
  z
    .string()
    .max(40)
    .transform((text, context) => {
      const whole = /^\d{4}-\d{2}-\d{2}$/.test(text)
        ? `${text}T${end === "first" ? "00:00:00.000" : "23:59:59.999"}Z`
        : text;
      const ms = timeIn.safeParse(whole);
      if (ms.success) return ms.data;
      context.addIssue({ code: "custom", message: "must be a day as 2027-05-01, or a time as 2027-05-01T18:00:00Z" });
      return z.NEVER;
    })
    .meta({ type: "string", example: end === "first" ? "2027-05-01" : "2027-05-31" });
export const amount = z.int().min(0).meta({
  description:
    "In the currency's minor unit, as Stripe counts it: 4950 is 49.50 EUR, 4950 JPY is 4950 yen, 990000 ISK is 9900 krónur.",
  example: 4950,
});
export const currency = z.string().meta({ description: "ISO 4217.", example: "EUR" });
const currencyIn = z
  .string()
  .regex(/^[A-Z]{3}$/, "must be a currency's three capital letters, as EUR")
  .refine((code) => currencies.has(code), "must be a currency that can be charged: one of ISO 4217 that Stripe takes")
  .meta({ description: "ISO 4217, and one that Stripe takes.", example: "EUR" });
const timeZoneIn = line(64).refine((name) => {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}, "must be a time zone of the IANA database, as Europe/Berlin");

export const cursor = z
  .string()
  .max(500)
  .regex(/^[\x21-\x7e]*$/, "must be a cursor from an earlier answer");
export const limit = (most: number, otherwise: number) =>
  z
    .string()
    .regex(/^\d{1,4}$/, "must be a whole number")
    .transform(Number)
    .pipe(z.int().min(1).max(most))
    .default(otherwise)
    .meta({ type: "integer", minimum: 1, maximum: most, default: otherwise });
export const nextCursor = z.string().optional().meta({ description: "For the next page; absent on the last." });

// ---- problems

export const problem = z
  .looseObject({
    type: z.string().meta({ example: "urn:onsale:problem:SEAT_TAKEN" }),
    title: z.string().meta({ example: "A seat is not free" }),
    status: z.int().meta({ example: 409 }),
    detail: z.string().meta({ description: "What happened and what you can do." }),
    instance: z.string().meta({ example: "urn:onsale:request:req_01h…" }),
    code: z.string().meta({ description: "Stable; branch on this.", example: "SEAT_TAKEN" }),
    requestId: z.string(),
    retryable: z.boolean().meta({ description: "True: the same request may succeed later, unchanged." }),
    errors: z
      .array(
        z.object({
          in: z.enum(["body", "query", "header"]),
          pointer: z.string().optional().meta({ description: "JSON Pointer into the body." }),
          parameter: z.string().optional(),
          detail: z.string(),
        }),
      )
      .optional()
      .meta({ description: "With REQUEST_INVALID: what is wrong, field by field." }),
    channels: z
      .array(
        z.object({
          channelId: z.string(),
          name: z.string(),
          problem: z.string().meta({ example: "has seats that are not in the new hall" }),
          seats: z.array(z.string()).optional(),
        }),
      )
      .optional()
      .meta({ description: "With CHANNEL_IN_THE_WAY: which, and why." }),
    seats: z.array(z.string()).optional().meta({
      description:
        "With SEAT_TAKEN: the seats that are gone. With SEAT_ACCESSIBLE: those that are kept. With SEAT_REFUNDED: those given back.",
    }),
    orphans: z
      .array(z.string())
      .optional()
      .meta({ description: "With SEAT_ORPHANED: the seats that would be left single." }),
    alternative: z
      .array(z.string())
      .optional()
      .meta({ description: "With SEAT_ORPHANED: as many seats as were asked for, leaving none single." }),
    largestGroup: z
      .int()
      .optional()
      .meta({ description: "With NOT_ENOUGH_SEATS of best available: so many are free side by side." }),
    splitWouldHelp: z
      .boolean()
      .optional()
      .meta({ description: "With NOT_ENOUGH_SEATS of best available: there are enough, but apart from each other." }),
    layoutVersion: z.string().optional().meta({ description: "With LAYOUT_CHANGED: the present one." }),
  })
  .meta({ id: "Problem", description: "RFC 9457. Some codes carry further members." });

// ---- accounts

const emailForm = /^[^\s@\p{C}]+@[^\s@\p{C}]+\.[^\s@\p{C}]+$/u;
const email = z
  .string()
  .trim()
  .max(254, "may have at most 254 characters")
  .regex(emailForm, "must be an e-mail address")
  .meta({ pattern: emailForm.source, format: "email", example: "ada@example.com" });
const wellFormed = /^\P{Cs}*$/u;
export const password = z
  .string()
  .min(1, "must not be empty")
  .max(256, "may have at most 256 characters")
  .regex(wellFormed, "must be well-formed text")
  .meta({ pattern: wellFormed.source, format: "password" });
const role = z.enum(roles);

export const newAccount = z
  .strictObject({ email, password, name: line(100).meta({ example: "Ada" }) })
  .meta({ id: "NewAccount" });
export const account = z
  .object({ accountId: z.string(), email: z.string(), name: z.string(), roles: z.array(z.string()), createdAt: time })
  .meta({ id: "Account" });
export const newRoles = z
  .strictObject({
    roles: z
      .array(role)
      .max(roles.length)
      .refine((list) => new Set(list).size === list.length, "must not repeat"),
  })
  .meta({ id: "NewRoles" });
const byCookie = {
  description: "For web pages: the refresh token is kept in a cookie that no script can read, not in the answer.",
};
export const credentials = z
  .strictObject({ email, password, cookie: z.boolean().optional().meta(byCookie) })
  .meta({ id: "Credentials" });
const refreshToken = z
  .string()
  .min(1)
  .max(2048)
  .regex(/^[\x21-\x7e]+$/, "must be a refresh token");
export const refresh = z
  .union([z.strictObject({ refreshToken }), z.strictObject({ cookie: z.literal(true).meta(byCookie) })])
  .meta({ id: "Refresh" });
export const session = z
  .object({
    accessToken: z.string().meta({ description: "JWT for the Authorization header." }),
    tokenType: z.literal("Bearer"),
    expiresAt: time,
    refreshToken: z
      .string()
      .optional()
      .meta({ description: "Good for one refresh; used twice, it ends the session. Absent when it is in a cookie." }),
    refreshExpiresAt: time,
    sessionId: z.string(),
    account,
  })
  .meta({ id: "Session" });

// ---- events

const venue = z
  .object({ name: z.string(), city: z.string(), country: z.string(), timeZone: z.string() })
  .meta({ id: "Venue" });
const tier = z.object({ id: z.string(), name: z.string(), amount }).meta({ id: "PriceTier" });
const orphanRule = z.enum(["strict", "lenient", "off"]).meta({
  description:
    "What best-available does about a single free seat left between taken ones: never leave one where others will do, rather not, or pay no heed.",
});
export const eventFields = {
  eventId: z.string(),
  name: z.string(),
  description: z.string(),
  venue,
  status: z.enum(["draft", "published", "cancelled"]),
  startsAt: time,
  onSaleAt: time,
  offSaleAt: time.meta({ description: "The sale ends; the event's start, if the organiser gave none." }),
  currency,
  seatsPerPerson: z.int(),
  tiers: z.array(tier),
  capacity: z.int().meta({ description: "Places in all, blocked ones included." }),
  layoutVersion: z.string(),
  orphanRule,
  accessibleUntil: time.meta({
    description: "Until then accessible and companion seats are only for who asks for them.",
  }),
  refundableUntil: time
    .optional()
    .meta({ description: "Until then buyers may give their orders back by themselves; absent: they may not." }),
};
export const event = z.object(eventFields).meta({ id: "Event" });
export const eventPage = z.object({ events: z.array(event), nextCursor }).meta({ id: "EventPage" });
export const eventWithSections = z
  .object({
    ...eventFields,
    sections: z.array(
      z.object({
        id: z.string(),
        name: z.string(),
        tier: z.string(),
        capacity: z.int(),
        generalAdmission: z.boolean(),
      }),
    ),
  })
  .meta({ id: "EventWithSections" });
const eventSorts = ["date", "price", "name"] as const;
const priceIn = (least: number) =>
  z
    .string()
    .regex(/^\d{1,12}$/, "must be a whole number in the currency's minor unit, as 4950 for 49.50 EUR")
    .transform(Number)
    .pipe(z.int().min(least, `must be at least ${least}`))
    .meta({ type: "integer", minimum: least, maximum: mostInAny, example: 4950 });
const eventSearchFields = {
  q: line(200)
    .optional()
    .meta({ description: "Words in the name, the venue or the city; case and accents do not matter." }),
  city: line(100).optional(),
  from: dayOrTime("first")
    .optional()
    .meta({ description: "Starts at this time or later; a day means its first moment in UTC." }),
  to: dayOrTime("last")
    .optional()
    .meta({ description: "Starts at this time or earlier; a day means its last moment in UTC." }),
  currency: currencyIn.optional().meta({
    description: "Events sold in this currency. Needed with a price: amounts of two currencies can't be compared.",
    example: "EUR",
  }),
  priceFrom: priceIn(0)
    .optional()
    .meta({ description: "In the currency's minor unit. An event fits when one of its tiers costs so much or more." }),
  priceTo: priceIn(1).optional().meta({
    description:
      "In the currency's minor unit. An event fits when one of its tiers costs so much or less; with priceFrom, when one lies between them.",
  }),
  sort: z
    .enum(eventSorts, `must be one of ${eventSorts.join(", ")}`)
    .default("date")
    .meta({
      description:
        "date: by start time. price: by the cheapest tier; of several currencies, one after the other. name: without regard to case and accents. Events that are equal in it come by their ids.",
    }),
  cursor: cursor.optional().meta({ description: "The nextCursor of the page before, in the same search and order." }),
  limit: limit(100, 20),
};
export const eventSearch = z
  .strictObject(eventSearchFields)
  .superRefine(({ currency, priceFrom, priceTo }, context) => {
    const say = (parameter: string, message: string) =>
      void context.addIssue({ code: "custom", path: [parameter], message });
    if ((priceFrom !== undefined || priceTo !== undefined) && currency === undefined)
      say("currency", "must be given with a price, since amounts of two currencies can't be compared");
    const most = currencies.get(currency ?? "")?.most ?? mostInAny;
    for (const [name, price] of [
      ["priceFrom", priceFrom],
      ["priceTo", priceTo],
    ] as const)
      if (price !== undefined && price > most)
        say(name, `must be at most ${most}: no seat can cost more in that currency`);
    if (priceFrom !== undefined && priceTo !== undefined && priceFrom > priceTo)
      say("priceTo", "must not be less than priceFrom");
  });
const facet = z.object({ value: z.string(), events: z.int().meta({ description: "Published events that have it." }) });
export const eventFacets = z
  .object({ cities: z.array(facet), currencies: z.array(facet) })
  .meta({ id: "EventFacets", description: "Those with the most events first." });
export const availability = z
  .object({
    sections: z.array(z.object({ section: z.string(), free: z.int(), held: z.int(), sold: z.int(), blocked: z.int() })),
    totals: z.object({ free: z.int(), held: z.int(), sold: z.int(), blocked: z.int() }),
    asOf: time,
  })
  .meta({ id: "Availability" });
export const layoutQuery = z.strictObject({
  version: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,100}$/, "must be an event's layoutVersion")
    .optional()
    .meta({ description: "The event's layoutVersion, for an answer that may be kept for ever." }),
});
const ownSeat = {
  seat: z.string().meta({ example: "A-C-12" }),
  section: z.string(),
  row: z.string().optional().meta({ description: "Absent in general admission." }),
  number: z.string(),
};
export const ownSeats = z
  .object({
    held: z.array(z.object({ ...ownSeat, heldUntil: time.meta({ description: "When the time to pay for it ends." }) })),
    owned: z.array(z.object({ ...ownSeat, checkoutId: z.string().optional() })),
    asOf: time,
  })
  .meta({ id: "OwnSeats" });
export const layout = z
  .object({
    eventId: z.string(),
    layoutVersion: z.string(),
    seatCount: z.int().meta({
      description: "Seats in the layout order, so in /seats/state; places of general admission are not in it.",
    }),
    sections: z.array(
      z.object({
        id: z.string(),
        name: z.string(),
        tier: z.string(),
        capacity: z.int(),
        generalAdmission: z.boolean(),
        focalPoint: z
          .object({ row: z.string(), seat: z.int() })
          .optional()
          .meta({ description: "Where the best seats are counted from; if absent, the middle of the first row." }),
        rows: z.array(
          z.object({
            label: z.string(),
            first: z.int().meta({ description: "Number of the first position; they count up by one." }),
            count: z.int().meta({ description: "Positions, gaps included." }),
            gaps: z.array(z.int()).optional().meta({ description: "Numbers without a seat." }),
            blocked: z.array(z.int()).optional().meta({ description: "Numbers of seats that are not for sale." }),
            accessible: z.array(z.int()).optional().meta({ description: "Seats with room for a wheelchair." }),
            companion: z.array(z.int()).optional().meta({ description: "Seats for who comes with them." }),
          }),
        ),
      }),
    ),
  })
  .meta({ id: "Layout" });

// ---- organisers

export const mostSeats = 60_000;
const rowLabel = z
  .string()
  .regex(/^[A-Z0-9]{1,4}$/, "must be 1 to 4 of A-Z and 0-9")
  .meta({ example: "C" });
const seatNumber = z.int().min(1).max(9_999);
const row = z.strictObject({
  label: rowLabel,
  seats: z.int().min(1).max(2000).meta({ description: "Positions, gaps included." }),
  first: seatNumber.optional().meta({ description: "Number of the first position; 1 by default." }),
  gaps: z.array(seatNumber).max(2000).optional(),
  blocked: z.array(seatNumber).max(2000).optional(),
  accessible: z.array(seatNumber).max(2000).optional().meta({
    description: "Seats with room for a wheelchair: for who asks for them, until the event's accessibleUntil.",
  }),
  companion: z.array(seatNumber).max(2000).optional().meta({ description: "Seats for who comes with them." }),
});
const namedInRows = z
  .array(z.string().regex(/^[A-Z]{1,4}-[1-9]\d{0,3}$/, "must be a row and a number, as C-12"))
  .max(mostSeats)
  .optional();
const rowBlock = z.strictObject({
  count: z.int().min(1).max(1000).meta({ description: "So many rows, labelled A to Z, AA, AB, …" }),
  seats: z.int().min(1).max(2000).meta({ description: "Positions in each row, gaps included." }),
  first: seatNumber.optional(),
  gaps: z.array(seatNumber).max(2000).optional().meta({ description: "Numbers without a seat, in every row." }),
  blocked: namedInRows.meta({ description: "Seats that are not for sale, as row-number.", example: ["A-1", "A-2"] }),
  accessible: namedInRows.meta({ description: "Seats with room for a wheelchair.", example: ["C-1"] }),
  companion: namedInRows.meta({ description: "Seats for who comes with them.", example: ["C-2"] }),
});
const sectionHead = { id: sectionId, name: line(100), tier: tierId };
const focalPoint = z
  .strictObject({ row: rowLabel, seat: seatNumber })
  .optional()
  .meta({ description: "Where the best seats are counted from; the middle of the first row, if left out." });
export const newSection = z.union([
  z.strictObject({ ...sectionHead, focalPoint, rows: z.array(row).min(1).max(1000) }).meta({ id: "NewSectionOfRows" }),
  z.strictObject({ ...sectionHead, focalPoint, rows: rowBlock }).meta({ id: "NewSectionOfEqualRows" }),
  z
    .strictObject({ ...sectionHead, capacity: z.int().min(1).max(mostSeats) })
    .meta({ id: "NewGeneralAdmissionSection" }),
]);
export const defaultSeatsPerPerson = 8;
const newPrice = z.int().min(1).max(mostInAny).meta({
  description:
    "Of one seat, in the currency's minor unit as Stripe counts it: ISK and UGX in hundredths that are multiples of 100, BHD, JOD, KWD, OMR and TND in thousandths that are multiples of 10. One seat must be worth a charge at Stripe (0.50 EUR, 50 JPY), and seatsPerPerson of them may cost no more than one (999,999.99 EUR; IDR, INR and COP more). Elsewhere than in Stripe's own list the least is about a dollar.",
  example: 4950,
});
export const newEvent = z
  .strictObject({
    name: line(200),
    description: z
      .string()
      .max(5000, "may have at most 5000 characters")
      .regex(noControlsButLines, "must not have control characters but line breaks")
      .meta({ pattern: noControlsButLines.source })
      .optional(),
    venue: z.strictObject({
      name: line(200),
      city: line(100),
      country: z.string().regex(/^[A-Z]{2}$/, "must be a country's two capital letters, as DE"),
      timeZone: timeZoneIn,
    }),
    startsAt: timeIn,
    onSaleAt: timeIn,
    offSaleAt: timeIn.optional().meta({ description: "The event's start, if left out." }),
    currency: currencyIn,
    seatsPerPerson: z
      .int()
      .min(1)
      .max(50)
      .optional()
      .meta({
        description: `${defaultSeatsPerPerson} by default.`,
        default: defaultSeatsPerPerson,
      }),
    orphanRule: orphanRule.optional().meta({ description: "lenient by default.", default: "lenient" }),
    accessibleUntil: timeIn.optional().meta({ description: "The event's start, if left out." }),
    refundableUntil: timeIn.optional().meta({
      description: "Until then buyers may give their orders back by themselves; never, if left out.",
    }),
    tiers: z
      .array(z.strictObject({ id: tierId, name: line(100), amount: newPrice }))
      .min(1)
      .max(50),
    sections: z.array(newSection).min(1).max(500),
  })
  .superRefine(({ currency: code, tiers, seatsPerPerson = defaultSeatsPerPerson }, context) => {
    const charged = currencies.get(code);
    if (!charged) return;
    for (const [at, { amount: price }] of tiers.entries()) {
      // Of what is no amount at all it is said already.
      const fault = price < 1 || price > mostInAny ? undefined : priceFault(price, seatsPerPerson, charged);
      if (fault)
        context.addIssue({ code: "custom", path: ["tiers", at, "amount"], message: tellPriceFault(fault, code) });
    }
  })
  .meta({ id: "NewEvent" });

// ---- checkouts

export const mostSeatsInCheckout = 50;
const codeForm = /^[^\p{Cc}\p{Cs}]*$/u;
const codeIn = z
  .string()
  .min(1, "must not be empty")
  .max(100, "may have at most 100 characters")
  .regex(codeForm, "must not have control characters")
  .meta({ pattern: codeForm.source, format: "password" });
const accessCode = codeIn
  .optional()
  .meta({ description: "Opens the seats of a channel. Case and surrounding spaces do not matter." });
const layoutVersion = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, "must be a layout's version")
  .optional()
  .meta({
    description:
      "Of the layout that you chose from: if the event has another one by now, nothing is held (LAYOUT_CHANGED).",
  });
const seatsWanted = z
  .int()
  .min(1, "at least one seat")
  .max(mostSeatsInCheckout, `at most ${mostSeatsInCheckout} seats in one checkout`);
const seatChoice = z
  .strictObject({
    eventId: idParam,
    layoutVersion,
    seats: z
      .array(seatId)
      .min(1, "name at least one seat")
      .max(mostSeatsInCheckout, `at most ${mostSeatsInCheckout} seats in one checkout`)
      .refine((list) => new Set(list).size === list.length, "a seat is named twice"),
    accessible: z.boolean().optional().meta({
      description:
        "True: some of them are for a person who needs an accessible seat, and for who comes with them. Only so may accessible and companion seats be among them until the event's accessibleUntil.",
    }),
    accessCode,
  })
  .meta({ id: "SeatChoice" });
const quantityChoice = z
  .strictObject({
    eventId: idParam,
    layoutVersion,
    section: sectionId,
    quantity: seatsWanted,
    accessCode,
  })
  .meta({ id: "QuantityChoice", description: "Places of general admission, or the best adjacent seats of a section." });
const price = z.int().min(0).max(mostInAny);
const bestAvailable = z
  .strictObject({
    quantity: seatsWanted,
    sections: z
      .array(sectionId)
      .min(1, "name at least one section, or leave them out")
      .max(500)
      .refine((list) => new Set(list).size === list.length, "a section is named twice")
      .optional()
      .meta({ description: "Only from these; they must have rows. Any section with rows, if left out." }),
    minAmount: price.optional().meta({ description: "Of one seat, in the currency's minor unit.", example: 3000 }),
    maxAmount: price.optional().meta({ description: "Of one seat, in the currency's minor unit.", example: 9000 }),
    accessible: z
      .int()
      .min(0)
      .max(mostSeatsInCheckout)
      .optional()
      .meta({ description: "So many of the quantity are accessible seats." }),
    companions: z
      .int()
      .min(0)
      .max(mostSeatsInCheckout)
      .optional()
      .meta({ description: "So many of the quantity are beside them for who comes along: at most three for each." }),
    split: z
      .boolean()
      .optional()
      .meta({ description: "True: groups apart from each other will do, when so many are not free side by side." }),
  })
  .refine(({ minAmount = 0, maxAmount }) => maxAmount === undefined || minAmount <= maxAmount, {
    message: "must not be below minAmount",
    path: ["maxAmount"],
  })
  .refine(({ quantity, accessible = 0, companions = 0 }) => accessible + companions <= quantity, {
    message: "accessible and companions together must not be more than the quantity, which counts them too",
    path: ["accessible"],
  })
  .refine(({ accessible = 0, companions = 0 }) => companions <= 3 * accessible, {
    message: "must be at most three for each accessible seat",
    path: ["companions"],
  })
  .meta({ id: "BestAvailable" });
const bestChoice = z.strictObject({ eventId: idParam, layoutVersion, bestAvailable, accessCode }).meta({
  id: "BestChoice",
  description:
    "Seats side by side in one row, near the focal point of their section, leaving no single seat between taken ones where that can be.",
});
export const newCheckout = z.union([seatChoice, quantityChoice, bestChoice]).meta({ id: "NewCheckout" });
export type NewCheckout = z.infer<typeof newCheckout>;

const soldSeat = z.object({
  seatId: z.string(),
  section: z.string(),
  row: z.string().meta({ description: "Empty in general admission." }),
  number: z.string(),
  tier: z.string(),
  amount,
});
const checkoutFields = {
  checkoutId: z.string(),
  eventId: z.string(),
  deadline: time.optional().meta({ description: "Pay before this time." }),
  seats: z.array(soldSeat),
  amount,
  currency,
  decline: z
    .object({ code: z.string(), message: z.string() })
    .optional()
    .meta({ description: "Why the last payment was declined. While the checkout is held you may try again." }),
  actionUrl: z
    .string()
    .optional()
    .meta({ description: "With status requires_action: send the buyer here to approve the payment." }),
  reason: z.string().optional().meta({ description: "Why it ended without tickets." }),
  tickets: z.array(z.string()).meta({ description: "Ticket ids, once completed." }),
};
const checkoutStatus = z.enum(["held", "paying", "requires_action", "completed", "expired", "cancelled", "refunded"]);
export const checkout = z.object({ status: checkoutStatus, ...checkoutFields }).meta({ id: "Checkout" });
export const paidCheckout = z
  .object({
    status: z.enum([...checkoutStatus.options, "declined"]).meta({
      description: "declined: not charged, still held until the deadline, try again with a new Idempotency-Key.",
    }),
    ...checkoutFields,
  })
  .meta({ id: "PaidCheckout" });
export const newPayment = z
  .strictObject({
    paymentMethodId: z
      .string()
      .regex(/^pm_[A-Za-z0-9_]{1,250}$/, "must be a Stripe payment method, pm_…; never a card number")
      .meta({ example: "pm_card_visa" }),
  })
  .meta({ id: "NewPayment" });

// ---- channels and blocks

const noRepeats = (list: readonly string[]) => new Set(list).size === list.length;
export const channelParams = z.strictObject({ eventId: idParam, channelId: idParam });
export const mostCodes = 10_000;
export const newChannel = z
  .strictObject({
    name: line(100).meta({ example: "Fan club" }),
    codes: z
      .array(codeIn)
      .min(1)
      .max(mostCodes)
      .meta({ description: "4 to 64 characters each. Kept as keyed hashes only: they are never shown again." }),
    opensAt: timeIn.meta({ description: "May lie before the event's onSaleAt." }),
    closesAt: timeIn.meta({ description: "What is left then goes back to the general sale." }),
    seatsPerPerson: z.int().min(1).max(100).optional().meta({
      description:
        "With a code of this channel a person can't come above so many seats of the event; the event's limit, if left out.",
    }),
    seatsPerCode: z
      .int()
      .min(1)
      .max(mostSeats)
      .optional()
      .meta({ description: "Seats by one code, all people and checkouts together; no limit, if left out." }),
    seats: z.array(seatId).min(1).max(mostSeats).refine(noRepeats, "a seat is named twice").optional(),
    generalAdmission: z
      .array(z.strictObject({ section: sectionId, quantity: z.int().min(1).max(mostSeats) }))
      .min(1)
      .max(500)
      .optional(),
  })
  .meta({ id: "NewChannel" });
const channelFields = {
  channelId: z.string(),
  name: z.string(),
  opensAt: time,
  closesAt: time,
  status: z.enum(["upcoming", "open", "ended"]),
  seatsPerPerson: z.int().optional(),
  seatsPerCode: z.int().optional(),
};
export const channel = z
  .object({
    ...channelFields,
    codes: z.int().meta({ description: "How many." }),
    seats: z.array(z.string()),
    generalAdmission: z.array(z.object({ section: z.string(), quantity: z.int() })),
  })
  .meta({ id: "Channel" });
export const putChannel = z
  .object({
    channel,
    notFree: z.array(z.string()).meta({
      description:
        "Its seats that a buyer holds or owns, or that are blocked. They stay so, and are the channel's when they come back.",
    }),
  })
  .meta({ id: "StoredChannel" });
export const channelList = z.object({ channels: z.array(channel) }).meta({ id: "ChannelList" });
export const codeTry = z.strictObject({ code: codeIn }).meta({ id: "AccessCode" });
export const openedChannel = z
  .object({
    ...channelFields,
    seats: z
      .object({
        free: z.array(z.string()),
        held: z.array(z.string()),
        sold: z.array(z.string()),
        blocked: z.array(z.string()),
      })
      .meta({ description: "The seats that the code opens, by their state. None once the channel has ended." }),
    generalAdmission: z.array(
      z.object({ section: z.string(), free: z.int(), held: z.int(), sold: z.int(), blocked: z.int() }),
    ),
    asOf: time,
  })
  .meta({ id: "OpenedChannel" });

const mostSeatsInBlock = 5_000;
const blockSeats = z.array(seatId).min(1).max(mostSeatsInBlock).refine(noRepeats, "a seat is named twice");
export const newBlock = z
  .strictObject({ seats: blockSeats, reason: line(200).meta({ example: "Camera position" }) })
  .meta({ id: "NewBlock" });
export const block = z
  .object({
    blockId: z.string(),
    seats: z.array(z.string()).meta({ description: "Those that are still blocked." }),
    reason: z.string(),
    accountId: z.string().meta({ description: "Who blocked them." }),
    blockedAt: time,
  })
  .meta({ id: "Block" });
export const blockList = z
  .object({
    blocks: z.array(block),
    byLayout: z.array(z.string()).meta({ description: "Seats that the layout blocks." }),
  })
  .meta({ id: "BlockList" });
export const unblock = z.strictObject({ seats: blockSeats }).meta({ id: "Unblock" });
export const unblocked = z
  .object({ seats: z.array(z.string()).meta({ description: "Those that were blocked until now." }) })
  .meta({ id: "Unblocked" });

// ---- orders and tickets

export const ticketEvent = z.object({
  eventId: z.string(),
  name: z.string(),
  startsAt: time,
  venue: z.string(),
  city: z.string(),
  timeZone: z.string(),
});
const orderSeat = soldSeat
  .extend({
    left: amount.meta({
      description: "What its buyer gets by giving it back: what was paid for it, less what went back.",
    }),
  })
  .meta({ id: "OrderSeat" });
export const refundKinds = ["return", "goodwill", "void", "outside", "dispute"] as const;
export const refundStates = ["pending", "paid", "failed", "replaced", "closed"] as const;
export const orderRefund = z
  .object({
    refundId: z.string(),
    kind: z.enum(refundKinds).meta({
      description:
        "return: seats and their money. goodwill: money, and the tickets stay. void: tickets, and the money stays. outside: money given back at Stripe itself. dispute: money that the buyer's bank took back.",
    }),
    state: z.enum(refundStates).meta({
      description:
        "failed: the bank sent the money back, so it is owed to the buyer. replaced: it had failed and is paid by another. closed: it had failed and was paid another way.",
    }),
    amount,
    seats: z.array(z.string()).meta({ description: "Whose tickets are void by it." }),
    money: z
      .array(z.object({ seat: z.string(), amount }))
      .meta({ description: "Whose money it is; adds up to the amount." }),
    requestedAt: time,
    at: time.meta({ description: "Since when it is in its state." }),
    by: z
      .enum(["buyer", "organiser", "operator", "stripe", "event cancelled"])
      .optional()
      .meta({ description: "Absent: from before it was written down." }),
    reason: z.string().optional().meta({ description: "In the words of whoever asked; for organisers and operators." }),
    failureReason: z.string().optional().meta({ description: "Stripe's word for why it failed." }),
    replacedBy: z.string().optional(),
    closedReason: z.string().optional().meta({ description: "How it was paid; for organisers and operators." }),
  })
  .meta({ id: "OrderRefund" });
export const orderDispute = z
  .object({
    disputeId: z.string(),
    amount,
    reason: z.string().meta({ description: "Stripe's word." }),
    status: z.string().meta({ description: "Stripe's word: needs_response, under_review, won, lost, …" }),
    createdAt: time,
    evidenceDueAt: time.optional().meta({ description: "Until when the bank takes an answer." }),
    answeredAt: time.optional().meta({ description: "When an answer was sent to the bank from here." }),
  })
  .meta({ id: "OrderDispute" });
export const orderFields = {
  checkoutId: z.string(),
  event: ticketEvent,
  seats: z.array(orderSeat),
  amount,
  amountRefunded: amount.meta({ description: "Went back, by Stripe or another way." }),
  amountFailed: amount.meta({ description: "Owed to the buyer: the bank sent it back." }),
  currency,
  status: z.enum(["completed", "partially_refunded", "refunded", "voided"]).meta({
    description:
      "By money first: refunded means that all of it went back, whatever became of the tickets. voided: no ticket is valid, and no money went back.",
  }),
  createdAt: time,
  tickets: z.array(z.string()),
  refundable: z.boolean().meta({ description: "Its buyer may give it back now, by POST …/refund." }),
  refundedSeats: z.array(z.string()).meta({ description: "Ids of the seats whose tickets are void." }),
  refunds: z.array(orderRefund).meta({ description: "All, oldest first." }),
  disputes: z.array(orderDispute),
};
export const order = z.object(orderFields).meta({ id: "Order" });
export const orderPage = z.object({ orders: z.array(order), nextCursor }).meta({ id: "OrderPage" });
export const ticket = z
  .object({
    ticketId: z.string(),
    checkoutId: z.string(),
    event: ticketEvent,
    seat: soldSeat,
    currency,
    status: z.enum(["valid", "void"]),
    issuedAt: time,
    voidedAt: time.optional(),
    token: z.string().optional().meta({ description: "While valid: a compact JWS (EdDSA), what the QR code carries." }),
    qrSvg: z.string().optional().meta({ description: "While valid, and only for a single ticket: an SVG image." }),
    disputed: z
      .boolean()
      .meta({ description: "Its payment is disputed at the buyer's bank, and that is not decided." }),
  })
  .meta({ id: "Ticket" });
export const ticketPage = z.object({ tickets: z.array(ticket), nextCursor }).meta({ id: "TicketPage" });
export const page = z.strictObject({ cursor: cursor.optional(), limit: limit(100, 20) });
export const newRefund = z
  .strictObject({
    seats: z
      .array(seatId)
      .min(1)
      .max(mostSeatsInCheckout)
      .refine((list) => new Set(list).size === list.length, "a seat is named twice")
      .optional()
      .meta({
        description:
          "return and void: the seats; all whose tickets are valid, if left out. goodwill: whose money it is; of all by what is left, if left out.",
      }),
    amount: z.int().min(1).optional().meta({
      description:
        "Minor units; if left out, all that is left of the seats' money. goodwill needs one, void has none, a return only together with seats.",
    }),
    kind: z.enum(["return", "goodwill", "void"]).optional().meta({
      description:
        "return, if left out: seats and their money. goodwill: money, and the tickets stay. void: tickets, and the money stays. Buyers return only.",
    }),
    reason: line(500).optional().meta({ description: "Why; goodwill and void need one." }),
    insteadOf: line(200).optional().meta({
      description:
        "The id of a refund that failed: its money is asked for again. Then nothing but a reason may be said.",
    }),
  })
  .meta({ id: "NewRefund" });
export const refund = z
  .object({
    refundId: z.string(),
    checkoutId: z.string(),
    status: z.enum(["refunded", "pending", "failed"]).meta({
      description: "failed: the bank did not take the money. It is owed to the buyer, and a person has to see to it.",
    }),
    amount: amount.optional(),
    seats: z.array(z.string()).optional(),
  })
  .meta({ id: "Refund" });

export const refundParams = z.strictObject({ checkoutId: idParam, refundId: idParam });
export const disputeParams = z.strictObject({ checkoutId: idParam, disputeId: idParam });
export const refundClosure = z
  .strictObject({ reason: line(500).meta({ description: "How the buyer got the money." }) })
  .meta({ id: "RefundClosure" });

export const keySet = z
  .object({ keys: z.array(z.looseObject({})) })
  .meta({ id: "KeySet", description: "JWKS (RFC 7517)." });
export const webhookReceipt = z.object({ received: z.literal(true) }).meta({ id: "WebhookReceipt" });
