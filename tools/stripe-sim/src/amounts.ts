// Amounts that can be charged: the currencies, and the least and the most in each.
import { invalidRequest } from "./failures.js";
import { type Reader, text } from "./params.js";
import { amountInWords } from "./refunds.js";

const maxAmount = 99_999_999;

// https://docs.stripe.com/currencies#presentment-currencies
const currencies = new Set(
  "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw".split(
    " ",
  ),
);

// https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
const minimums: Readonly<Record<string, number>> = {
  aed: 200,
  aud: 50,
  bgn: 100,
  brl: 50,
  cad: 50,
  chf: 50,
  czk: 1500,
  dkk: 250,
  eur: 50,
  gbp: 30,
  hkd: 400,
  huf: 17500,
  inr: 50,
  jpy: 50,
  mxn: 1000,
  myr: 200,
  nok: 300,
  nzd: 50,
  pln: 200,
  ron: 200,
  sek: 300,
  sgd: 50,
  thb: 1000,
  usd: 50,
};

export const currency: Reader<string | undefined> = (value, name) => {
  const given = text(10)(value, name)?.toLowerCase();
  if (given === undefined || currencies.has(given)) return given;
  throw invalidRequest(
    `Invalid currency: ${given}. Stripe currently supports these currencies: ${[...currencies].join(", ")}`,
    { param: name },
  );
};

export function checkAmount(amount: number, inCurrency: string) {
  const minimum = minimums[inCurrency] ?? 1;
  if (amount < minimum)
    throw invalidRequest(`Amount must be at least ${amountInWords(minimum, inCurrency)} ${inCurrency}`, {
      code: "amount_too_small",
      param: "amount",
    });
  if (amount > maxAmount)
    throw invalidRequest(`Amount must be no more than ${amountInWords(maxAmount, inCurrency)}`, {
      code: "amount_too_large",
      param: "amount",
    });
}
