// What really happened to the money of a checkout, by stripe-sim's books.
import type { LedgerLine, SeenRequest } from "@onsale/stripe-sim/control";
import type { Simulator } from "./harness.js";

export interface CheckoutLedger {
  readonly intents: number;
  /** Charges that hold or have taken money. */
  readonly authorized: number;
  /** Minor units. */
  readonly captured: number;
  readonly refunded: number;
}

export async function readLedger(simulator: Simulator, checkoutId: string): Promise<CheckoutLedger> {
  const answer = await simulator.ask("GET", `/_sim/ledger?metadata[checkoutId]=${checkoutId}`);
  const { payment_intents: lines } = answer as { payment_intents: LedgerLine[] };
  const sum = (amount: (line: LedgerLine) => number) => lines.reduce((total, line) => total + amount(line), 0);
  return {
    intents: lines.length,
    authorized: sum((line) => (line.authorized > line.released ? line.successfulCharges : 0)),
    captured: sum(({ captured }) => captured),
    refunded: sum(({ refunded }) => refunded),
  };
}

export async function requestsRefusedForRate(simulator: Simulator): Promise<number> {
  const { requests } = (await simulator.ask("GET", "/_sim/requests")) as { requests: SeenRequest[] };
  return requests.filter(({ status }) => status === 429).length;
}
