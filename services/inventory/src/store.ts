// What is in MongoDB: one store a room, over one connection.
import { type DatabaseSettings, openDatabase } from "@onsale/kit/mongodb";
import { DraftStore } from "./catalog/draft-store.js";
import { ChannelStore } from "./channels/channel-store.js";
import { EventStore } from "./events/event-store.js";
import { LayoutStore } from "./hall/layout-store.js";
import { FollowerStore } from "./recovery/follower-store.js";
import { BlockStore } from "./seats/block-store.js";
import { ClaimStore } from "./seats/claim-store.js";

export type Store = ReturnType<typeof openStore>;

export function openStore({ uri, database: databaseName }: Pick<DatabaseSettings, "uri" | "database">) {
  const database = openDatabase({
    appName: "onsale inventory",
    uri,
    database: databaseName,
    what: "The events and seats",
  });
  const layouts = new LayoutStore(database);
  const events = new EventStore(database, layouts);
  const channels = new ChannelStore(database);
  const drafts = new DraftStore(database, layouts, channels);
  const claims = new ClaimStore(database);
  const blocks = new BlockStore(database, claims);
  const follower = new FollowerStore(database);
  return {
    layouts,
    events,
    channels,
    drafts,
    claims,
    blocks,
    follower,

    ping: database.ping,
    close: database.close,

    /** Makes the indexes. Idempotent. */
    async prepare(): Promise<void> {
      for (const store of [events, claims, channels]) await store.prepare();
    },
  };
}
