// Money: an integer number of the currency's minor unit, and the currency with it.

export interface Money {
  /** In minor units: 4950 is 49.50 EUR, 4950 JPY is 4950 yen. */
  readonly amount: number;
  /** ISO 4217, upper case. */
  readonly currency: string;
}

export function addAmounts(amounts: readonly number[]): number {
  const sum = amounts.reduce((total, amount) => total + amount, 0);
  if (!Number.isSafeInteger(sum)) throw new RangeError("an amount of money is not a safe integer");
  return sum;
}

/** "EUR 49.50": for people who operate, in the log-like places; shops format with Intl in the buyer's language. */
export function formatMoney({ amount, currency }: Money): string {
  const digits = minorDigits(currency);
  return `${currency} ${(amount / 10 ** digits).toFixed(digits)}`;
}

/** A formatter takes longer to make than all the rest of a checkout's text. There are some 200 currencies. */
const digitsOf = new Map<string, number>();
function minorDigits(currency: string): number {
  const known = digitsOf.get(currency);
  if (known !== undefined) return known;
  const { maximumFractionDigits = 2 } = new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions();
  digitsOf.set(currency, maximumFractionDigits);
  return maximumFractionDigits;
}
