// The currencies that can be charged: their digits, and what Stripe takes in one charge. Ours, since every ICU has other digits.
//
// Sources: ISO 4217 (list one), and docs.stripe.com/currencies: "Supported presentment currencies", "Zero-decimal currencies",
// "Three-decimal currencies", "Special cases", "Minimum and maximum charge amounts". A currency that either of them lacks is not
// here: BGN and ANG, say, are withdrawn, and CUP is not at Stripe.

export interface Currency {
  /** ISO 4217, upper case. */
  readonly code: string;
  /** Digits after the point, as people write prices. */
  readonly decimals: number;
  /** One unit is 10 ** exponent of the minor units that amounts are counted in. They are Stripe's: amounts go there as they are. */
  readonly exponent: number;
  /** What can be charged is a multiple of this, in minor units. */
  readonly step: number;
  /** The least that one charge may be, in minor units. */
  readonly least: number;
  /** The most that one charge may be, in minor units. */
  readonly most: number;
}

/** Stripe's minimum in each, in units. An account that is paid out in another currency may need a little more: 50 yen are 0.33 dollars. */
const stripesLeast: Readonly<Record<string, number>> = {
  ...{ AED: 2, AUD: 0.5, CAD: 0.5, CHF: 0.5, CZK: 15, DKK: 2.5, EUR: 0.5, GBP: 0.3, HKD: 4, HUF: 175, JPY: 50 },
  ...{ MXN: 10, MYR: 2, NOK: 3, NZD: 0.5, PLN: 2, RON: 2, SEK: 3, SGD: 0.5, THB: 10, USD: 0.5 },
};

/**
 * Elsewhere Stripe asks for the worth of the minimum in whatever currency the account is paid out in, at the day's rate. We know
 * neither, so these are above it for every account and for a good while: about a dollar at the end of 2025, rounded up to 1, 2 or 5
 * with zeros, where the highest minimum (15 CZK) is worth 0.72. Where Stripe names a minimum of small worth (0.50 in ARS, BRL, COP,
 * IDR, ILS, INR, PHP, RUB and ZAR, 50 in KRW), that one holds for few accounts or none, so these hold too.
 */
const aboutOneDollar: Readonly<Record<string, number>> = {
  ...{ AFN: 100, ALL: 100, AMD: 500, AOA: 1_000, ARS: 2_000, AWG: 2, AZN: 2, BAM: 2, BBD: 2, BDT: 200, BHD: 0.5 },
  ...{ BIF: 5_000, BMD: 1, BND: 2, BOB: 10, BRL: 5, BSD: 1, BWP: 20, BYN: 5, BZD: 2, CDF: 5_000, CLP: 1_000, CNY: 10 },
  ...{ COP: 5_000, CRC: 1_000, CVE: 100, DJF: 200, DOP: 100, DZD: 200, EGP: 50, ETB: 200, FJD: 5, FKP: 1, GEL: 5 },
  ...{ GIP: 1, GMD: 100, GNF: 10_000, GTQ: 10, GYD: 500, HNL: 50, HTG: 200, IDR: 20_000, ILS: 5, INR: 100, ISK: 200 },
  ...{ JMD: 200, JOD: 1, KES: 200, KGS: 100, KHR: 5_000, KMF: 500, KRW: 2_000, KWD: 0.5, KYD: 1, KZT: 1_000 },
  ...{ LAK: 50_000, LBP: 100_000, LKR: 500, LRD: 200, LSL: 20, MAD: 10, MDL: 20, MGA: 5_000, MKD: 100, MMK: 5_000 },
  ...{ MNT: 5_000, MOP: 10, MUR: 50, MVR: 20, MWK: 2_000, MZN: 100, NAD: 20, NGN: 2_000, NIO: 50, NPR: 200, OMR: 0.5 },
  ...{ PAB: 1, PEN: 5, PGK: 5, PHP: 100, PKR: 500, PYG: 10_000, QAR: 5, RSD: 200, RUB: 100, RWF: 2_000, SAR: 5 },
  ...{ SBD: 10, SCR: 20, SHP: 1, SLE: 50, SOS: 1_000, SRD: 50, SZL: 20, TJS: 10, TND: 5, TOP: 5, TRY: 50, TTD: 10 },
  ...{ TWD: 50, TZS: 5_000, UAH: 50, UGX: 5_000, UYU: 50, UZS: 20_000, VND: 50_000, VUV: 200, WST: 5, XAF: 1_000 },
  ...{ XCD: 5, XOF: 1_000, XPF: 200, YER: 500, ZAR: 20, ZMW: 50 },
};

/** MGA is one for Stripe, though ISO 4217 gives it two digits: its fifths are of no use to a card. */
const zeroDecimal = new Set("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split(" "));
/** Counted in thousandths, of which the last digit must be 0. */
const threeDecimal = new Set("BHD JOD KWD OMR TND".split(" "));
/**
 * Without decimals, but with two for Stripe, which must be 00. HUF and TWD, its other special cases, are so for payouts only: charges
 * of them have two decimals like all the rest.
 */
const wholeInHundredths = new Set(["ISK", "UGX"]);

/**
 * Eight digits, but for these: what that page allows whatever the payment method. With most cards it allows twelve, with American
 * Express nine, which an order of more than that in IDR or COP can't be paid by.
 */
const mostDigits = 8;
const moreDigits: Readonly<Record<string, number>> = { COP: 10, IDR: 12, INR: 9 };

function currencyFrom([code, leastUnits]: [code: string, leastUnits: number]): [string, Currency] {
  const exponent = zeroDecimal.has(code) ? 0 : threeDecimal.has(code) ? 3 : 2;
  const decimals = wholeInHundredths.has(code) ? 0 : exponent;
  const step = wholeInHundredths.has(code) ? 100 : threeDecimal.has(code) ? 10 : 1;
  const most = 10 ** (moreDigits[code] ?? mostDigits) - 1;
  const least = Math.round(leastUnits * 10 ** exponent);
  return [code, { code, decimals, exponent, step, least, most: most - (most % step) }];
}

/** By their codes, in their order. */
export const currencies: ReadonlyMap<string, Currency> = new Map(
  Object.entries({ ...stripesLeast, ...aboutOneDollar })
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(currencyFrom),
);

/** The most that a charge may be in any currency. */
export const mostInAny = Math.max(...[...currencies.values()].map(({ most }) => most));

/** How a currency is counted and written; two decimals for one that can't be charged (any more), so that old amounts can be read. */
export function digitsOf(code: string): Pick<Currency, "decimals" | "exponent"> {
  return currencies.get(code) ?? { decimals: 2, exponent: 2 };
}

/** Minor units in one unit: 100 for euros, 1 for yen, 100 for krónur too. */
export const minorPerUnit = (code: string): number => 10 ** digitsOf(code).exponent;

/** Digits to write an amount with. Those of the currency; if the amount has a fraction that they would hide, as many as it takes. */
export function digitsToShow(amount: number, code: string): number {
  const { decimals, exponent } = digitsOf(code);
  return amount % 10 ** (exponent - decimals) === 0 ? decimals : exponent;
}

/** Why an amount can't be charged. */
export type ChargeFault =
  | { readonly reason: "uneven"; readonly step: number }
  | { readonly reason: "too small"; readonly least: number }
  | { readonly reason: "too large"; readonly most: number };

export function chargeFault(amount: number, { step, least, most }: Currency): ChargeFault | undefined {
  if (!Number.isSafeInteger(amount) || amount % step !== 0) return { reason: "uneven", step };
  if (amount < least) return { reason: "too small", least };
  return amount > most ? { reason: "too large", most } : undefined;
}

/** Why a price can't be: one piece must be worth a charge, and so many in one basket no more than a charge. */
export function priceFault(
  price: number,
  mostPieces: number,
  currency: Currency,
): ChargeFault | { readonly reason: "basket too large"; readonly pieces: number; readonly most: number } | undefined {
  const { most } = currency;
  const fault = chargeFault(price, currency);
  if (fault || price * mostPieces <= most) return fault;
  return { reason: "basket too large", pieces: mostPieces, most };
}

export type PriceFault = NonNullable<ReturnType<typeof priceFault>>;
