// Layouts in MongoDB: what is sold, by version, and the words that organisers made it with.
import type { Database } from "@onsale/kit/mongodb";
import type { Section } from "@onsale/proto/inventory/v1/catalog";

interface LayoutDocument {
  /** Its version. */
  _id: string;
  sections: Section[];
}

/** The layout of an event in the words of whoever made it: looked at by nobody but them, so it stands apart. */
interface LayoutSourceDocument {
  /** The event's id; of an edit, "<eventId>:<random>", so that what is half done replaces nothing. */
  _id: string;
  source: string;
}

export class LayoutStore {
  readonly #asked;
  readonly #layouts;
  readonly #sources;

  constructor({ db, asked }: Database) {
    this.#asked = asked;
    this.#layouts = db.collection<LayoutDocument>("layouts");
    this.#sources = db.collection<LayoutSourceDocument>("layout_sources");
  }

  /** What there is already under this version is the same. */
  keep(version: string, sections: readonly Section[]): Promise<void> {
    return this.#asked(async () => {
      await this.#layouts.updateOne({ _id: version }, { $setOnInsert: { sections: [...sections] } }, { upsert: true });
    });
  }

  find(layoutVersion: string): Promise<Section[] | undefined> {
    return this.#asked(async () => (await this.#layouts.findOne({ _id: layoutVersion }))?.sections.map(sectionFrom));
  }

  /** Empty: none was kept, or an edit has replaced it just now. */
  source(layoutSourceId: string): Promise<string> {
    return this.#asked(async () => (await this.#sources.findOne({ _id: layoutSourceId }))?.source ?? "");
  }

  /** Words that nobody points to yet. What is there already under this id stays. */
  keepSource(layoutSourceId: string, source: string): Promise<void> {
    return this.#asked(async () => {
      await this.#sources.updateOne({ _id: layoutSourceId }, { $setOnInsert: { source } }, { upsert: true });
    });
  }

  dropSource(layoutSourceId: string): Promise<void> {
    return this.#asked(async () => {
      await this.#sources.deleteOne({ _id: layoutSourceId });
    });
  }
}

/** Layouts from before there were accessible seats and focal points lack them. */
function sectionFrom(stored: Section): Section {
  const rows = stored.rows.map((row) => ({ ...row, accessible: row.accessible ?? [], companion: row.companion ?? [] }));
  return { ...stored, focalRow: stored.focalRow ?? "", focalSeat: stored.focalSeat ?? 0, rows };
}
