// The Lua that changes seats in Valkey, each script one atomic step: read from lua/, put together with the parts that it includes.
import { readFileSync } from "node:fs";

/*
 * Keys of an event, all with its id as their hash tag, so that they are on one node of a cluster and one script may change them:
 *
 *   {event}:epoch            the marker: "<epoch>|open|<server life>|<epoch before>", or closed instead of open (see generations/trust.ts)
 *   {event}:x:<hold>         a hold that has ended, for as long as a retry of it may come
 *   {event}:live             the last version of the event's changes: "<epoch>|<version>|<layout version>" (see live/live-seats.ts)
 *   {event}:live:s           what it describes; {event}:live:c the changes of the last minute (stream, its ids are the versions)
 *   {event}:<epoch>:r:<sec>  16 bytes a seat (see hall/seat-map.ts)
 *   {event}:<epoch>:m:<sec>  2 bits a seat
 *   {event}:<epoch>:u        person → what he holds and owns (see personOf and the entries in hall/seat-map.ts): all there is about a hold beside its seats
 *   {event}:<epoch>:q        holds by expiry, the soonest first (list): expiry (6 bytes) and user. One that has ended stays until its time
 *   {event}:<epoch>:d        users by the expiry of a hold that did not go to that list's end (sorted set)
 *   {event}:<epoch>:c        code → seats that it has, held and sold
 *   {event}:<epoch>:a        which version of the channels the pools are of: "begun:done"
 *   {event}:<epoch>:n:<sec>  general admission: the next place to give out
 *   {event}:<epoch>:g:<sec>  general admission: places given back (list); those of pool 7 are in …:g:<sec>:7
 *
 * `q` and `d` are for clearing away, not for deciding: a record carries its own expiry. `sweep` and `adopt` work on holds that
 * they find, so on keys that they can't declare; they are in the same slot.
 *
 * A script that begins with "#!lua flags=allow-oom" works where Valkey is full (maxmemory), too: what lets seats go, or makes a sale
 * that was begun the buyer's. One with "#!lua" is refused there before it does anything, whatever it would do first; all others are
 * at their first write that needs room.
 *
 * What costs here is, in this order: calls of commands, arguments, new strings. A hold makes 8 calls, a lost one 4.
 */

/** From src and from dist alike: what is built stands beside what it is built from. */
const folder = new URL("../../src/valkey/lua/", import.meta.url);

/** A script or a part of one. A line "-- include NAME" stands for lua/parts/NAME.lua. */
export function readLua(name: string): string {
  return readFileSync(new URL(`${name}.lua`, folder), "utf8").replace(/^ *-- include ([a-z-]+)$/gm, (_, part: string) =>
    readLua(`parts/${part}`).trimEnd(),
  );
}

export const scripts = {
  hold: readLua("hold"),
  holdPlaces: readLua("hold-places"),
  fence: readLua("fence"),
  settle: readLua("settle"),
  release: readLua("release"),
  sweep: readLua("sweep"),
  assign: readLua("assign"),
  assigned: readLua("assigned"),
  block: readLua("block"),
  unblock: readLua("unblock"),
  begin: readLua("begin"),
  adopt: readLua("adopt"),
  open: readLua("open"),
  close: readLua("close"),
  takeLock: readLua("take-lock"),
  renewLock: readLua("renew-lock"),
  liveLook: readLua("live-look"),
  livePublish: readLua("live-publish"),
} as const;
