// Whether an event's seats in Valkey may be trusted: three rules, on the marker that stands beside them.
import { DomainError } from "@onsale/kit/errors";
import type { Marker } from "../valkey/marker.js";
import type { Valkey } from "../valkey/valkey.js";

/*
 * Valkey may lose what it acknowledged: when it is flushed, restarts with an older file, or a replica takes over that had not
 * heard everything. So beside an event's seats stands a marker with their epoch and the life (see kit/src/redis.ts) of the server
 * on which they were made or checked. A process uses seats only if
 *
 *   1. the marker names the life of the server that this connection leads to, so nothing was lost since;
 *   2. its epoch is not below the event's in MongoDB, so that it is not an abandoned copy;
 *   3. it is open.
 *
 * Otherwise a new generation is made (see recovery/rebuild.ts), and until that is open holds are refused with INVENTORY_REBUILDING.
 */
export type MarkerVerdict = "trusted" | "being made" | "lost";

/** The three rules. */
export function judgeMarker(marker: Marker | undefined, serverLife: string, leastEpoch: number): MarkerVerdict {
  if (!marker || marker.serverLife !== serverLife || marker.epoch < leastEpoch) return "lost";
  return marker.open ? "trusted" : "being made";
}

/** What is there now, and what is to be thought of it. `leastEpoch`: the event's in MongoDB. */
export async function lookAt({ connection }: Pick<Valkey, "connection">, eventId: string, leastEpoch: number) {
  const life = await connection.life(eventId);
  const marker = await connection.marker(eventId);
  return { life, marker, verdict: judgeMarker(marker, life.serverLife, leastEpoch) };
}

export const rebuilding = (): DomainError =>
  new DomainError(
    "INVENTORY_REBUILDING",
    "The seats of this event are being restored after a failure. Nothing is lost; please try again in a moment.",
    { retryAfterSeconds: 1 },
  );
