// One line for people from one line of a process's output: its JSON log made readable, anything else as it is.

export type Paint = (text: string) => string;
const plain: Paint = (text) => text;

/** The paints of a terminal; without colour, all of them leave the text alone. */
export function paints(colour: boolean) {
  const code = (number: number): Paint => (colour ? (text) => `\u001b[${number}m${text}\u001b[0m` : plain);
  return {
    red: code(31),
    green: code(32),
    yellow: code(33),
    dim: code(2),
    bold: code(1),
    /** A service keeps its colour from start to start. */
    service: (name: string): Paint => {
      const hues = [36, 35, 34, 33, 32, 96, 95, 94];
      const sum = [...name].reduce((total, letter) => total + (letter.codePointAt(0) ?? 0), 0);
      return code(hues[sum % hues.length] ?? 36);
    },
  };
}

export const nameWidth = 10;
const levels = { trace: "trace", debug: "debug", info: "info", warn: "WARN", error: "ERROR", fatal: "FATAL" } as const;
const notShown = new Set(["level", "time", "service", "msg", "pid", "hostname", "err"]);

export function renderLine(source: string, line: string, paint = paints(false)): string {
  const prefix = paint.service(source)(source.padEnd(nameWidth));
  const entry = parsed(line);
  if (entry === undefined) return `${prefix} ${printable(line)}`;
  const level = typeof entry["level"] === "string" ? entry["level"] : "info";
  const shade = level === "warn" ? paint.yellow : level === "error" || level === "fatal" ? paint.red : plain;
  const word = shade((levels[level as keyof typeof levels] ?? level).padEnd(5));
  const time = typeof entry["time"] === "string" ? entry["time"].slice(11, 19) : "";
  const fields = Object.entries(entry)
    .filter(([key]) => !notShown.has(key))
    .map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  const said = shade(printable(String(entry["msg"] ?? "")));
  const facts = fields.length > 0 ? ` ${paint.dim(printable(fields.join(" ")))}` : "";
  return `${paint.dim(time)} ${prefix} ${word} ${said}${facts}${errorOf(entry["err"], paint.dim)}`;
}

function parsed(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

interface LoggedError {
  readonly message?: string;
  readonly stack?: string;
  readonly cause?: LoggedError;
}

function errorOf(err: unknown, dim: Paint): string {
  if (typeof err !== "object" || err === null) return "";
  const { message = "", stack, cause } = err as LoggedError;
  const frames = stack?.split("\n").filter((frame) => /^\s+at /.test(frame) && !frame.includes("node_modules")) ?? [];
  const where = frames.slice(0, 3).map((frame) => `\n    ${dim(printable(frame.trim()))}`);
  return `\n    ${printable(message)}${where.join("")}${cause ? errorOf(cause, dim) : ""}`;
}

/** A log carries what others sent: control characters must not reach the terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) =>
    character === "\n" || character === "\t"
      ? character
      : `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, "0")}`,
  );
}
