// An edit of a draft in MongoDB: its content and its channels change together, or not at all.
import { randomUUID } from "node:crypto";
import type { Database } from "@onsale/kit/mongodb";
import type { Section } from "@onsale/proto/inventory/v1/catalog";
import type { Allotments } from "../channels/channel.js";
import type { ChannelStore } from "../channels/channel-store.js";
import { searchKeysOf } from "../events/event-search.js";
import { atRevision, type EventDocument } from "../events/event-store.js";
import type { EventRecord } from "../events/events.js";
import type { LayoutStore } from "../hall/layout-store.js";

/** A draft's content in place of another, and its channels as they fit this one. */
export interface Edit {
  /** With the revision that follows. */
  readonly event: EventRecord;
  readonly sections: readonly Section[];
  /** Empty: none. */
  readonly layoutSource: string;
  /** Those of the version before, or none, with the version that follows. */
  readonly allotments: Allotments;
}

export class DraftStore {
  readonly #asked;
  readonly #client;
  readonly #events;
  readonly #layouts: LayoutStore;
  readonly #channels: ChannelStore;

  constructor({ client, db, asked }: Database, layouts: LayoutStore, channels: ChannelStore) {
    this.#asked = asked;
    this.#client = client;
    this.#events = db.collection<EventDocument>("events");
    this.#layouts = layouts;
    this.#channels = channels;
  }

  /**
   * In place of the revision and the channels just before, together or not at all. False: the event is no draft any more, or
   * someone else was quicker.
   */
  replace({ event, sections, layoutSource, allotments: channels }: Edit): Promise<boolean> {
    return this.#asked(async () => {
      const { eventId, revision, tiers } = event;
      // What the event will point to is there before it does; until then nobody reads it.
      const layoutSourceId = `${eventId}:${randomUUID()}`;
      if (layoutSource !== "") await this.#layouts.keepSource(layoutSourceId, layoutSource);
      await this.#layouts.keep(event.layoutVersion, sections);
      const { name, description, venue, startsAtMs, onSaleAtMs, offSaleAtMs, currency, seatsPerPerson } = event;
      const { capacity, layoutVersion, orphanRule, accessibleUntilMs, refundableUntilMs } = event;
      const content = {
        ...{ name, description, venue, startsAtMs, onSaleAtMs, offSaleAtMs, currency, seatsPerPerson },
        ...{ capacity, layoutVersion, orphanRule, accessibleUntilMs, refundableUntilMs },
        tiers: [...tiers],
        ...searchKeysOf(event),
      };
      let before = eventId;
      const saved = await this.#client.withSession((session) =>
        session.withTransaction(
          async () => {
            const replaced = await this.#events.findOneAndUpdate(
              { _id: eventId, status: "draft", ...atRevision(revision - 1) },
              { $set: { ...content, revision, layoutSourceId } },
              { session, projection: { layoutSourceId: 1 } },
            );
            before = replaced?.layoutSourceId ?? eventId;
            if (replaced && (await this.#channels.saveWithin(session, channels))) return true;
            await session.abortTransaction();
            return false;
          },
          { writeConcern: { w: "majority" } },
        ),
      );
      await this.#layouts.dropSource(saved ? before : layoutSourceId);
      return saved;
    });
  }
}
