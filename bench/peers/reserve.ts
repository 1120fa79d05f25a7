// How most teams would hold seats in PostgreSQL, two ways: rows locked with SELECT … FOR UPDATE, and a unique constraint.
import { randomUUID } from "node:crypto";
import type { Pool, PoolClient } from "pg";

export interface Wish {
  readonly eventId: string;
  readonly userId: string;
  readonly idempotencyKey: string;
  readonly seats: readonly string[];
}

export type Reserved =
  | { readonly kind: "held"; readonly holdId: string; readonly deadline: Date }
  | { readonly kind: "taken"; readonly seats: readonly string[] }
  | { readonly kind: "limit"; readonly has: number }
  | { readonly kind: "unknown"; readonly seats: readonly string[] };

export type Reserve = (pool: Pool, wish: Wish) => Promise<Reserved>;

const holdMs = 300_000;
const seatsPerPerson = 100;

// Named statements are prepared once a connection.
const earlierHold = {
  name: "earlier-hold",
  text: "SELECT hold_id, held_until FROM holds WHERE user_id = $1 AND idempotency_key = $2",
};
const addHold = {
  name: "add-hold",
  text: "INSERT INTO holds (hold_id, event_id, user_id, idempotency_key, seats, held_until) VALUES ($1, $2, $3, $4, $5, $6)",
};

/** All or nothing; a key that was used before gets the hold that it made. */
async function inTransaction(
  pool: Pool,
  wish: Wish,
  work: (client: PoolClient) => Promise<Reserved>,
): Promise<Reserved> {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    const reserved = await work(client);
    await client.query(reserved.kind === "held" ? "COMMIT" : "ROLLBACK");
    return reserved;
  } catch (error) {
    await client.query("ROLLBACK");
    // 23505: unique_violation (postgresql.org/docs, appendix A). The key is the one thing that can be there twice.
    if ((error as { code?: string }).code !== "23505") throw error;
    const { rows } = await client.query<{ hold_id: string; held_until: Date }>({
      ...earlierHold,
      values: [wish.userId, wish.idempotencyKey],
    });
    const [earlier] = rows;
    if (!earlier) throw error;
    return { kind: "held", holdId: earlier.hold_id, deadline: earlier.held_until };
  } finally {
    client.release();
  }
}

/** Locks the seats' rows in the order of their key, so that two who want the same seats wait instead of deadlocking. */
export const reserveForUpdate: Reserve = (pool, wish) =>
  inTransaction(pool, wish, async (client) => {
    const { eventId, userId, seats } = wish;
    const { rows } = await client.query<{ seat_id: string; taken: boolean }>({
      name: "lock-seats",
      text: "SELECT seat_id, coalesce(held_until > now(), false) AS taken FROM seats WHERE event_id = $1 AND seat_id = ANY($2) ORDER BY seat_id FOR UPDATE",
      values: [eventId, seats],
    });
    if (rows.length < seats.length) {
      const known = new Set(rows.map((row) => row.seat_id));
      return { kind: "unknown", seats: seats.filter((seat) => !known.has(seat)) };
    }
    const taken = rows.filter((row) => row.taken).map((row) => row.seat_id);
    if (taken.length > 0) return { kind: "taken", seats: taken };
    const counted = await client.query<{ has: number }>({
      name: "count-seats",
      text: "SELECT count(*)::int AS has FROM seats WHERE event_id = $1 AND user_id = $2 AND held_until > now()",
      values: [eventId, userId],
    });
    const has = counted.rows[0]?.has ?? 0;
    if (has + seats.length > seatsPerPerson) return { kind: "limit", has };
    const holdId = randomUUID();
    const deadline = new Date(Date.now() + holdMs);
    await client.query({ ...addHold, values: [holdId, eventId, userId, wish.idempotencyKey, seats, deadline] });
    await client.query({
      name: "take-seats",
      text: "UPDATE seats SET hold_id = $3, user_id = $4, held_until = $5 WHERE event_id = $1 AND seat_id = ANY($2)",
      values: [eventId, seats, holdId, userId, deadline],
    });
    return { kind: "held", holdId, deadline };
  });

/** One row a held seat: whoever comes second meets the primary key, unless the first one's time is over. */
export const reserveUnique: Reserve = (pool, wish) =>
  inTransaction(pool, wish, async (client) => {
    const { eventId, userId, seats } = wish;
    const holdId = randomUUID();
    const deadline = new Date(Date.now() + holdMs);
    const { rows } = await client.query<{ seat_id: string }>({
      name: "claim-seats",
      text: `INSERT INTO seat_holds (event_id, seat_id, hold_id, user_id, held_until)
        SELECT event_id, seat_id, $3, $4, $5 FROM seats WHERE event_id = $1 AND seat_id = ANY($2) ORDER BY seat_id
        ON CONFLICT (event_id, seat_id) DO UPDATE
          SET hold_id = excluded.hold_id, user_id = excluded.user_id, held_until = excluded.held_until
          WHERE seat_holds.held_until <= now()
        RETURNING seat_id`,
      values: [eventId, seats, holdId, userId, deadline],
    });
    if (rows.length < seats.length) {
      const got = new Set(rows.map((row) => row.seat_id));
      return { kind: "taken", seats: seats.filter((seat) => !got.has(seat)) };
    }
    const counted = await client.query<{ has: number }>({
      name: "count-claims",
      text: "SELECT count(*)::int AS has FROM seat_holds WHERE event_id = $1 AND user_id = $2 AND held_until > now()",
      values: [eventId, userId],
    });
    const has = (counted.rows[0]?.has ?? 0) - seats.length;
    if (has + seats.length > seatsPerPerson) return { kind: "limit", has };
    await client.query({ ...addHold, values: [holdId, eventId, userId, wish.idempotencyKey, seats, deadline] });
    return { kind: "held", holdId, deadline };
  });

/** Nothing behind the front: what the front costs by itself. */
export const reserveNothing: Reserve = async () => ({
  kind: "held",
  holdId: randomUUID(),
  deadline: new Date(Date.now() + holdMs),
});
