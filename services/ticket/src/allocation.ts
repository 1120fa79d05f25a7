// Whose money an amount is: shared among seats to the last minor unit, the same way each time.
import { currencies } from "@onsale/kit/currencies";
import { leftOf, notBackOf, type Order, type SeatMoney } from "./tickets.js";

/** Shares an amount in proportion to weights, largest remainders first, ties by place. No share exceeds its weight while the weights suffice. */
export function share(amount: number, weights: readonly number[]): number[] {
  const sum = weights.reduce((total, weight) => total + BigInt(weight), 0n);
  if (sum === 0n) return weights.map((_, at) => (at === 0 ? amount : 0));
  const parts = weights.map((weight, at) => {
    const whole = BigInt(amount) * BigInt(weight);
    return { at, given: Number(whole / sum), rest: whole % sum };
  });
  let over = amount - parts.reduce((total, { given }) => total + given, 0);
  for (const part of [...parts].sort((a, b) => (a.rest === b.rest ? a.at - b.at : a.rest > b.rest ? -1 : 1))) {
    if (over === 0) break;
    part.given += 1;
    over -= 1;
  }
  return parts.map(({ given }) => given);
}

/** The same in whole steps of the currency, wherever amount and weights are whole ones: Stripe takes no others back. */
export function shareInSteps(amount: number, weights: readonly number[], step: number): number[] {
  if ([amount, ...weights].some((one) => one % step !== 0)) return share(amount, weights);
  return share(
    amount / step,
    weights.map((weight) => weight / step),
  ).map((steps) => steps * step);
}

/**
 * The seats whose money this amount is: of these seats as far as something is left of them, then of all. Money that has gone back at Stripe may
 * be more than that: then it is money that others have set aside, and beyond it, of all by price.
 */
export function allocation(order: Order, amount: number, seatIds: Iterable<string>): SeatMoney[] {
  const these = new Set(seatIds);
  const given = new Map(order.seats.map(({ seatId }) => [seatId, 0]));
  let open = amount;
  const step = currencies.get(order.currency)?.step ?? 1;
  const give = (most: ReadonlyMap<string, number>, among: (seatId: string) => boolean) => {
    const weights = order.seats.map(({ seatId }) =>
      among(seatId) ? Math.max(0, (most.get(seatId) ?? 0) - (given.get(seatId) ?? 0)) : 0,
    );
    const now = Math.min(
      open,
      weights.reduce((sum, weight) => sum + weight, 0),
    );
    add(shareInSteps(now, weights, step));
  };
  const add = (shares: readonly number[]) => {
    for (const [at, { seatId }] of order.seats.entries()) {
      given.set(seatId, (given.get(seatId) ?? 0) + (shares[at] ?? 0));
      open -= shares[at] ?? 0;
    }
  };
  give(leftOf(order), (seatId) => these.has(seatId));
  give(leftOf(order), () => true);
  give(notBackOf(order), () => true);
  add(
    shareInSteps(
      open,
      order.seats.map(({ amount: price }) => price),
      step,
    ),
  );
  return [...given].filter(([, one]) => one > 0).map(([seatId, one]) => ({ seatId, amount: one }));
}
