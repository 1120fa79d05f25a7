// What claims make of seats in Valkey: sold ones, blocked ones, and free ones again.
import type { EventRecord } from "../events/events.js";
import type { Generations } from "../generations/generations.js";
import { findSeat, type Layout, type Run, runsOf } from "../hall/layout.js";
import type { Generation } from "../valkey/marker.js";
import type { Valkey } from "../valkey/valkey.js";
import type { Claim } from "./claim-store.js";

export interface MarkDependencies {
  readonly valkey: Pick<Valkey, "seats">;
  readonly generations: Generations;
  readonly layoutOf: (layoutVersion: string) => Promise<Layout>;
}

/** Whose seats are freed. */
export interface Checkout {
  /** "block": an organiser's; then the seats are blocked, not sold. */
  readonly kind?: "block" | undefined;
  readonly holdId: string;
  readonly userId: string;
  /** The code that the seats were bought with. */
  readonly codeId?: string | undefined;
}

/** In whichever generation is there, open or not; where none is, the next one will be made with them. */
export class Marks {
  readonly #valkey;
  readonly #generations;
  readonly #layoutOf;

  constructor({ valkey, generations, layoutOf }: MarkDependencies) {
    this.#valkey = valkey;
    this.#generations = generations;
    this.#layoutOf = layoutOf;
  }

  /** Claimed seats are sold, or blocked. */
  async settle(event: EventRecord, claims: readonly Claim[], { askedNow }: { askedNow: boolean }): Promise<void> {
    const layout = await this.#layoutOf(event.layoutVersion);
    await this.#generations.runInAny(event, (generation) =>
      markClaimed(this.#valkey, generation, layout, claims, askedNow),
    );
  }

  /** Seats whose claims are gone are free. */
  async free(
    event: EventRecord,
    checkout: Checkout,
    seatIds: readonly string[],
    { ends }: { ends: boolean },
  ): Promise<void> {
    const layout = await this.#layoutOf(event.layoutVersion);
    await this.#generations.runInAny(event, (generation) =>
      markFree(this.#valkey, generation, layout, checkout, seatIds, ends),
    );
  }

  /** Seats that a block has given back are free. */
  unblock(event: EventRecord, holdId: string, seatIds: readonly string[]): Promise<void> {
    return this.free(event, { kind: "block", holdId, userId: "" }, seatIds, { ends: false });
  }
}

/** Undefined: the generation has been replaced; so for the next. */
export async function markClaimed(
  { seats }: Pick<Valkey, "seats">,
  generation: Generation,
  layout: Layout,
  claims: readonly Claim[],
  askedNow: boolean,
): Promise<true | undefined> {
  for (const [holdId, owned] of claimsByHold(claims)) {
    const runs = runsOfSeats(
      layout,
      owned.map(({ seatId }) => seatId),
    );
    if (runs.length === 0) continue;
    const { kind, userId = "", codeId } = owned[0] ?? {};
    if (kind === "block") {
      if (!(await markBlocked(seats, generation, holdId, runs))) return undefined;
      continue;
    }
    const owner = { holdId, userId, codeId, seats: owned.length, askedNow };
    if (!(await seats.settle(generation, owner, runs))) return undefined;
  }
  return true;
}

/** All of them that nobody holds: a hold that Valkey gave on a blocked seat is refused at its claim, and ends. */
async function markBlocked(
  seats: Valkey["seats"],
  generation: Generation,
  holdId: string,
  runs: readonly Run[],
): Promise<true | undefined> {
  const answer = await seats.block(generation, holdId, runs);
  if (answer?.kind !== "taken") return answer && true;
  for (const { section, start, length } of runs)
    for (let index = start; index < start + length; index++)
      if (!(await seats.block(generation, holdId, [{ section, start: index, length: 1 }]))) return undefined;
  return true;
}

export async function markFree(
  { seats }: Pick<Valkey, "seats">,
  generation: Generation,
  layout: Layout,
  { kind, holdId, userId, codeId }: Checkout,
  seatIds: readonly string[],
  ends: boolean,
): Promise<number | undefined> {
  const runs = runsOfSeats(layout, seatIds);
  if (kind === "block") return await seats.unblock(generation, holdId, runs);
  return await seats.release(generation, { holdId, userId, codeId, what: "claim", ends }, runs);
}

/** Of those that the layout has. */
export const runsOfSeats = (layout: Layout, seatIds: readonly string[]): Run[] =>
  runsOf(
    layout,
    seatIds.flatMap((seatId) => findSeat(layout, seatId) ?? []),
  );

export function claimsByHold(claims: readonly Claim[]): Map<string, Claim[]> {
  const groups = new Map<string, Claim[]>();
  for (const claim of claims) {
    const group = groups.get(claim.holdId);
    if (group) group.push(claim);
    else groups.set(claim.holdId, [claim]);
  }
  return groups;
}
