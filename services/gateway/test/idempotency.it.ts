// One Idempotency-Key at several gateways at once: one effect, one answer, whatever the order and whatever fails (fast-check).
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { DomainError } from "@onsale/kit/errors";
import { createLogger } from "@onsale/kit/log";
import fc from "fast-check";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { connectValkey, createAnswerStore, type Valkey } from "../src/clients/valkey.js";
import { createIdempotency, type Idempotency, ReplayedRefusal } from "../src/http/idempotency.js";
import { aHold, eventually, type Harness, startHarness } from "./harness.js";

const prefix = `idem-${randomUUID().slice(0, 8)}:`;
const log = createLogger("idempotency", "silent");
const lines: Valkey[] = [];
let gateways: Idempotency[];
let rest: Harness[];

beforeAll(async () => {
  for (let n = 0; n < 2; n++) {
    const valkey = connectValkey(inject("backing").redisUrl, log);
    lines.push(valkey);
    await eventually(() => valkey.ping());
  }
  gateways = lines.map((valkey) => createIdempotency(createAnswerStore(valkey, prefix), log, "a-secret-of-this-test"));
  const settings = { REDIS_PREFIX: `${prefix}rest:`, IDEMPOTENCY_SECRET: "a-secret-of-this-test" };
  rest = [
    await startHarness({ ...inject("backing"), settings }),
    await startHarness({ ...inject("backing"), settings }),
  ];
});
afterAll(async () => {
  for (const valkey of lines) valkey.disconnect();
  await Promise.all(rest.map((gateway) => gateway.stop()));
});

/** What the work under a key comes to. */
const outcomes = ["done", "refused", "undecided", "away", "nothing happened", "a bug"] as const;
type Outcome = (typeof outcomes)[number];
const isKept = (outcome: Outcome) => outcome === "done" || outcome === "refused";

interface Work {
  readonly body: string;
  readonly first: boolean;
  readonly outcome: Outcome;
  readonly begunAt: number;
  endedAt: number;
}
type Told =
  | { readonly kind: "answer"; readonly replayed: boolean; readonly value: string }
  | { readonly kind: "undecided" }
  | { readonly kind: "refusal"; readonly code: string };

test("any crowd of requests, over two gateways", async () => {
  const request = fc.record({
    key: fc.nat({ max: 1 }),
    body: fc.constantFrom("one", "one", "one", "other"),
    gateway: fc.nat({ max: 1 }),
    afterMs: fc.nat({ max: 12 }),
  });
  const works = fc.array(fc.record({ outcome: fc.constantFrom(...outcomes), ms: fc.nat({ max: 8 }) }), {
    minLength: 12,
    maxLength: 12,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 4, maxLength: 14 }), works, async (requests, planned) => {
      const run = randomUUID();
      const done = new Map<number, Work[]>();
      let begun = 0;
      const ask = async ({ key, body, gateway }: { key: number; body: string; gateway: number }): Promise<Told> => {
        const keyed = { key: `${run}-${key}`, scope: "account a", target: "POST /x", body: Buffer.from(body) };
        try {
          const { answer, replayed } = await (gateways[gateway] as Idempotency).once(keyed, async (attempt) => {
            const { outcome: plan, ms } = planned[begun++ % planned.length] as (typeof planned)[number];
            // Only the first can know that.
            const outcome = plan === "nothing happened" && !attempt.first ? "away" : plan;
            const work: Work = { body, first: attempt.first, outcome, begunAt: performance.now(), endedAt: Infinity };
            done.set(key, [...(done.get(key) ?? []), work]);
            const nth = done.get(key)?.length;
            await sleep(ms);
            work.endedAt = performance.now();
            if (outcome === "done") return { status: 201, body: { made: `${key}.${nth}` } };
            if (outcome === "undecided") return { status: 202, body: {} };
            if (outcome === "refused") throw new DomainError("SEAT_TAKEN", `no ${key}.${nth}`, { seats: ["A"] });
            if (outcome === "nothing happened") attempt.nothingHappened();
            if (outcome === "a bug") throw new TypeError("a bug");
            throw new DomainError("UNAVAILABLE", "later");
          });
          if (answer.status === 202) return { kind: "undecided" };
          return { kind: "answer", replayed, value: (answer.body as { made: string }).made };
        } catch (error) {
          if (error instanceof ReplayedRefusal) return { kind: "answer", replayed: true, value: error.message };
          if (!(error instanceof DomainError)) return { kind: "refusal", code: "a bug" };
          if (error.code === "SEAT_TAKEN") return { kind: "answer", replayed: false, value: error.message };
          return { kind: "refusal", code: error.code };
        }
      };
      const told = await Promise.all(
        requests.map(async (one) => {
          await sleep(one.afterMs);
          return { ...one, told: await ask(one) };
        }),
      );

      for (const key of [0, 1]) {
        const work = done.get(key) ?? [];
        for (const [at, one] of work.entries()) {
          const before = work.slice(0, at);
          // No two at once, and none after there is an answer for good.
          for (const earlier of before) {
            expect(earlier.endedAt, "two worked under one key at once").toBeLessThanOrEqual(one.begunAt);
            expect(isKept(earlier.outcome), "work was done again after its answer").toBe(false);
          }
          // Whoever is told to be the first can rely on it.
          if (one.first)
            expect(
              before.every(({ outcome }) => outcome === "nothing happened"),
              "not the first",
            ).toBe(true);
        }
        const answers = new Set(
          told.flatMap((one) => (one.key === key && one.told.kind === "answer" ? [one.told.value] : [])),
        );
        expect(answers.size, "two answers under one key").toBeLessThanOrEqual(1);
        const firstWork = new Set(work.filter(({ outcome }) => outcome !== "nothing happened").map(({ body }) => body));
        expect(firstWork.size, "two bodies under one key").toBeLessThanOrEqual(1);

        const kept = work.find(({ outcome }) => isKept(outcome));
        if (!kept) continue;
        // From then on both gateways say the same; what a refusal leaves may be on its way for a moment.
        for (const gateway of [0, 1]) {
          await eventually(async () => {
            const again = await ask({ key, body: kept.body, gateway });
            expect(again).toEqual({ kind: "answer", replayed: true, value: [...answers][0] });
          }, 3_000);
          const other = await ask({ key, body: kept.body === "one" ? "other" : "one", gateway });
          expect(other).toEqual({ kind: "refusal", code: "IDEMPOTENCY_KEY_REUSED" });
        }
        expect(done.get(key)).toHaveLength(work.length);
      }
    }),
    { numRuns: 80 },
  );
});

test("a checkout that is sent to two gateways at once, again and again, is held once and answered alike", async () => {
  const holds: string[] = [];
  for (const gateway of rest)
    gateway.replies.seats = {
      hold: async ({ checkoutId, eventId }) => {
        holds.push(checkoutId ?? "");
        await sleep(5);
        if (eventId === "evt_taken") throw new DomainError("SEAT_TAKEN", "Gone.", { seats: ["A-A-1"] });
        return aHold(["A-A-1"], { deadlineMs: 1_900_000_000_000 });
      },
    };
  // One account; both gateways know both keys of the account service.
  const [one, two] = rest as [Harness, Harness];
  const tokens = [await one.token("acc_idem"), await two.token("acc_idem")];
  for (const eventId of ["evt_1", "evt_taken"])
    for (let round = 0; round < 6; round++) {
      holds.length = 0;
      const key = `${run()}-${round}`;
      const ask = (nth: number) =>
        (rest[nth % 2] as Harness).post("/v1/checkouts", {
          token: tokens[nth % 2],
          key,
          body: { eventId, seats: ["A-A-1"] },
        });
      const told = await Promise.all(Array.from({ length: 8 }, (_, nth) => ask(nth)));
      const final = told.filter(({ body }) => body.code !== "IDEMPOTENCY_IN_FLIGHT");
      expect(final.length).toBeGreaterThan(0);
      expect(new Set(final.map(({ status }) => status))).toEqual(new Set([eventId === "evt_1" ? 201 : 409]));
      for (const nth of [0, 1])
        await eventually(async () => {
          const again = await ask(nth);
          expect(again.headers.get("idempotent-replayed")).toBe("true");
          // A problem names the request that it answers.
          const { requestId: _, instance: __, ...same } = again.body;
          const { requestId: ___, instance: ____, ...first } = final[0]?.body ?? {};
          expect(same).toEqual(first);
        }, 5_000);
      expect(holds).toHaveLength(1);
    }
});

const run = () => randomUUID().slice(0, 8);

test("a key whose first request died before Valkey's clock went back is not taken for so much longer", async () => {
  const [valkey] = lines as [Valkey];
  const store = createAnswerStore(valkey, prefix);
  const [id, hourMs] = [randomUUID(), 3_600_000];
  const begin = (owner: string) => store.begin(id, { fingerprint: "f".repeat(43), owner, lockMs: 300, keepMs: 60_000 });
  expect(await begin("dies")).toEqual({ kind: "first" });
  await valkey.pexpire(`${prefix}answer:${id}`, 60_000 + hourMs);
  expect(await begin("retries")).toEqual({ kind: "running", forMs: 300 });
  await expect.poll(() => begin("retries again")).toEqual({ kind: "again" });
});
