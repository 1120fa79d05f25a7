// What the scripts write into the map of 2 bits a seat: to the bit, wherever a run begins and however long it is.
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { mapBytes, type SeatState, setState } from "../src/hall/seat-map.js";
import { readLua } from "../src/valkey/scripts.js";

let redis: Redis;
beforeAll(() => {
  redis = new Redis(inject("backing").redisUrl);
});
afterAll(() => redis.disconnect());

test("a run is painted, and nothing beside it", async () => {
  const key = `test:painting:${randomUUID()}`;
  const seats = 120;
  const paint = `local call = redis.call\n${readLua("parts/painting")}
    redis.call('SET', KEYS[1], ARGV[4])
    paint(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]))
    local map = redis.call('GET', KEYS[1])
    redis.call('DEL', KEYS[1])
    return map`;
  const checks: Promise<void>[] = [];
  for (const was of [0, 1, 2, 3] as const)
    for (let start = 20; start < 24; start++)
      for (let length = 1; length <= 80; length++) {
        const state = ((was + length) % 4) as SeatState;
        const map = Buffer.alloc(mapBytes(seats));
        for (let seat = 0; seat < seats; seat++) setState(map, seat, was);
        const wanted = Buffer.from(map);
        for (let seat = start; seat < start + length; seat++) setState(wanted, seat, state);
        checks.push(
          redis.callBuffer("EVAL", paint, 1, key, start, length, state, map).then((painted) => {
            expect((painted as Buffer).toString("hex"), `${length} seats from ${start}, ${was} to ${state}`).toBe(
              wanted.toString("hex"),
            );
          }),
        );
      }
  await Promise.all(checks);
  expect(checks.length).toBe(4 * 4 * 80);
});
