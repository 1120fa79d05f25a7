// The fault plan: which requests go wrong, how, and how often. Rules are counted, so that a run can be repeated.
import { z } from "zod";
import { chanceFrom } from "./chance.js";

const regex = z
  .string()
  .max(200)
  .refine((pattern) => {
    try {
      new RegExp(pattern);
      return true;
    } catch {
      return false;
    }
  }, "must be a regular expression");

const match = z
  .strictObject({
    method: z.enum(["GET", "POST", "DELETE"]).optional(),
    /** Matched anywhere in the path, without its query. */
    path: regex.optional(),
    idempotencyKey: regex.optional(),
    /** Of the request's own parameters, or of the PaymentIntent that it is about. */
    metadata: z.record(z.string(), z.string()).optional(),
    /** Only the nth request (from 1) that fits the rest. */
    nth: z.int().min(1).optional(),
    /** Every nth request that fits the rest. */
    every: z.int().min(1).optional(),
    probability: z.number().min(0).max(1).optional(),
    seed: z.int().optional(),
  })
  .refine(({ nth, every, probability }) => [nth, every, probability].filter((one) => one !== undefined).length < 2, {
    message: "nth, every and probability can't be combined",
  });

const milliseconds = z.int().min(0).max(600_000);

const action = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("latency"), ms: milliseconds }),
  /** The connection is reset before anything has happened. */
  z.strictObject({ type: z.literal("reset_before_commit") }),
  /** It has happened, the answer is stored under the key, the connection is reset instead of the answer. */
  z.strictObject({ type: z.literal("reset_after_commit") }),
  /** It has happened; half of the body arrives. */
  z.strictObject({ type: z.literal("body_cut") }),
  /** A 500 that the key repeats for a day. With `executed` it has happened all the same. */
  z.strictObject({ type: z.literal("error_500_stored"), executed: z.boolean().default(false) }),
  /** A 500 before anything has happened; the same key may try again. */
  z.strictObject({ type: z.literal("error_500_unstored") }),
  z.strictObject({ type: z.literal("error_429") }),
  /** The events that the request causes are never delivered (they are in GET /v1/events). */
  z.strictObject({ type: z.literal("webhook_drop") }),
  z.strictObject({ type: z.literal("webhook_duplicate"), copies: z.int().min(1).max(10).default(1) }),
  z.strictObject({ type: z.literal("webhook_delay"), ms: milliseconds }),
]);

export const faultRule = z.strictObject({
  name: z.string().max(100).optional(),
  match: match.default({}),
  action,
  /** How many requests it may hit. */
  count: z.int().min(1).max(1_000_000).default(1),
});
export const faultRules = z.array(faultRule).max(100);

export type FaultRule = z.infer<typeof faultRule>;
export type FaultAction = FaultRule["action"];

export interface FaultedRequest {
  readonly method: string;
  readonly path: string;
  readonly idempotencyKey: string | undefined;
  readonly metadata: readonly Readonly<Record<string, string>>[];
  /** The key has a stored answer: only what happens to connections and time can go wrong. */
  readonly replay: boolean;
}

/** What goes wrong with one request. */
export interface Faults {
  readonly latencyMs: number;
  readonly ending:
    | Exclude<FaultAction, { type: "latency" | "webhook_drop" | "webhook_duplicate" | "webhook_delay" }>
    | undefined;
  readonly webhooks: { readonly drop: boolean; readonly copies: number; readonly delayMs: number };
}

export const noFaults: Faults = { latencyMs: 0, ending: undefined, webhooks: { drop: false, copies: 0, delayMs: 0 } };

export interface PlannedRule extends FaultRule {
  readonly id: number;
  readonly fitted: number;
  readonly hit: number;
}

export interface FaultPlan {
  add(rules: readonly FaultRule[]): readonly PlannedRule[];
  list(): readonly PlannedRule[];
  /** All of them, or one; answers how many there were. */
  remove(id?: number): number;
  faultsFor(request: FaultedRequest): Faults;
}

export const maxRules = 100;

export function createFaultPlan(initial: readonly FaultRule[], seed: number): FaultPlan {
  interface Live {
    readonly id: number;
    readonly rule: FaultRule;
    readonly path: RegExp | undefined;
    readonly key: RegExp | undefined;
    readonly chance: () => number;
    fitted: number;
    hit: number;
  }
  let live: Live[] = [];
  let lastId = 0;

  const shown = ({ id, rule, fitted, hit }: Live): PlannedRule => ({ id, ...rule, fitted, hit });

  function add(rules: readonly FaultRule[]) {
    const added = rules.map((rule): Live => {
      lastId += 1;
      return {
        id: lastId,
        rule,
        path: rule.match.path === undefined ? undefined : new RegExp(rule.match.path),
        key: rule.match.idempotencyKey === undefined ? undefined : new RegExp(rule.match.idempotencyKey),
        chance: chanceFrom(rule.match.seed ?? seed + lastId),
        fitted: 0,
        hit: 0,
      };
    });
    live.push(...added);
    return added.map(shown);
  }

  function fits({ rule, path, key }: Live, request: FaultedRequest): boolean {
    const { method, metadata } = rule.match;
    if (method !== undefined && method !== request.method) return false;
    if (path !== undefined && !path.test(request.path)) return false;
    if (key !== undefined && !key.test(request.idempotencyKey ?? "")) return false;
    if (request.replay && /^(?:error_|webhook_)/.test(rule.action.type)) return false;
    if (metadata === undefined) return true;
    const wanted = Object.entries(metadata);
    return request.metadata.some((given) => wanted.every(([name, value]) => given[name] === value));
  }

  function chosen(one: Live): boolean {
    const { nth, every, probability } = one.rule.match;
    if (nth !== undefined) return one.fitted === nth;
    if (every !== undefined) return one.fitted % every === 0;
    return probability === undefined || one.chance() < probability;
  }

  add(initial);
  return {
    add,
    list: () => live.map(shown),
    remove(id) {
      const before = live.length;
      live = id === undefined ? [] : live.filter((one) => one.id !== id);
      return before - live.length;
    },
    faultsFor(request) {
      let faults = noFaults;
      for (const one of live) {
        if (one.hit >= one.rule.count || !fits(one, request)) continue;
        const { action } = one.rule;
        const isEnding = action.type !== "latency" && !action.type.startsWith("webhook_");
        if (isEnding && faults.ending !== undefined) continue;
        one.fitted += 1;
        if (!chosen(one)) continue;
        one.hit += 1;
        faults = withAction(faults, action);
      }
      return faults;
    },
  };
}

function withAction(faults: Faults, action: FaultAction): Faults {
  const { webhooks } = faults;
  switch (action.type) {
    case "latency":
      return { ...faults, latencyMs: faults.latencyMs + action.ms };
    case "webhook_drop":
      return { ...faults, webhooks: { ...webhooks, drop: true } };
    case "webhook_duplicate":
      return { ...faults, webhooks: { ...webhooks, copies: webhooks.copies + action.copies } };
    case "webhook_delay":
      return { ...faults, webhooks: { ...webhooks, delayMs: webhooks.delayMs + action.ms } };
    default:
      return { ...faults, ending: action };
  }
}
