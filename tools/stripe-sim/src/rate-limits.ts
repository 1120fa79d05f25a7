// Request rates as Stripe limits them: one bucket for all requests of the account, one for each endpoint.
// Source: https://docs.stripe.com/rate-limits

export interface RateLimitSettings {
  /** Requests a second; 0: no limit. */
  readonly perEndpoint: number;
  readonly total: number;
}

export interface RateLimits {
  /** Takes one request of both buckets, or of neither. */
  take(endpoint: string, nowMilliseconds: number): "endpoint-rate" | "global-rate" | undefined;
}

interface Bucket {
  left: number;
  filledAt: number;
}

export function createRateLimits({ perEndpoint, total }: RateLimitSettings): RateLimits {
  const buckets = new Map<string, Bucket>();

  /** A bucket holds one second's worth and refills evenly. */
  function fill(name: string, rate: number, now: number): Bucket {
    let bucket = buckets.get(name);
    if (bucket === undefined) {
      bucket = { left: rate, filledAt: now };
      buckets.set(name, bucket);
    }
    const elapsed = Math.max(0, now - bucket.filledAt);
    bucket.left = Math.min(rate, bucket.left + (elapsed * rate) / 1000);
    bucket.filledAt = now;
    return bucket;
  }

  return {
    take(endpoint, now) {
      // Search has a budget of its own, four fifths of the others'.
      const rate = endpoint.endsWith("/search") ? Math.max(1, perEndpoint * 0.8) : perEndpoint;
      const all = total === 0 ? undefined : fill("", total, now);
      const own = perEndpoint === 0 ? undefined : fill(endpoint, rate, now);
      if (all !== undefined && all.left < 1) return "global-rate";
      if (own !== undefined && own.left < 1) return "endpoint-rate";
      if (all !== undefined) all.left -= 1;
      if (own !== undefined) own.left -= 1;
      return undefined;
    },
  };
}
