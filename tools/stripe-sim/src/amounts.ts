// Amounts that can be charged: the currencies, and what Stripe takes in each. Both are in kit's table, with its sources.
import { type Currency, chargeFault, currencies, digitsToShow, minorPerUnit } from "@onsale/kit/currencies";
import { invalidRequest } from "./failures.js";
import { type Reader, text } from "./params.js";

/** Stripe writes them in lower case, here and in its answers. */
const currencyOf = (code: string): Currency | undefined => currencies.get(code.toUpperCase());

export const currency: Reader<string | undefined> = (value, name) => {
  const given = text(10)(value, name)?.toLowerCase();
  if (given === undefined || currencyOf(given)) return given;
  const all = [...currencies.keys()].join(", ").toLowerCase();
  throw invalidRequest(`Invalid currency: ${given}. Stripe currently supports these currencies: ${all}`, {
    param: name,
  });
};

export function checkAmount(amount: number, inCurrency: string) {
  const known = currencyOf(inCurrency);
  if (!known) throw new Error(`${inCurrency} got past the check of currencies`);
  const fault = chargeFault(amount, known);
  if (!fault) return;
  switch (fault.reason) {
    case "uneven":
      throw unevenAmount(inCurrency, fault.step, "amount");
    case "too small":
      throw invalidRequest(`Amount must be at least ${amountInWords(fault.least, inCurrency)} ${inCurrency}`, {
        code: "amount_too_small",
        param: "amount",
      });
    case "too large":
      throw invalidRequest(`Amount must be no more than ${amountInWords(fault.most, inCurrency)}`, {
        code: "amount_too_large",
        param: "amount",
      });
  }
}

/** Refunds and captures have no least of their own, but no smaller parts either. */
export function checkPart(amount: number, inCurrency: string, param: string) {
  const step = currencyOf(inCurrency)?.step ?? 1;
  if (amount % step !== 0) throw unevenAmount(inCurrency, step, param);
}

/** Stripe documents the rule ("Special cases", "Three-decimal currencies"), not the words or the code; this code is that of bad numbers. */
const unevenAmount = (inCurrency: string, step: number, param: string) =>
  invalidRequest(`Invalid integer: amounts in ${inCurrency} must be evenly divisible by ${step}`, {
    code: "parameter_invalid_integer",
    param,
  });

/** "$10.00", as Stripe's error messages have it. */
export function amountInWords(minor: number, inCurrency: string): string {
  const code = inCurrency.toUpperCase();
  const digits = digitsToShow(minor, code);
  return new Intl.NumberFormat("en-US", {
    style: "currency",
    currency: code,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(minor / minorPerUnit(code));
}
