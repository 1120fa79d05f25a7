// Live seats as a browser meets them: server-sent events over real HTTP, fed by an inventory that says what the test wants.
import { Agent, get, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { DomainError } from "@onsale/kit/errors";
import type { SeatChanges, SeatVersion } from "@onsale/proto/inventory/v1/live";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { eventually, type Harness, startHarness } from "./harness.js";

let gateway: Harness;
let inventory: Script;
const open: { close(): void }[] = [];
beforeAll(async () => {
  gateway = await startHarness({
    ...inject("backing"),
    settings: {
      LIVE_HEARTBEAT_SECONDS: "0.2",
      LIVE_READERS: "260",
      LIVE_READERS_PER_ADDRESS: "250",
      LIVE_READER_BUFFER_BYTES: "100000",
      RATE_LIMITS: "false",
      TRUST_PROXY: "1",
    },
  });
});
beforeEach(() => {
  gateway.reset();
  inventory = new Script();
  // The gateway still watches the events of tests before this one; they are of no interest.
  gateway.replies.live = {
    watchSeats: ({ eventId, after }, signal) =>
      eventId === thisEvent() ? inventory.watch(after, signal) : new Script().watch(after, signal),
  };
});
afterEach(async () => {
  for (const one of open.splice(0)) one.close();
  await eventually(async () => expect(await metric("onsale_live_readers")).toBe(0));
});
afterAll(() => gateway?.stop());

const v = (version: number, epoch = 3): SeatVersion => ({ epoch, version });
const snapshot = (version: SeatVersion, states: number[] = [0, 0], more: object = {}): SeatChanges => ({
  what: {
    $case: "snapshot",
    value: {
      version,
      layoutVersion: "v7",
      seatCount: states.length * 4,
      states: Buffer.from(states),
      places: [],
      recent: [],
      ...more,
    },
  },
});
const change = (version: SeatVersion, runs: number[], more: object = {}): SeatChanges => ({
  what: { $case: "change", value: { version, runs, states: Buffer.alloc(0), places: [], ...more } },
});
const wait = (code: string): SeatChanges => ({ what: { $case: "wait", value: { code } } });
const alive: SeatChanges = { what: { $case: "alive", value: {} } };

/** An inventory that says to all who watch what the test says. */
class Script {
  watchers = 0;
  readonly asked: (SeatVersion | undefined)[] = [];
  first: SeatChanges | DomainError = snapshot(v(10));
  readonly #queues = new Set<{ said: SeatChanges[]; wake: () => void; broken: boolean }>();

  async *watch(after: SeatVersion | undefined, signal: AbortSignal): AsyncIterable<SeatChanges> {
    this.asked.push(after);
    if (this.first instanceof DomainError) throw this.first;
    const queue = { said: [this.first], wake: () => {}, broken: false };
    this.#queues.add(queue);
    this.watchers += 1;
    signal.addEventListener("abort", () => queue.wake());
    try {
      while (!signal.aborted) {
        for (let next = queue.said.shift(); next; next = queue.said.shift()) yield next;
        if (queue.broken) throw new DomainError("UNAVAILABLE", "This process stops.");
        if (signal.aborted) return;
        await new Promise<void>((resolve) => {
          queue.wake = resolve;
        });
      }
    } finally {
      this.watchers -= 1;
      this.#queues.delete(queue);
    }
  }
  say(...messages: SeatChanges[]): void {
    for (const queue of this.#queues) {
      queue.said.push(...messages);
      queue.wake();
    }
  }
  breakLines(): void {
    for (const queue of this.#queues) {
      queue.broken = true;
      queue.wake();
    }
  }
}

interface Heard {
  readonly event: string;
  readonly id: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: JSON; the test knows its shape
  readonly data: any;
}

const agent = new Agent({ keepAlive: false, maxSockets: 1_000 });

/** EventSource's side of it. */
async function listen(eventId: string, headers: Record<string, string> = {}) {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get(`${gateway.url}/v1/events/${eventId}/seats/stream`, { agent, headers }, resolve).on("error", reject);
  });
  const heard: Heard[] = [];
  let text = "";
  let comments = 0;
  let retry: number | undefined;
  let ended = false;
  let rest = "";
  response.setEncoding("utf8");
  response.on("data", (part: string) => {
    text += part;
    rest += part;
    for (let cut = rest.indexOf("\n\n"); cut >= 0; cut = rest.indexOf("\n\n")) {
      const block = rest.slice(0, cut);
      rest = rest.slice(cut + 2);
      const fields = block
        .split("\n")
        .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
      const field = (name: string) => fields.find(([key]) => key === name)?.[1];
      if (block.startsWith(":")) comments += 1;
      if (field("retry") !== undefined) retry = Number(field("retry"));
      const event = field("event");
      if (event) heard.push({ event, id: field("id"), data: JSON.parse(field("data") ?? "null") });
    }
  });
  response.on("end", () => {
    ended = true;
  });
  response.on("error", () => undefined);
  const one = {
    status: response.statusCode,
    headers: response.headers,
    heard,
    text: () => text,
    comments: () => comments,
    retry: () => retry,
    ended: () => ended,
    close: () => response.destroy(),
  };
  open.push(one);
  return one;
}

async function metric(name: string, labels: Record<string, string> = {}): Promise<number> {
  const found = await gateway.context.metrics.registry.getSingleMetric(name)?.get();
  const values = found?.values.filter((one) =>
    Object.entries(labels).every(([key, value]) => one.labels[key] === value),
  );
  return values?.reduce((sum, { value }) => sum + value, 0) ?? 0;
}

let events = 0;
/** An event of its own for each test: the gateway goes on watching for a while. */
const thisEvent = () => `evt_live_${events}`;
const newEvent = () => {
  events += 1;
  return thisEvent();
};

describe("the stream", () => {
  test("begins with all seats, then tells each change under its version", async () => {
    const places = [{ sectionId: "FLOOR", free: 90, held: 10, sold: 0, blocked: 0 }];
    inventory.first = snapshot(v(10), [0b11_10_01_00, 0], { places });
    const reader = await listen(newEvent());
    expect(reader.status).toBe(200);
    expect(reader.headers).toMatchObject({
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
    });
    await eventually(() => expect(reader.heard).toHaveLength(1));
    const shownPlaces = [{ section: "FLOOR", free: 90, held: 10, sold: 0, blocked: 0 }];
    expect(reader.heard[0]).toEqual({
      event: "snapshot",
      id: "3-10",
      data: {
        version: "3-10",
        layoutVersion: "v7",
        seatCount: 8,
        states: Buffer.from([0b11_10_01_00, 0]).toString("base64"),
        places: shownPlaces,
      },
    });
    expect(reader.retry()).toBeGreaterThanOrEqual(1_000);
    expect(reader.retry()).toBeLessThanOrEqual(5_000);

    inventory.say(
      change(v(11), [0, 2, 1, 3, 1, 2]),
      change(v(12), [], { places: [{ sectionId: "FLOOR", free: 88, held: 12, sold: 0, blocked: 0 }] }),
    );
    await eventually(() => expect(reader.heard).toHaveLength(3));
    expect(reader.heard[1]).toEqual({
      event: "changes",
      id: "3-11",
      data: { version: "3-11", changes: "0:2:1,5:1:2" },
    });
    expect(reader.heard[2]?.data).toMatchObject({ changes: "", places: [{ section: "FLOOR", free: 88, held: 12 }] });
  });

  test("one who joins later begins with the seats as they are by then", async () => {
    const eventId = newEvent();
    const first = await listen(eventId);
    inventory.say(change(v(11), [0, 2, 1, 3, 1, 2]));
    await eventually(() => expect(first.heard).toHaveLength(2));
    const second = await listen(eventId);
    await eventually(() => expect(second.heard).toHaveLength(1));
    expect(second.heard[0]).toMatchObject({ event: "snapshot", id: "3-11" });
    expect([...Buffer.from(second.heard[0]?.data.states, "base64")]).toEqual([0b00_00_01_01, 0b00_00_10_00]);
    // And /seats/state of an event that is watched asks nobody.
    const states = await gateway.get(`/v1/events/${eventId}/seats/state`);
    expect([...states.body]).toEqual([0b00_00_01_01, 0b00_00_10_00]);
    const { headers } = states;
    expect([headers.get("etag"), headers.get("onsale-layout-version"), headers.get("onsale-seat-count")]).toEqual([
      '"3-11"',
      "v7",
      "8",
    ]);
    const known = { "if-none-match": '"3-11"' };
    expect((await gateway.get(`/v1/events/${eventId}/seats/state`, { headers: known })).status).toBe(304);
  });

  test("when so much has changed that the whole map is shorter, it comes as a snapshot", async () => {
    const reader = await listen(newEvent());
    await eventually(() => expect(reader.heard).toHaveLength(1));
    inventory.say(change(v(11), [], { states: Buffer.from([0xaa, 0x55]) }), change(v(12), [7, 1, 2]));
    await eventually(() => expect(reader.heard).toHaveLength(3));
    expect(reader.heard.map(({ event, id }) => [event, id])).toEqual([
      ["snapshot", "3-10"],
      ["snapshot", "3-11"],
      ["changes", "3-12"],
    ]);
    expect(reader.heard[1]?.data.states).toBe(Buffer.from([0xaa, 0x55]).toString("base64"));
  });

  test("seats that are being restored: wait, and then everything anew", async () => {
    const reader = await listen(newEvent());
    await eventually(() => expect(reader.heard).toHaveLength(1));
    inventory.say(wait("INVENTORY_REBUILDING"), wait("INVENTORY_REBUILDING"));
    await eventually(() => expect(reader.heard).toHaveLength(2));
    expect(reader.heard[1]).toMatchObject({ event: "wait", id: undefined, data: { code: "INVENTORY_REBUILDING" } });
    inventory.say(snapshot(v(20, 4), [1, 1]), wait("UNAVAILABLE"), alive);
    await eventually(() => expect(reader.heard).toHaveLength(5));
    expect(reader.heard.slice(2).map(({ event, id }) => [event, id])).toEqual([
      ["reset", "4-20"],
      ["wait", undefined],
      ["changes", "4-20"],
    ]);
    expect(reader.heard[4]?.data).toEqual({ version: "4-20", changes: "" });
  });

  test("one who comes while they are being restored is not shown them as free", async () => {
    inventory.first = wait("INVENTORY_REBUILDING");
    const reader = await listen(newEvent());
    await eventually(() => expect(reader.heard).toHaveLength(1));
    expect(reader.heard[0]?.event).toBe("wait");
    inventory.say(snapshot(v(20), [1, 1]));
    await eventually(() => expect(reader.heard).toHaveLength(2));
    expect(reader.heard[1]).toMatchObject({ event: "snapshot", id: "3-20" });
  });

  test("a comment now and then, so that nobody takes the line for dead", async () => {
    const reader = await listen(newEvent());
    await eventually(() => expect(reader.comments()).toBeGreaterThanOrEqual(2));
    expect(reader.heard).toHaveLength(1);
  });

  test("no event, a draft, or an id that is none: a problem, like everywhere", async () => {
    inventory.first = new DomainError("EVENT_NOT_FOUND", "There is no such event, or it is not published.");
    for (const id of [newEvent(), "a.b"]) {
      const told = await gateway.get(`/v1/events/${id}/seats/stream`);
      expect([told.status, told.body.code]).toEqual([404, "EVENT_NOT_FOUND"]);
      expect(told.headers.get("content-type")).toBe("application/problem+json");
    }
  });

  test("HEAD gets the headers, and is no reader", async () => {
    const told = await gateway.send("HEAD", `/v1/events/${newEvent()}/seats/stream`);
    expect([told.status, told.headers.get("content-type")]).toEqual([200, "text/event-stream; charset=utf-8"]);
    await eventually(async () => expect(await metric("onsale_live_readers")).toBe(0));
  });
});

describe("coming back", () => {
  async function changed(eventId: string) {
    const witness = await listen(eventId);
    inventory.say(change(v(11), [0, 1, 1]), change(v(12), [1, 1, 1]), change(v(13), [2, 1, 1]));
    await eventually(() => expect(witness.heard).toHaveLength(4));
  }

  test("with the last id: what was missed, no more", async () => {
    const eventId = newEvent();
    await changed(eventId);
    const back = await listen(eventId, { "last-event-id": "3-11" });
    await eventually(() => expect(back.heard).toHaveLength(2));
    expect(back.heard.map(({ event, id, data }) => [event, id, data.changes])).toEqual([
      ["changes", "3-12", "1:1:1"],
      ["changes", "3-13", "2:1:1"],
    ]);
    const upToDate = await listen(eventId, { "last-event-id": "3-13" });
    await eventually(() => expect(upToDate.heard).toHaveLength(1));
    expect(upToDate.heard[0]).toMatchObject({ event: "changes", id: "3-13", data: { changes: "" } });
  });

  test.each(["3-9", "2-11", "3-14", "nonsense", "", "3-999999999999999999999"])(
    "with an id that says nothing here (%s): a snapshot",
    async (id) => {
      const eventId = newEvent();
      await changed(eventId);
      const back = await listen(eventId, { "last-event-id": id });
      await eventually(() => expect(back.heard).toHaveLength(1));
      expect(back.heard[0]).toMatchObject({ event: "snapshot", id: "3-13" });
    },
  );

  test("to a gateway that has only just begun to watch: the inventory's own past serves", async () => {
    const runs = (seat: number) => ({ runs: [seat, 1, 1], states: Buffer.alloc(0), places: [] });
    const recent = [
      { version: v(8), ...runs(3) },
      { version: v(9), ...runs(4), states: Buffer.from([0, 0]) },
      { version: v(10), ...runs(5) },
      { version: v(11), ...runs(6) },
    ];
    inventory.first = snapshot(v(11), [0, 0], { recent });
    const eventId = newEvent();
    const back = await listen(eventId, { "last-event-id": "3-9" });
    await eventually(() => expect(back.heard).toHaveLength(2));
    expect(back.heard.map(({ id, data }) => [id, data.changes])).toEqual([
      ["3-10", "5:1:1"],
      ["3-11", "6:1:1"],
    ]);
    // Before a change of everything the single ones lead nowhere.
    const tooOld = await listen(eventId, { "last-event-id": "3-8" });
    await eventually(() => expect(tooOld.heard[0]?.event).toBe("snapshot"));
  });

  test("when the gateway's own line breaks, readers notice nothing: it goes on where it was", async () => {
    const reader = await listen(newEvent());
    await eventually(() => expect(reader.heard).toHaveLength(1));
    inventory.say(change(v(11), [0, 1, 1]));
    await eventually(() => expect(reader.heard).toHaveLength(2));
    inventory.first = change(v(12), [1, 1, 2]);
    inventory.breakLines();
    await eventually(() => expect(reader.heard).toHaveLength(3));
    expect(inventory.asked).toEqual([undefined, v(11)]);
    expect(reader.heard[2]).toMatchObject({ event: "changes", id: "3-12" });
    expect(reader.ended()).toBe(false);
  });

  test("a line that stays broken: wait", async () => {
    const reader = await listen(newEvent());
    await eventually(() => expect(reader.heard).toHaveLength(1));
    inventory.first = new DomainError("UNAVAILABLE", "not now");
    inventory.breakLines();
    await eventually(() => expect(reader.heard).toHaveLength(2));
    expect(reader.heard[1]).toMatchObject({ event: "wait", data: { code: "UNAVAILABLE" } });
    inventory.first = alive;
    await eventually(() => expect(reader.heard).toHaveLength(3));
    expect(reader.heard[2]).toMatchObject({ event: "changes", id: "3-10" });
  });
});

describe("many", () => {
  test("200 readers: one watch, one buffer for all", async () => {
    const eventId = newEvent();
    const encoded = () => metric("onsale_live_events_total", { kind: "changes" });
    const shown = () => metric("onsale_live_events_total", { kind: "snapshot" });
    const [changesBefore, shownBefore] = [await encoded(), await shown()];
    const readers = await Promise.all(Array.from({ length: 200 }, () => listen(eventId)));
    await eventually(() => expect(readers.every(({ heard }) => heard.length === 1)).toBe(true));
    for (let version = 11; version <= 20; version++) inventory.say(change(v(version), [version - 11, 1, 1]));
    await eventually(() => expect(readers.every(({ heard }) => heard.length === 11)).toBe(true));
    const [first] = readers;
    const told = (one: typeof first) =>
      one
        ?.text()
        .replace(/^retry: \d+/, "")
        .replaceAll(": still here\n\n", "");
    expect(new Set(readers.map(told)).size).toBe(1);
    expect(await encoded()).toBe(changesBefore + 10);
    expect(await shown()).toBe(shownBefore + 1);
    expect(inventory.watchers).toBe(1);
    expect(await metric("onsale_live_readers")).toBe(200);
  });

  test("more than fit are sent away with advice, by address and in all; and places become free again", async () => {
    const eventId = newEvent();
    const from = (address: string) => ({ "x-forwarded-for": address });
    const readers = await Promise.all(Array.from({ length: 250 }, () => listen(eventId, from("10.0.0.1"))));
    const full = await gateway.get(`/v1/events/${eventId}/seats/stream`, { headers: from("10.0.0.1") });
    expect([full.status, full.body.code, full.body.retryable]).toEqual([503, "LIVE_SEATS_FULL", true]);
    expect(full.body.detail).toContain("/seats/state");
    expect(Number(full.headers.get("retry-after"))).toBeGreaterThanOrEqual(5);
    await Promise.all(Array.from({ length: 10 }, () => listen(eventId, from("10.0.0.2"))));
    const allFull = await gateway.get(`/v1/events/${eventId}/seats/stream`, { headers: from("10.0.0.3") });
    expect([allFull.status, allFull.body.code]).toEqual([503, "LIVE_SEATS_FULL"]);
    for (const reader of readers) reader.close();
    await eventually(async () => expect((await listen(eventId, from("10.0.0.1"))).status).toBe(200));
  });

  test("one who does not read is let go, and told why; the others hear everything", async () => {
    const eventId = newEvent();
    const big = Array.from({ length: 15_000 }, () => 0);
    inventory.first = snapshot(v(10), big);
    const reader = await listen(eventId);
    const slow = await deafReader(eventId);
    await eventually(async () => expect(await metric("onsale_live_readers")).toBe(2));
    // More than any buffer on the way holds.
    let version = 10;
    for (let round = 0; round < 60; round++) {
      for (let at = 0; at < 15; at++) inventory.say(change(v(++version), [], { states: Buffer.from(big) }));
      await eventually(() => expect(reader.heard.length).toBe(version - 9));
      if ((await metric("onsale_live_readers")) === 1) break;
    }
    expect(await metric("onsale_live_readers_ended_total", { reason: "TOO_SLOW" })).toBe(1);
    expect(reader.ended()).toBe(false);
    const rest = await slow.readRest();
    expect(rest.slice(-600)).toContain('event: closed\ndata: {"reason":"TOO_SLOW"');
    expect(rest.slice(-10)).toMatch(/\r\n0\r\n\r\n$/);
  });

  /** Asks, and then leaves what comes where it is. */
  async function deafReader(eventId: string) {
    const socket = await new Promise<Socket>((resolve) => {
      const made = connect(gateway.port, "127.0.0.1", () => resolve(made));
    });
    open.push({ close: () => socket.destroy() });
    socket.on("error", () => undefined);
    socket.pause();
    socket.write(`GET /v1/events/${eventId}/seats/stream HTTP/1.1\r\nHost: x\r\n\r\n`);
    return {
      readRest: () =>
        new Promise<string>((resolve) => {
          const parts: Buffer[] = [];
          socket.on("data", (part) => parts.push(part));
          socket.on("end", () => resolve(Buffer.concat(parts).toString()));
          socket.resume();
        }),
    };
  }
});

describe("going", () => {
  test("when the last reader has left, the watch ends; not at once", async () => {
    const eventId = newEvent();
    (await listen(eventId)).close();
    await eventually(async () => expect(await metric("onsale_live_readers")).toBe(0));
    expect(inventory.watchers).toBe(1);
    const again = await listen(eventId);
    await eventually(() => expect(again.heard).toHaveLength(1));
    expect(inventory.asked).toHaveLength(1);
  });

  test("a gateway that stops says goodbye and when to come back", async () => {
    const stopping = await startHarness({ ...inject("backing"), settings: { RATE_LIMITS: "false" } });
    stopping.replies.live = { watchSeats: (request, signal) => inventory.watch(request.after, signal) };
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      get(`${stopping.url}/v1/events/evt_1/seats/stream`, { agent }, resolve).on("error", reject);
    });
    let text = "";
    response.on("data", (part: Buffer) => {
      text += part;
    });
    const ended = new Promise((resolve) => response.once("end", resolve));
    await eventually(() => expect(text).toContain("event: snapshot"));
    const begun = performance.now();
    await stopping.stop();
    await ended;
    expect(text).toMatch(/retry: \d+\nevent: closed\ndata: \{"reason":"RESTARTING"/);
    expect(performance.now() - begun).toBeLessThan(8_000);
  });
});

describe("one's own seats", () => {
  test("held ones with their time, owned ones with their checkout", async () => {
    const seat = { seatId: "A-B-7", sectionId: "A", row: "B", number: "7", tierId: "standard", amount: 1 };
    gateway.replies.live = {
      getOwnSeats: async () => ({
        own: [
          { holdId: "00000000000000aa", checkoutId: "", deadlineMs: Date.UTC(2027, 0, 1), seats: [seat] },
          {
            holdId: "00000000000000bb",
            checkoutId: "chk_1",
            deadlineMs: 0,
            seats: [{ ...seat, seatId: "A-B-8", number: "8" }],
          },
        ],
        asOfMs: Date.UTC(2026, 11, 31),
      }),
    };
    const told = await gateway.get("/v1/events/evt_1/seats/mine", { token: await gateway.token("acc_1") });
    expect(told.body).toEqual({
      held: [{ seat: "A-B-7", section: "A", row: "B", number: "7", heldUntil: "2027-01-01T00:00:00.000Z" }],
      owned: [{ seat: "A-B-8", section: "A", row: "B", number: "8", checkoutId: "chk_1" }],
      asOf: "2026-12-31T00:00:00.000Z",
    });
    expect(told.headers.get("cache-control")).toBe("no-store");
    expect(gateway.calls.at(-1)).toMatchObject({ request: { eventId: "evt_1", userId: "acc_1" } });
    expect((await gateway.get("/v1/events/evt_1/seats/mine")).body.code).toBe("TOKEN_MISSING");
  });
});
