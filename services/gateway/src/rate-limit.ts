// Rate limits, counted in Valkey for all gateways together; by each for itself while Valkey is away.
import { isIPv6 } from "node:net";
import { DomainError } from "@onsale/kit/errors";
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from "rate-limiter-flexible";
import type { Rate } from "./config.js";
import type { Valkey } from "./valkey.js";

export type Policy = "anonymous" | "account" | "credentials" | "webhooks";

export interface RateLimits {
  /**
   * Counts one request. The headers are those of draft-ietf-httpapi-ratelimit-headers (RateLimit-Policy: q requests in
   * w seconds; RateLimit: r left, t seconds until they are renewed). Refusal: RATE_LIMITED, with the same headers set.
   */
  take(policy: Policy, who: string): Promise<{ headers: Readonly<Record<string, string>>; refusal?: DomainError }>;
}

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

  return {
    async take(policy, who) {
      const { points, seconds } = rates[policy];
      const headersFor = ({ remainingPoints, msBeforeNext }: RateLimiterRes) => ({
        "RateLimit-Policy": `"${policy}";q=${points};w=${seconds}`,
        RateLimit: `"${policy}";r=${Math.max(0, remainingPoints)};t=${Math.max(0, Math.ceil(msBeforeNext / 1000))}`,
      });
      try {
        return { headers: headersFor(await limiters[policy].consume(who)) };
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
