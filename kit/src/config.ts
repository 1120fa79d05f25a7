// Reads configuration from the environment once, and says in one message everything that is wrong with it.
import { z } from "zod";
import { tracingSettings } from "./tracing.js";

/** Host and port to listen on or call, as "127.0.0.1:7001". */
export const address = z.string().regex(/^[^\s:]+:\d{1,5}$/, "must be host:port");
/**
 * Where a service is called: host:port, whose name may stand for several processes (dns:///host:port is the same), or the
 * numbers of several with commas.
 */
export const target = z
  .string()
  .regex(
    /^(?:(?:dns:\/\/\/)?[^\s:,/]+:\d{1,5}|\d{1,3}(?:\.\d{1,3}){3}:\d{1,5}(?:,\d{1,3}(?:\.\d{1,3}){3}:\d{1,5})+)$/,
    "must be host:port, dns:///host:port, or several of the form 10.0.0.1:7002 with commas between and no spaces",
  );
export const wholeNumber = z.coerce.number().int();
export const seconds = z.coerce.number().positive();
export const flag = z.enum(["true", "false"]).transform((value) => value === "true");

/** How services prove themselves to each other: mutual TLS (three PEM files), or a shared secret, or both. */
export const trustSettings = {
  GRPC_SHARED_SECRET: z.string().min(16, "must have at least 16 characters").optional(),
  GRPC_TLS_CA: z.string().optional(),
  GRPC_TLS_CERT: z.string().optional(),
  GRPC_TLS_KEY: z.string().optional(),
};

/** What every process has. */
export const processSettings = {
  ...trustSettings,
  ...tracingSettings,
  NODE_ENV: z.enum(["production", "development", "test"]).default("development"),
  LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info"),
  /** Where /healthz, /readyz and /metrics are served. */
  OPS_LISTEN: address.default("127.0.0.1:0"),
  /** Where a gRPC service answers health checks without TLS, besides its own port. Unset: nowhere. */
  GRPC_HEALTH_LISTEN: address.optional(),
  /** Grace for requests in flight after SIGTERM. */
  SHUTDOWN_GRACE_SECONDS: seconds.default(10),
};

/** Throws one Error that lists every wrong setting, so that a person fixes them in one go. Values are not repeated: some are secret. */
export function readConfig<Shape extends z.ZodRawShape>(
  shape: Shape,
  env: Readonly<Record<string, string | undefined>> = process.env,
): z.infer<z.ZodObject<Shape>> {
  const present = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ""));
  const result = z.object(shape).safeParse(present);
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => `  ${issue.path.join(".")}: ${issue.message}`);
  throw new Error(`The configuration is not usable. Set these environment variables:\n${lines.join("\n")}`);
}
