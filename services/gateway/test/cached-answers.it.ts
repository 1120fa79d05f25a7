// What a crowd and a CDN get: one answer made for all, with a version, in the form that the sender takes.
import { request } from "node:http";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { DomainError } from "@onsale/kit/errors";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from "vitest";
import { anEvent, type Harness, startHarness } from "./harness.js";

let gateway: Harness;
beforeAll(async () => {
  gateway = await startHarness({ ...inject("backing"), settings: { ANSWER_CACHE_MS: "5000", RATE_LIMITS: "false" } });
});
beforeEach(() => gateway.reset());
afterAll(() => gateway?.stop());

let events = 0;
const newEvent = () => `evt_cached_${++events}`;
const asked = (method: string) => gateway.calls.filter((call) => call.method === method).length;

/** fetch() unpacks by itself; here the bytes count. */
function get(path: string, headers: Record<string, string> = {}, method = "GET") {
  return new Promise<{ status: number | undefined; headers: Record<string, unknown>; bytes: Buffer }>(
    (resolve, reject) => {
      const sent = request(`${gateway.url}${path}`, { method, headers }, (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("end", () =>
          resolve({ status: response.statusCode, headers: response.headers, bytes: Buffer.concat(parts) }),
        );
      });
      sent.on("error", reject);
      sent.end();
    },
  );
}

const row = (label: string) => ({
  label,
  firstSeat: 1,
  seatCount: 30,
  gaps: [],
  blocked: [],
  accessible: [],
  companion: [],
});
/** Sixty sections of a thousand seats. */
const stadium = Array.from({ length: 60 }, (_, at) => ({
  sectionId: `S${at}`,
  name: `Block ${at}`,
  tierId: "standard",
  generalAdmission: false,
  capacity: 990,
  focalRow: "",
  focalSeat: 0,
  rows: Array.from({ length: 33 }, (_, nth) => row(`R${nth}`)),
}));

describe("the layout", () => {
  const withLayout = () => {
    const eventId = newEvent();
    gateway.replies.catalog = {
      getLayout: async ({ viewerId }) => {
        if (viewerId !== "") throw new Error("it was asked for one viewer, though everybody may see it");
        return { eventId, layoutVersion: "v7", sections: stadium };
      },
    };
    return `/v1/events/${eventId}/seats`;
  };

  test("is asked for and compressed once, whoever wants it", async () => {
    const path = withLayout();
    const plain = await get(path);
    const br = await get(path, { "accept-encoding": "gzip, br" });
    const gzip = await get(path, { "accept-encoding": "gzip" });
    const named = await get(path, { authorization: `Bearer ${await gateway.token("acc_1")}` });
    expect(asked("catalog.getLayout")).toBe(1);
    expect(brotliDecompressSync(br.bytes).equals(plain.bytes)).toBe(true);
    expect(gunzipSync(gzip.bytes).equals(plain.bytes)).toBe(true);
    expect(br.bytes.length).toBeLessThan(plain.bytes.length / 10);
    expect(named.bytes.equals(plain.bytes)).toBe(true);
    expect([plain, br, gzip].map(({ headers }) => [headers["etag"], headers["content-encoding"]])).toEqual([
      ['"v7"', undefined],
      ['"v7-br"', "br"],
      ['"v7-gzip"', "gzip"],
    ]);
    expect(br.headers["vary"]).toContain("Accept-Encoding");
    expect(br.headers["cache-control"]).toMatch(/^public, max-age=\d+, stale-while-revalidate=\d+$/);
    expect(named.headers["cache-control"]).toBe("private, no-cache");
    const known = await get(path, { "accept-encoding": "br", "if-none-match": '"v7-br"' });
    expect([known.status, known.bytes.length]).toEqual([304, 0]);
  });

  test("may be kept for ever under its version, and no other is given for that", async () => {
    const path = withLayout();
    expect((await get(`${path}?version=v7`)).headers["cache-control"]).toBe("public, max-age=31536000, immutable");
    const other = await gateway.get(`${path}?version=v6`);
    expect([other.status, other.body.code, other.body.layoutVersion]).toEqual([409, "LAYOUT_CHANGED", "v7"]);
    expect(other.headers.get("cache-control")).toBe("no-store");
    expect((await gateway.get(`${path}?version=v%207`)).body.code).toBe("REQUEST_INVALID");
  });

  test("HEAD says how long it is, without it", async () => {
    const path = withLayout();
    const [head, whole] = [await get(path, {}, "HEAD"), await get(path)];
    expect([head.status, head.bytes.length]).toEqual([200, 0]);
    expect(Number(head.headers["content-length"])).toBe(whole.bytes.length);
    expect(head.headers["etag"]).toBe(whole.headers["etag"]);
  });
});

describe("an event, and a page of events", () => {
  test("have versions, and are asked for once", async () => {
    const eventId = newEvent();
    gateway.replies.catalog = {
      getEvent: async () => ({ event: anEvent({ eventId }), sections: [] }),
      searchEvents: async () => ({ events: [anEvent({ eventId })], nextCursor: "" }),
    };
    for (const path of [`/v1/events/${eventId}`, `/v1/events?q=${eventId}`]) {
      const told = await gateway.get(path);
      const etag = told.headers.get("etag") ?? "";
      expect(etag).toMatch(/^"[\w-]{22}"$/);
      expect(told.headers.get("cache-control")).toContain("public");
      expect((await gateway.get(path, { headers: { "if-none-match": etag } })).status).toBe(304);
    }
    expect([asked("catalog.getEvent"), asked("catalog.searchEvents")]).toEqual([1, 1]);
    // Another search is another answer.
    await gateway.get(`/v1/events?q=${eventId}&limit=5`);
    expect(asked("catalog.searchEvents")).toBe(2);
  });

  test("a draft is never kept for others, nor is a refusal", async () => {
    const eventId = newEvent();
    let published = false;
    gateway.replies.catalog = {
      getEvent: async ({ viewerId }) => {
        if (!published && viewerId !== "acc_org") throw new DomainError("EVENT_NOT_FOUND", "There is no such event.");
        return { event: anEvent({ eventId }), sections: [] };
      },
    };
    const path = `/v1/events/${eventId}`;
    expect((await gateway.get(path, { token: await gateway.token("acc_org", { roles: ["organiser"] }) })).status).toBe(
      200,
    );
    expect((await gateway.get(path)).status).toBe(404);
    expect((await gateway.get(path, { token: await gateway.token("acc_other") })).status).toBe(404);
    published = true;
    expect((await gateway.get(path)).status).toBe(200);
  });
});

describe("numbers", () => {
  test("of the same seats are the same version, whenever they were read", async () => {
    const eventId = newEvent();
    let asOfMs = Date.UTC(2027, 0, 1);
    let free = 5;
    const getAvailability = async () => ({
      sections: [{ sectionId: "A", free, held: 1, sold: 1, blocked: 0 }],
      asOfMs,
    });
    const quick = await startHarness({ ...inject("backing"), settings: { RATE_LIMITS: "false" } });
    try {
      quick.replies.seats = { getAvailability };
      const path = `/v1/events/${eventId}/availability`;
      const first = await quick.get(path);
      const etag = first.headers.get("etag") ?? "";
      expect(etag).toMatch(/^W\/"/);
      asOfMs += 1_000;
      expect((await quick.get(path, { headers: { "if-none-match": etag } })).status).toBe(304);
      free = 4;
      expect((await quick.get(path, { headers: { "if-none-match": etag } })).status).toBe(200);
    } finally {
      await quick.stop();
    }
  });

  test("and states are asked for once by a crowd that comes within a moment", async () => {
    const eventId = newEvent();
    gateway.replies.seats = {
      getAvailability: async () => ({ sections: [], asOfMs: 1 }),
      getSeatStates: async () => ({ states: Buffer.alloc(15_000), seatCount: 60_000, layoutVersion: "v7" }),
    };
    for (let at = 0; at < 5; at++) {
      await gateway.get(`/v1/events/${eventId}/availability`);
      expect((await gateway.get(`/v1/events/${eventId}/seats/state`)).body).toHaveLength(15_000);
    }
    expect([asked("seats.getAvailability"), asked("seats.getSeatStates")]).toEqual([1, 1]);
  });
});
