// The budget of requests to Stripe: who may send when, so that Stripe's own limits are never met. The rules are pure; the
// waiting is here too. The shared budget lies in Valkey (valkey.ts); alone, a process keeps to a small one of its own.
import { setTimeout as sleep } from "node:timers/promises";
import { DomainError } from "@onsale/kit/errors";
import type { Logger } from "@onsale/kit/log";
import type { Metrics } from "@onsale/kit/metrics";

/** money: captures, cancellations, refunds, for money in flight comes first. new: authorizations, and looking. */
export type Lane = "money" | "new";

export interface Rates {
  /** Requests a second. */
  readonly perEndpoint: number;
  readonly total: number;
  /** How much of it the lane "new" may take. */
  readonly newShare: number;
}

export interface Wanted {
  readonly endpoint: string;
  readonly lane: Lane;
  /** Both lanes use this endpoint, so a part of its own budget is kept for "money" too. */
  readonly shared: boolean;
  /** Beyond this wait nothing is reserved. */
  readonly maxWaitMs: number;
}

/** `granted: false`: nothing was reserved, the first turn would have been `waitMs` away. */
export interface Turn {
  readonly granted: boolean;
  readonly waitMs: number;
}

export interface Slots {
  reserve(wanted: Wanted): Promise<Turn>;
}

/**
 * Time is cut into slots, one request each: one row of slots for each endpoint (at 25/s a slot lasts 40 ms), and one for
 * all together. A caller takes the first free slot of its endpoint in which the common row has a free one too, and
 * waits for it. So nobody is turned away, turns come in the order of asking, and requests are spread evenly instead of
 * in bursts. Every so many-th slot is closed to the lane "new", however long its queue is.
 *
 * The rows have a clock of their own. It goes with the one that is given, save when that one goes back: then this one goes on
 * from where it was, so that turns which were given stay what they were and nobody waits for the time to come round again.
 */
export function createSlots(rates: Rates, clockMs: () => number): Slots {
  const endpointSlotMs = 1000 / rates.perEndpoint;
  const totalSlotMs = 1000 / rates.total;
  const total = new Set<number>();
  const endpoints = new Map<string, Set<number>>();
  const cursors = new Map<string, number>();
  const closedToNew = (slot: number) => Math.floor((slot + 1) * rates.newShare) === Math.floor(slot * rates.newShare);
  let now = Number.NEGATIVE_INFINITY;
  let aheadMs = 0;

  return {
    async reserve({ endpoint, lane, shared, maxWaitMs }) {
      const clock = clockMs();
      aheadMs = Math.max(aheadMs, now - clock);
      now = clock + aheadMs;
      forget(total, Math.floor(now / totalSlotMs));
      const own = endpoints.get(endpoint) ?? new Set<number>();
      endpoints.set(endpoint, own);
      forget(own, Math.floor(now / endpointSlotMs));
      const cursor = `${endpoint}:${lane}`;
      for (let slot = Math.max(Math.floor(now / endpointSlotMs), cursors.get(cursor) ?? 0); ; slot += 1) {
        const from = Math.max(now, slot * endpointSlotMs);
        if (from - now > maxWaitMs) return { granted: false, waitMs: from - now };
        if (own.has(slot) || (lane === "new" && shared && closedToNew(slot))) continue;
        const last = Math.ceil(((slot + 1) * endpointSlotMs) / totalSlotMs) - 1;
        for (let common = Math.floor(from / totalSlotMs); common <= last; common += 1) {
          if (total.has(common) || (lane === "new" && closedToNew(common))) continue;
          const at = Math.max(from, common * totalSlotMs);
          if (at - now > maxWaitMs) return { granted: false, waitMs: at - now };
          total.add(common);
          own.add(slot);
          cursors.set(cursor, slot + 1);
          return { granted: true, waitMs: at - now };
        }
      }
    },
  };
}

function forget(slots: Set<number>, before: number): void {
  for (const slot of slots) if (slot < before) slots.delete(slot);
}

export interface Budget {
  /** Resolves when it is this request's turn. Throws UNAVAILABLE when that would be too late; nothing was sent then. */
  take(wanted: Omit<Wanted, "maxWaitMs">, deadlineMs: number): Promise<void>;
}

export interface BudgetSettings {
  readonly shared: Slots;
  /** For while the shared ones can't be asked. */
  readonly alone: Slots;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** A request needs some time after its turn has come. */
const timeToSendMs = 500;
/** Nobody waits longer, whatever the deadline. */
export const longestWaitMs = 30_000;

export function createBudget({ shared, alone, log, metrics }: BudgetSettings): Budget {
  const waits = metrics.histogram(
    "onsale_stripe_budget_wait_seconds",
    "Time a request to Stripe waited for its turn, by whose budget gave it",
    ["endpoint", "lane", "budget"],
  );
  const late = metrics.counter("onsale_stripe_budget_late_total", "Requests whose turn would have come too late", [
    "endpoint",
    "lane",
  ]);
  const isAlone = metrics.gauge(
    "onsale_stripe_budget_alone",
    "1 while Valkey can't be asked and this process keeps to a small budget of its own",
  );
  let wasAlone = false;

  async function reserve(wanted: Wanted): Promise<Turn & { budget: "shared" | "alone" }> {
    try {
      const turn = await shared.reserve(wanted);
      if (wasAlone) log.info("Valkey answers again: the budget for Stripe is shared again");
      wasAlone = false;
      isAlone.set(0);
      return { ...turn, budget: "shared" };
    } catch (err) {
      if (!wasAlone)
        log.warn({ err }, "Valkey can't be asked: keeping to a small budget for Stripe of this process's own");
      wasAlone = true;
      isAlone.set(1);
      return { ...(await alone.reserve(wanted)), budget: "alone" };
    }
  }

  return {
    async take(wanted, deadlineMs) {
      const maxWaitMs = Math.min(deadlineMs - Date.now() - timeToSendMs, longestWaitMs);
      const { endpoint, lane } = wanted;
      late.inc({ endpoint, lane }, 0); // there before the first one is late
      const turn = maxWaitMs < 0 ? undefined : await reserve({ ...wanted, maxWaitMs });
      if (!turn?.granted) {
        late.inc({ endpoint, lane });
        throw new DomainError(
          "UNAVAILABLE",
          "Payments are queueing, and this one's turn did not come in time. Nothing was charged; please try again.",
          { retryAfterSeconds: Math.min(30, Math.max(1, Math.ceil((turn?.waitMs ?? 0) / 1000))) },
        );
      }
      waits.observe({ endpoint, lane, budget: turn.budget }, turn.waitMs / 1000);
      if (turn.waitMs > 0) await sleep(Math.ceil(turn.waitMs));
    },
  };
}
