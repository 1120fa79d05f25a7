// Reads JSON (RFC 8259) and remembers the line of each value, so that a fault in a file can be found. Pure.

export type JsonNode =
  | { readonly line: number; readonly kind: "object"; readonly entries: ReadonlyMap<string, JsonNode> }
  | { readonly line: number; readonly kind: "array"; readonly items: readonly JsonNode[] }
  | { readonly line: number; readonly kind: "string"; readonly value: string }
  | { readonly line: number; readonly kind: "number"; readonly value: number }
  | { readonly line: number; readonly kind: "literal"; readonly value: true | false | null };

export type JsonRead =
  | { readonly ok: true; readonly node: JsonNode }
  /** `found`: what stands there; empty at the end of the file. */
  | { readonly ok: false; readonly line: number; readonly reason: "syntax" | "key twice"; readonly found: string };

class Unreadable extends Error {
  constructor(
    readonly at: number,
    readonly reason: "syntax" | "key twice" = "syntax",
    readonly found?: string,
  ) {
    super("not JSON");
  }
}

/** Deeper than any layout is; keeps a hostile file from exhausting the stack. */
const deepest = 100;

export function readJson(file: string): JsonRead {
  const text = file.replace(/^\ufeff/, "");
  let at = 0;
  let line = 1;

  function skip(): void {
    for (; ; at++) {
      const sign = text[at];
      if (sign === "\n") line += 1;
      else if (sign !== " " && sign !== "\t" && sign !== "\r") return;
    }
  }

  function string(): string {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what a string must not have
    const whole = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
    whole.lastIndex = at;
    const found = whole.exec(text)?.[0];
    if (found === undefined) throw new Unreadable(at);
    at += found.length;
    return JSON.parse(found) as string;
  }

  function value(depth: number): JsonNode {
    skip();
    const began = line;
    const sign = text[at];
    if (depth > deepest) throw new Unreadable(at);
    if (sign === '"') return { line: began, kind: "string", value: string() };
    if (sign === "{") return { line: began, kind: "object", entries: entries(depth) };
    if (sign === "[") return { line: began, kind: "array", items: items(depth) };
    const plain = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
    plain.lastIndex = at;
    const found = plain.exec(text)?.[0];
    if (found === undefined) throw new Unreadable(at);
    at += found.length;
    const read = JSON.parse(found) as number | true | false | null;
    return typeof read === "number"
      ? { line: began, kind: "number", value: read }
      : { line: began, kind: "literal", value: read };
  }

  function items(depth: number): JsonNode[] {
    const found: JsonNode[] = [];
    at += 1;
    skip();
    if (text[at] === "]") {
      at += 1;
      return found;
    }
    for (;;) {
      found.push(value(depth + 1));
      skip();
      if (text[at] === "]") {
        at += 1;
        return found;
      }
      if (text[at] !== ",") throw new Unreadable(at);
      at += 1;
    }
  }

  function entries(depth: number): Map<string, JsonNode> {
    const found = new Map<string, JsonNode>();
    at += 1;
    skip();
    if (text[at] === "}") {
      at += 1;
      return found;
    }
    for (;;) {
      skip();
      if (text[at] !== '"') throw new Unreadable(at);
      const began = at;
      const key = string();
      if (found.has(key)) throw new Unreadable(began, "key twice", key);
      skip();
      if (text[at] !== ":") throw new Unreadable(at);
      at += 1;
      found.set(key, value(depth + 1));
      skip();
      if (text[at] === "}") {
        at += 1;
        return found;
      }
      if (text[at] !== ",") throw new Unreadable(at);
      at += 1;
    }
  }

  try {
    const node = value(0);
    skip();
    if (at < text.length) throw new Unreadable(at);
    return { ok: true, node };
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    const found = error.found ?? /^\S{0,12}/.exec(text.slice(error.at))?.[0] ?? "";
    return { ok: false, line, reason: error.reason, found };
  }
}
