// Money: an integer number of the currency's minor unit, and the currency with it; as text for operators, and from typed text.
import { digitsOf, digitsToShow, type PriceFault } from "./currencies.js";

export interface Money {
  /** In minor units, which are Stripe's: 4950 is 49.50 EUR, 4950 JPY is 4950 yen, and 990000 ISK is 9900 krónur. */
  readonly amount: number;
  /** ISO 4217, upper case. */
  readonly currency: string;
}

export function addAmounts(amounts: readonly number[]): number {
  const sum = amounts.reduce((total, amount) => total + amount, 0);
  if (!Number.isSafeInteger(sum)) throw new RangeError("an amount of money is not a safe integer");
  return sum;
}

/** "EUR 1,249.50": for people who operate, in the log-like places; shops format with Intl in the buyer's language. */
export function formatMoney({ amount, currency }: Money): string {
  return `${currency} ${writeAmount(amount, currency).replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, ",")}`;
}

/** "1249.50": as it can be typed. */
export function writeAmount(amount: number, currency: string): string {
  return (amount / 10 ** digitsOf(currency).exponent).toFixed(digitsToShow(amount, currency));
}

/** "49.50" or "49,50" in minor units; undefined: not a number, or with more decimals than the currency has. */
export function readAmount(text: string, currency: string): number | undefined {
  const [, whole, fraction = ""] = /^(\d{1,12})(?:[.,](\d{1,3}))?$/.exec(text.trim()) ?? [];
  const { decimals, exponent } = digitsOf(currency);
  if (whole === undefined || fraction.length > decimals) return undefined;
  const amount = Number(`${whole}${fraction.padEnd(exponent, "0")}`);
  return Number.isSafeInteger(amount) ? amount : undefined;
}

/** What is said of a price that can't be: "is less than EUR 0.50, ...". */
export function tellPriceFault(fault: PriceFault, currency: string): string {
  const show = (amount: number) => formatMoney({ amount, currency });
  switch (fault.reason) {
    case "uneven":
      return `must be a multiple of ${fault.step}, which is ${show(fault.step)}: smaller parts can't be charged`;
    case "too small":
      return `is less than ${show(fault.least)} (${fault.least} in minor units), below which nothing can be charged`;
    case "too large":
      return `is more than ${show(fault.most)} (${fault.most} in minor units), the most that one charge can be`;
    case "basket too large":
      return `is too much: ${fault.pieces} of them would cost more than ${show(fault.most)}, the most that one charge can be`;
  }
}
