// The way to an event's seats in Valkey: work on them runs in the generation that may be trusted, and once more when it is replaced meanwhile.
import { DomainError } from "@onsale/kit/errors";
import type { EventRecord } from "../events/events.js";
import { type Generation, type Marker, writeMarker } from "../valkey/marker.js";
import type { Valkey } from "../valkey/valkey.js";
import { lookAt, rebuilding } from "./trust.js";

export interface GenerationDependencies {
  readonly valkey: Pick<Valkey, "connection">;
  /** Makes a new generation, unless another process is at it. Never fails: what did not work is tried again. */
  readonly rebuild: (event: EventRecord) => Promise<void>;
}

const mostEventsInUse = 2_000;
/** So that a crowd of refused requests does not ask for the lock each by itself. */
const pauseBetweenTriesMs = 100;
/** How often the present generation is looked for again by what works in a closed one too. */
const triesInAny = 5;

export class Generations {
  readonly #connection: Valkey["connection"];
  readonly #rebuild: GenerationDependencies["rebuild"];
  /** By event, those used longest ago first. */
  readonly #inUse = new Map<string, { readonly event: EventRecord; readonly generation: Generation }>();
  readonly #making = new Map<string, Promise<void>>();

  constructor({ valkey, rebuild }: GenerationDependencies) {
    this.#connection = valkey.connection;
    this.#rebuild = rebuild;
  }

  /**
   * Runs work in the generation that may be trusted. Work answers undefined when it finds that another one is there; then it runs
   * again, `tries` times in all. Throws INVENTORY_REBUILDING when there is none, and sees to it that there will be; UNAVAILABLE
   * without Valkey.
   */
  async run<T>(
    event: EventRecord,
    work: (generation: Generation) => Promise<T | undefined>,
    { tries = 2 }: { readonly tries?: number } = {},
  ): Promise<T> {
    for (let attempt = 1; attempt <= tries; attempt++) {
      const generation = await this.current(event);
      const answer = await work(generation);
      if (answer !== undefined) return answer;
      if (this.#inUse.get(generation.eventId)?.generation === generation) this.#inUse.delete(generation.eventId);
    }
    throw rebuilding();
  }

  /**
   * Runs work in whichever generation is there, also a closed one; again when that has just been replaced. Undefined: none is
   * there, or none that will be used, so the next one will be made from the claims as they are by then.
   */
  async runInAny<T>(
    { eventId }: EventRecord,
    work: (generation: Generation) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    for (let attempt = 1; attempt <= triesInAny; attempt++) {
      const { life, marker } = await lookAt({ connection: this.#connection }, eventId, 0);
      if (!marker || marker.serverLife !== life.serverLife) return undefined;
      const answer = await work(generationOf(eventId, marker, life.connection));
      if (answer !== undefined) return answer;
    }
    throw new DomainError("UNAVAILABLE", "The seats are being restored again and again. Please try again in a moment.");
  }

  /** The one to use now; for `run` to notice when it is replaced. Throws as `run` does. */
  async current(event: EventRecord): Promise<Generation> {
    const known = this.#trusted(event);
    if (known) return known;
    const { life, marker, verdict } = await lookAt({ connection: this.#connection }, event.eventId, event.epoch);
    if (verdict === "trusted" && marker) return this.#use(event, generationOf(event.eventId, marker, life.connection));
    void this.#make(event);
    throw rebuilding();
  }

  /** Waits until there is one, making it if necessary. */
  async ensure(event: EventRecord, withinMs: number): Promise<void> {
    const until = Date.now() + withinMs;
    for (;;) {
      try {
        return void (await this.current(event));
      } catch (error) {
        const building = error instanceof DomainError && error.code === "INVENTORY_REBUILDING";
        if (!building || Date.now() > until) throw error;
      }
      await this.#making.get(event.eventId);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Events whose seats were used by this process lately. */
  used(): readonly { readonly event: EventRecord; readonly generation: Generation }[] {
    return [...this.#inUse.values()];
  }

  #trusted(event: EventRecord): Generation | undefined {
    const known = this.#inUse.get(event.eventId)?.generation;
    return known && known.connection === this.#connection.of(event.eventId) && known.epoch >= event.epoch
      ? known
      : undefined;
  }

  #use(event: EventRecord, generation: Generation): Generation {
    this.#inUse.delete(event.eventId); // to the end
    this.#inUse.set(event.eventId, { event, generation });
    if (this.#inUse.size > mostEventsInUse) this.#inUse.delete(this.#inUse.keys().next().value as string);
    return generation;
  }

  /** At most one at a time here. */
  #make(event: EventRecord): Promise<void> {
    const { eventId } = event;
    const running = this.#making.get(eventId);
    if (running) return running;
    const work = this.#rebuild(event).finally(() => {
      setTimeout(() => this.#making.delete(eventId), pauseBetweenTriesMs).unref();
    });
    this.#making.set(eventId, work);
    return work;
  }
}

const generationOf = (eventId: string, marker: Marker, connection: number): Generation => ({
  eventId,
  epoch: marker.epoch,
  marker: writeMarker(marker),
  connection,
});
