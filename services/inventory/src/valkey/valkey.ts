// What is in Valkey: seats and holds, read and changed; the log for those who watch; and generations that are made anew.
import { type ConnectionSettings, ValkeyConnection } from "./connection.js";
import { Epochs } from "./epochs.js";
import { LiveLog } from "./live-log.js";
import { SeatReads } from "./seat-reads.js";
import { type HoldTimes, SeatScripts } from "./seat-scripts.js";

export type ValkeySettings = ConnectionSettings & HoldTimes;

export type Valkey = ReturnType<typeof openValkey>;

export function openValkey({ url, ca, log, ...times }: ValkeySettings) {
  const connection = new ValkeyConnection({ url, ca, log });
  return {
    connection,
    seats: new SeatScripts(connection, times),
    read: new SeatReads(connection),
    live: new LiveLog(connection, { url, ca }),
    epochs: new Epochs(connection),
  };
}
