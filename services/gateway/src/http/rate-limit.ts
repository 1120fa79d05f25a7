// Rate limits, counted in Valkey for all gateways together; by each for itself while Valkey is away.
import { isIPv6 } from "node:net";
import { DomainError } from "@onsale/kit/errors";
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from "rate-limiter-flexible";
import type { Valkey } from "../clients/valkey.js";
import type { Rate } from "../config.js";

export type Policy = "anonymous" | "account" | "credentials" | "codes" | "codesByAddress" | "webhooks";

export interface RateLimits {
  /**
   * Counts one request. The headers are those of draft-ietf-httpapi-ratelimit-headers (RateLimit-Policy: q requests in
   * w seconds; RateLimit: r left, t seconds until they are renewed). Refusal: RATE_LIMITED, with the same headers set.
   */
  take(policy: Policy, who: string): Promise<{ headers: Readonly<Record<string, string>>; refusal?: DomainError }>;
  /** Uncounts one that should not count after all. */
  giveBack(policy: Policy, who: string): Promise<void>;
}

/**
 * What Valkey has said of one caller. While more than half of the limit is left, up to a fiftieth of it is counted here, until the
 * limit is renewed, and told to Valkey with the next question. So a buyer's requests mostly cost no way to Valkey, and whoever
 * goes over several gateways may get a fiftieth more for each but the first. A small limit is asked for each time.
 */
interface Lease {
  readonly remaining: number;
  counted: number;
  readonly renewedAt: number;
}

const mostLeases = 20_000;
/** Counted one by one: of these, some are given back. */
const exact: readonly Policy[] = ["codes", "codesByAddress"];

export function createRateLimits(valkey: Valkey, prefix: string, rates: Readonly<Record<Policy, Rate>>): RateLimits {
  const limiters = Object.fromEntries(
    Object.entries(rates).map(([policy, { points, seconds: duration }]) => [
      policy,
      new RateLimiterRedis({
        storeClient: valkey,
        keyPrefix: `${prefix}rate:${policy}`,
        points,
        duration,
        rejectIfRedisNotReady: true,
        insuranceLimiter: new RateLimiterMemory({ points, duration }),
      }),
    ]),
  ) as Record<Policy, RateLimiterRedis>;

  const leases = new Map<string, Lease>();

  /** Counts in Valkey. What would be counted for longer than the limit says began before Valkey's clock went back: it begins anew. */
  async function count(policy: Policy, who: string, requests: number): Promise<RateLimiterRes> {
    const limiter = limiters[policy];
    const longestMs = rates[policy].seconds * 1000;
    try {
      const told = await limiter.consume(who, requests);
      if (told.msBeforeNext <= longestMs) return told;
    } catch (thrown) {
      if (!(thrown instanceof RateLimiterRes) || thrown.msBeforeNext <= longestMs) throw thrown;
    }
    await limiter.delete(who);
    return limiter.consume(who, requests);
  }

  return {
    async take(policy, who) {
      const { points, seconds } = rates[policy];
      const headersFor = ({
        remainingPoints,
        msBeforeNext,
      }: Pick<RateLimiterRes, "remainingPoints" | "msBeforeNext">) => ({
        "RateLimit-Policy": `"${policy}";q=${points};w=${seconds}`,
        RateLimit: `"${policy}";r=${Math.max(0, remainingPoints)};t=${Math.max(0, Math.ceil(msBeforeNext / 1000))}`,
      });
      const mayLease = points >= 50 && !exact.includes(policy);
      const key = `${policy} ${who}`;
      const now = performance.now();
      const lease = mayLease ? leases.get(key) : undefined;
      if (lease && lease.counted < Math.floor(points / 50) && now < lease.renewedAt) {
        lease.counted += 1;
        return {
          headers: headersFor({
            remainingPoints: lease.remaining - lease.counted,
            msBeforeNext: lease.renewedAt - now,
          }),
        };
      }
      try {
        const untold = lease && now < lease.renewedAt ? lease.counted : 0;
        leases.delete(key);
        const told = await count(policy, who, 1 + untold);
        if (mayLease && told.remainingPoints > points / 2) {
          // Another request of this caller may have been told meanwhile, and requests counted on that.
          const counted = leases.get(key)?.counted ?? 0;
          leases.set(key, { remaining: told.remainingPoints, counted, renewedAt: now + told.msBeforeNext });
          if (leases.size > mostLeases) leases.delete(leases.keys().next().value as string);
        }
        return { headers: headersFor(told) };
      } catch (thrown) {
        if (!(thrown instanceof RateLimiterRes)) throw thrown;
        const retryAfterSeconds = Math.max(1, Math.ceil(thrown.msBeforeNext / 1000));
        const refusal = new DomainError(
          "RATE_LIMITED",
          `Too many requests: ${points} in ${seconds} s are allowed. Try again in ${retryAfterSeconds} s.`,
          { retryAfterSeconds },
        );
        return { headers: headersFor(thrown), refusal };
      }
    },

    async giveBack(policy, who) {
      await limiters[policy].reward(who).catch(() => undefined);
    },
  };
}

/** Runs work that tries an access code; for who asks, on behalf of an address. */
export type CodeGuard = <T>(
  caller: { readonly accountId: string | undefined; readonly clientAddress: string },
  work: () => Promise<T>,
) => Promise<T>;

/**
 * Bounds how fast codes can be guessed: each try is counted before it is made, so that many at once gain nothing, and uncounted
 * when the code was right. Refusal: RATE_LIMITED.
 */
export function guardCodes(rateLimits: RateLimits | undefined): CodeGuard {
  if (!rateLimits) return (_, work) => work();
  return async ({ accountId, clientAddress }, work) => {
    const address = countedAddress(clientAddress);
    const counted: [Policy, string][] = [
      ["codes", accountId ?? address],
      ["codesByAddress", address],
    ];
    const taken: [Policy, string][] = [];
    const giveBack = () => Promise.all(taken.map(([policy, who]) => rateLimits.giveBack(policy, who)));
    for (const [policy, who] of counted) {
      const { refusal } = await rateLimits.take(policy, who);
      if (refusal) {
        await giveBack();
        const { retryAfterSeconds } = refusal.details;
        throw new DomainError(
          "RATE_LIMITED",
          `Too many codes that open nothing were tried from here. Try again in ${retryAfterSeconds} s.`,
          { retryAfterSeconds },
        );
      }
      taken.push([policy, who]);
    }
    try {
      const done = await work();
      await giveBack();
      return done;
    } catch (error) {
      if (!(error instanceof DomainError && error.code === "ACCESS_CODE_INVALID")) await giveBack();
      throw error;
    }
  };
}

/** An address as it is counted: IPv6 by its /64, which one subscriber has as a whole; IPv4 in IPv6 clothes as IPv4. */
export function countedAddress(address: string): string {
  const plain = (address.split("%")[0] ?? "").toLowerCase();
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(plain);
  if (mapped?.[1]) return mapped[1];
  if (!isIPv6(plain)) return plain;
  const [head = "", tail] = plain.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill("0");
  const groups = [...left, ...zeros, ...right].slice(0, 4).map((group) => group.replace(/^0+(?=.)/, ""));
  return `${groups.join(":")}::/64`;
}
