// Structured logs: one JSON line an event, with a redaction list so that no secret or personal data gets in.
import { pino } from "pino";

export type Logger = pino.Logger;

const secret = [
  "password",
  "token",
  "accessToken",
  "refreshToken",
  "access_token",
  "refresh_token",
  "authorization",
  "cookie",
  "email",
  "name",
  "clientSecret",
  "client_secret",
  "paymentMethodId",
  "signature",
  "secret",
  "privateKey",
];

/** Paths that are never written, at the top and one or two levels down. */
export const redactedPaths = secret.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]);

/** `fields`: what every line says besides, asked for each: the ids of the span that it is written in. */
export function createLogger(
  service: string,
  level: string,
  destination?: pino.DestinationStream,
  fields?: () => object,
): Logger {
  const options: pino.LoggerOptions = {
    level,
    base: { service },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: redactedPaths, censor: "[redacted]" },
    serializers: { err: (thrown) => describeError(thrown) },
    ...(fields && { mixin: fields }),
  };
  return pino(options, destination ?? standardOutput());
}

let output: pino.DestinationStream | undefined;

/** The lines of one turn of the event loop leave in one write, and with the process at the latest. */
function standardOutput(): pino.DestinationStream {
  output ??= gatheringLines();
  return output;
}

function gatheringLines(): pino.DestinationStream {
  const output = pino.destination({ dest: 1, sync: true });
  let lines = "";
  const leave = () => {
    if (lines !== "") output.write(lines);
    lines = "";
  };
  let ending = false;
  process.on("exit", () => {
    ending = true;
    leave();
  });
  return {
    write(line) {
      if (lines === "" && !ending) setImmediate(leave);
      lines += line;
      if (ending) leave(); // there is no next turn
    },
  };
}

interface DescribedError {
  readonly type: string;
  readonly message: string;
  readonly code?: string | number;
  readonly stack?: string;
  readonly cause?: DescribedError;
}

/** Causes told: a chain may be long, or lead back to itself. */
const causesTold = 5;

/** Name, message, stack and causes; never the enumerable rest, which in client libraries holds requests with their headers. */
export function describeError(thrown: unknown, causes = causesTold): DescribedError {
  if (!(thrown instanceof Error)) return { type: typeof thrown, message: textOf(thrown) };
  const code = (thrown as { code?: unknown }).code;
  return {
    type: thrown.name,
    message: thrown.message,
    ...(typeof code === "string" || typeof code === "number" ? { code } : {}),
    ...(thrown.stack ? { stack: thrown.stack } : {}),
    ...(thrown.cause === undefined || causes === 0 ? {} : { cause: describeError(thrown.cause, causes - 1) }),
  };
}

/** Whatever can be thrown can be logged, also an object that has no text. */
const textOf = (thrown: unknown): string =>
  typeof thrown === "object" ? Object.prototype.toString.call(thrown) : String(thrown);
