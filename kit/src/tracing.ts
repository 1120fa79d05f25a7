// Traces: which span the running code is in, how spans begin, end and go over to other processes. Off, it does nothing at all.

/*
 * Nobody hooks into libraries behind our back: each client and server of the kit begins its own spans, by these functions. A
 * span is begun only below another one, so that whatever nobody traces (a caller who was not sampled, a timer) costs one look
 * at a variable. Roots are begun where requests enter the system, and nowhere else.
 *
 * What is on a span is chosen here and by those who call: names, codes, ids. Never a message, an argument, a body or an
 * address of anybody: an error's text may hold what the request held.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { hash } from "node:crypto";
import type { Attributes, Span as OtelSpan, Tracer } from "@opentelemetry/api";
import { z } from "zod";
import { DomainError } from "./errors.js";
import type { Logger } from "./log.js";

const samplers = [
  "always_on",
  "always_off",
  "traceidratio",
  "parentbased_always_on",
  "parentbased_always_off",
  "parentbased_traceidratio",
] as const;
const switchedOn = /^true$/i;

/** The standard's names (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/); OTEL_BSP_* and OTEL_EXPORTER_OTLP_HEADERS, _TIMEOUT, _COMPRESSION are read by the SDK itself. */
export const tracingSettings = {
  /** Unset, with the next one unset too: no traces. */
  OTEL_EXPORTER_OTLP_ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
  OTEL_EXPORTER_OTLP_PROTOCOL: z
    .enum(["http/protobuf", "http/json"], "must be http/protobuf or http/json; OTLP over gRPC is not spoken here")
    .optional(),
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: z
    .enum(["http/protobuf", "http/json"], "must be http/protobuf or http/json; OTLP over gRPC is not spoken here")
    .optional(),
  OTEL_TRACES_EXPORTER: z.enum(["otlp", "none"], "must be otlp or none").optional(),
  OTEL_TRACES_SAMPLER: z.enum(samplers, `must be one of ${samplers.join(", ")}`).default("parentbased_traceidratio"),
  /** The share of traces that are kept, of those whose caller has not decided. */
  OTEL_TRACES_SAMPLER_ARG: z.coerce.number("must be a number from 0 to 1").min(0).max(1).default(1),
  OTEL_SERVICE_NAME: z.string().optional(),
  OTEL_SDK_DISABLED: z.string().default("false"),
};
type TracingConfig = z.infer<z.ZodObject<typeof tracingSettings>>;

export function isTraced(config: TracingConfig): boolean {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: all, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: traces } = config;
  if (switchedOn.test(config.OTEL_SDK_DISABLED) || config.OTEL_TRACES_EXPORTER === "none") return false;
  return all !== undefined || traces !== undefined;
}

export type Kind = "internal" | "server" | "client";

/** A place in a trace, of this process or another. */
export interface Place {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
}

export interface Span extends Place {
  /** What others are told, so that they go on below it. */
  readonly traceparent: string;
  set(name: string, value: string | number | boolean): void;
  rename(name: string): void;
  /** A second end changes nothing. `failed`: whoever is on call should look at this one. */
  end(failed?: boolean, atMs?: number): void;
}

export interface Beginning {
  readonly kind?: Kind;
  readonly attributes?: Attributes;
  /** Epoch milliseconds; now by default. */
  readonly atMs?: number;
}

interface Live {
  readonly tracer: Tracer;
  readonly here: AsyncLocalStorage<OwnSpan>;
  /** Begins a span with ids that are chosen elsewhere. */
  begin(name: string, how: Beginning, parent: Place | undefined, ids: Partial<Place>): OtelSpan;
}

let live: Live | undefined;

/** Is tracing on at all? */
export const tracing = (): boolean => live !== undefined;

/** The span that the running code is in. */
export function currentSpan(): Span | undefined {
  const span = live?.here.getStore();
  // What was begun in a request and outlives it (a timer, a watch) is not part of it any more.
  return span === undefined || span.ended ? undefined : span;
}

/** A span below the current one; undefined when nobody traces this. */
export function beginSpan(name: string, how: Beginning = {}): Span | undefined {
  const parent = currentSpan();
  return parent && live ? begun(live, name, how, parent, {}) : undefined;
}

/** A span below one of another process, as it told of itself; undefined when it did not, or nobody traces this. */
export function continueSpan(traceparent: string | undefined, name: string, how: Beginning = {}): Span | undefined {
  if (!live || !traceparent) return undefined;
  const parent = readTraceparent(traceparent);
  return parent?.sampled ? begun(live, name, how, parent, {}) : undefined;
}

/** Where a trace begins, or is taken over from a caller outside of the system. Undefined: not sampled. */
export function beginTrace(
  name: string,
  how: Beginning & {
    /** The caller's, as it came. What is malformed is none. */
    readonly traceparent?: string | undefined;
    /** For a trace without a caller: as traceIdOf makes it. */
    readonly traceId?: string | undefined;
  },
): Span | undefined {
  if (!live) return undefined;
  const { traceparent, traceId, ...rest } = how;
  const parent = traceparent === undefined ? undefined : readTraceparent(traceparent);
  return begun(live, name, rest, parent, traceId === undefined || parent ? {} : { traceId });
}

/** A span that took place elsewhere, in code that can't reach this (a workflow): told with its ids when it is over. */
export function tellSpan(
  name: string,
  told: Beginning & {
    readonly traceparent: string;
    readonly spanId: string;
    readonly endedAtMs: number;
    readonly failed: boolean;
  },
): void {
  const { traceparent, spanId, endedAtMs, failed, ...how } = told;
  const parent = readTraceparent(traceparent);
  if (!live || !parent?.sampled) return;
  begun(live, name, how, parent, { spanId })?.end(failed, endedAtMs);
}

/** Runs work in a span; with none, where it is. */
export function within<Result>(span: Span | undefined, work: () => Result): Result {
  return span && live ? live.here.run(span as OwnSpan, work) : work();
}

/** Runs work in a span of its own below the current one, and ends it with the work. */
export async function traced<Result>(name: string, how: Beginning, work: () => Promise<Result>): Promise<Result> {
  const span = beginSpan(name, how);
  if (!span) return await work();
  try {
    const result = await within(span, work);
    span.end();
    return result;
  } catch (error) {
    endRefused(span, error);
    throw error;
  }
}

/** Is this somebody's trouble (5xx, a bug), or an answer like any other (a seat that is taken)? */
export const isTrouble = (error: unknown): boolean => !(error instanceof DomainError) || error.refusal.http >= 500;

/** Ends a span with what its work threw. */
export function endRefused(span: Span | undefined, error: unknown): void {
  if (!span) return;
  span.set("error.type", error instanceof DomainError ? error.code : error instanceof Error ? error.name : "unknown");
  span.end(isTrouble(error));
}

/** For a trace that is to be found again by what it is about: the same name, the same 32 hex digits. */
export const traceIdOf = (name: string): string => hash("sha256", `trace ${name}`, "hex").slice(0, 32);

/** What each line of the log says while a span runs. */
export function spanFields(): { trace_id?: string; span_id?: string } {
  const span = currentSpan();
  return span ? { trace_id: span.traceId, span_id: span.spanId } : {};
}

const shape = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** W3C Trace Context, https://www.w3.org/TR/trace-context/#traceparent-header. Undefined: it is not one. */
export function readTraceparent(text: string): (Place & { readonly sampled: boolean }) | undefined {
  const [, version = "", traceId = "", spanId = "", flags = "", more] = shape.exec(text) ?? [];
  if (version === "" || version === "ff" || (version === "00" && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

class OwnSpan implements Span {
  readonly traceId: string;
  readonly spanId: string;
  ended = false;
  readonly #span: OtelSpan;

  constructor(span: OtelSpan) {
    const { traceId, spanId } = span.spanContext();
    this.traceId = traceId;
    this.spanId = spanId;
    this.#span = span;
  }

  get traceparent(): string {
    return `00-${this.traceId}-${this.spanId}-01`;
  }

  set(name: string, value: string | number | boolean): void {
    this.#span.setAttribute(name, value);
  }

  rename(name: string): void {
    this.#span.updateName(name);
  }

  end(failed = false, atMs?: number): void {
    if (this.ended) return;
    this.ended = true;
    if (failed) this.#span.setStatus({ code: 2 }); // SpanStatusCode.ERROR
    this.#span.end(atMs === undefined ? undefined : new Date(atMs));
  }
}

function begun(
  { begin }: Live,
  name: string,
  how: Beginning,
  parent: (Place & { readonly sampled?: boolean }) | undefined,
  ids: Partial<Place>,
): OwnSpan | undefined {
  const span = begin(name, how, parent, ids);
  return span.isRecording() ? new OwnSpan(span) : undefined;
}

const kinds = { internal: 0, server: 1, client: 2 } as const; // SpanKind

export interface RunningTracing {
  /** Sends what is left, if that goes quickly. */
  stop(): Promise<void>;
}

/** What is left is sent within this, or lost: a collector that is away must not hold up the end of a process. */
const lastMs = 2_000;
/** Between two lines about a collector that does not answer. */
const quietMs = 60_000;

/** From here on spans are made. Once a process, before anything that begins spans is opened. Undefined: it is off. */
export async function startTracing(
  service: string,
  config: TracingConfig,
  log: Logger,
): Promise<RunningTracing | undefined> {
  if (!isTraced(config)) return undefined;
  // Loaded only now: whoever does not trace pays neither time nor memory for it.
  const [{ ROOT_CONTEXT, trace, TraceFlags }, sdk, resources, core] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace-base"),
    import("@opentelemetry/resources"),
    import("@opentelemetry/core"),
  ]);
  const protocol = config.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ?? config.OTEL_EXPORTER_OTLP_PROTOCOL ?? "http/protobuf";
  const { OTLPTraceExporter } =
    protocol === "http/json"
      ? await import("@opentelemetry/exporter-trace-otlp-http")
      : await import("@opentelemetry/exporter-trace-otlp-proto");
  const endpoint =
    config.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? `${config.OTEL_EXPORTER_OTLP_ENDPOINT?.replace(/\/+$/, "")}/v1/traces`;

  let toldAt = Number.NEGATIVE_INFINITY;
  core.setGlobalErrorHandler((error) => {
    if (performance.now() - toldAt < quietMs) return;
    toldAt = performance.now();
    // Of what the collector said only the kind: it may repeat what it was sent.
    const { name, code } = error as { name?: string; code?: unknown };
    log.warn({ kind: name, code }, "spans can't be sent to the collector; they are dropped until it answers again");
  });

  const random = new sdk.RandomIdGenerator();
  let wanted: Partial<Place> = {};
  const provider = new sdk.BasicTracerProvider({
    resource: resources
      .resourceFromAttributes({ "service.name": config.OTEL_SERVICE_NAME ?? `onsale-${service}` })
      .merge(resources.detectResources({ detectors: [resources.envDetector] })),
    sampler: samplerOf(sdk, config),
    idGenerator: {
      generateTraceId: () => wanted.traceId ?? random.generateTraceId(),
      generateSpanId: () => wanted.spanId ?? random.generateSpanId(),
    },
    spanProcessors: [new sdk.BatchSpanProcessor(new OTLPTraceExporter({ url: endpoint }))],
  });
  const tracer = provider.getTracer("onsale");
  live = {
    tracer,
    here: new AsyncLocalStorage<OwnSpan>(),
    begin(name, { kind = "internal", attributes, atMs }, parent, ids) {
      wanted = ids;
      const flags = (parent as { sampled?: boolean } | undefined)?.sampled === false ? 0 : TraceFlags.SAMPLED;
      const context = parent
        ? trace.setSpanContext(ROOT_CONTEXT, {
            traceId: parent.traceId,
            spanId: parent.spanId,
            traceFlags: flags,
            isRemote: true,
          })
        : ROOT_CONTEXT;
      const span = tracer.startSpan(
        name,
        {
          kind: kinds[kind],
          ...(attributes && { attributes }),
          // A number may be taken for one of performance.now().
          ...(atMs !== undefined && { startTime: new Date(atMs) }),
        },
        context,
      );
      wanted = {};
      return span;
    },
  };
  log.info({ sampler: config.OTEL_TRACES_SAMPLER, share: config.OTEL_TRACES_SAMPLER_ARG }, "traces are on");
  return {
    async stop() {
      live = undefined;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, lastMs);
      });
      await Promise.race([provider.shutdown().catch(() => undefined), late]);
      clearTimeout(timer);
    },
  };
}

function samplerOf(sdk: typeof import("@opentelemetry/sdk-trace-base"), config: TracingConfig) {
  const { OTEL_TRACES_SAMPLER: name, OTEL_TRACES_SAMPLER_ARG: share } = config;
  const root = name.endsWith("always_on")
    ? new sdk.AlwaysOnSampler()
    : name.endsWith("always_off")
      ? new sdk.AlwaysOffSampler()
      : new sdk.TraceIdRatioBasedSampler(share);
  return name.startsWith("parentbased_") ? new sdk.ParentBasedSampler({ root }) : root;
}
