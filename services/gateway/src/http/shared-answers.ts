// Answers that are the same for everybody, made once: their bytes, their version, and their compressed forms.
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import type { Answer } from "./route.js";

export interface SharedAnswer {
  readonly bytes: Buffer;
  /** Without quotes. */
  readonly version: string;
  /** Undefined: not worth it. */
  readonly packed: { readonly br: Buffer; readonly gzip: Buffer } | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

const compressBrotli = promisify(brotliCompress);
const compressGzip = promisify(gzip);
const leastPackedBytes = 1_400; // less fits in one packet anyway

/** JSON; `version` for bodies that have one, else it is made from the content. */
export async function shareJson(body: unknown, version?: string): Promise<SharedAnswer> {
  const bytes = Buffer.from(JSON.stringify(body));
  return {
    bytes,
    version: version ?? fingerprint(bytes),
    packed: bytes.length < leastPackedBytes ? undefined : await pack(bytes),
    headers: { "Content-Type": "application/json" },
  };
}

/** Bytes that are sent as they are. */
export function shareBytes(
  bytes: Buffer,
  headers: Readonly<Record<string, string>>,
  ...within: string[]
): SharedAnswer {
  return { bytes, version: fingerprint(bytes, ...within), packed: undefined, headers };
}

export function fingerprint(bytes: Uint8Array | string, ...within: string[]): string {
  const hash = createHash("sha256");
  for (const part of within) hash.update(part).update("\n");
  return hash.update(bytes).digest("base64url").slice(0, 22);
}

/** In the thread pool, once for each version: so it may take its time to find the smallest. */
async function pack(bytes: Buffer): Promise<{ br: Buffer; gzip: Buffer }> {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  const [br, zipped] = await Promise.all([compressBrotli(bytes, { params }), compressGzip(bytes, { level: 9 })]);
  return { br, gzip: zipped };
}

/** The answer, in the smallest form that the sender takes. Each form is a version of its own, as ETag wants it. */
export function answerWith(
  { bytes, version, packed, headers }: SharedAnswer,
  acceptEncoding: string | undefined,
  more: Readonly<Record<string, string>>,
): Answer {
  if (!packed) return { status: 200, bytes, headers: { ...headers, ETag: `"${version}"`, ...more } };
  const form = accepts(acceptEncoding, "br") ? "br" : accepts(acceptEncoding, "gzip") ? "gzip" : undefined;
  return {
    status: 200,
    bytes: form ? packed[form] : bytes,
    headers: {
      ...headers,
      ETag: form ? `"${version}-${form}"` : `"${version}"`,
      Vary: "Accept-Encoding, Origin",
      ...(form ? { "Content-Encoding": form } : {}),
      ...more,
    },
  };
}

/** Is it named, and not with q=0? What is meant by * we need not know: uncompressed is always right. */
export function accepts(acceptEncoding: string | undefined, form: string): boolean {
  return (acceptEncoding ?? "").split(",").some((part) => {
    const [name = "", ...params] = part.split(";").map((piece) => piece.trim().toLowerCase());
    return name === form && !params.some((param) => /^q=0(\.0*)?$/.test(param));
  });
}

/**
 * Asks once for all who ask for the same key at the same time, and for a moment longer. A refusal is only shared by those
 * who wait for it.
 */
export function remembering<Key extends unknown[], Result>(
  { keepMs, most }: { readonly keepMs: number; readonly most: number },
  ask: (name: string, ...key: Key) => Promise<Result>,
): (name: string, ...key: Key) => Promise<Result> {
  const asking = new Map<string, Promise<Result>>();
  const known = new Map<string, { readonly result: Result; readonly atMs: number }>();
  return (name, ...key) => {
    const recent = known.get(name);
    if (recent && performance.now() - recent.atMs < keepMs) return Promise.resolve(recent.result);
    const running = asking.get(name);
    if (running) return running;
    const answer = ask(name, ...key)
      .then((result) => {
        known.delete(name); // to the end: the first ones are the oldest
        if (keepMs > 0) known.set(name, { result, atMs: performance.now() });
        if (known.size > most) known.delete(known.keys().next().value as string);
        return result;
      })
      .finally(() => asking.delete(name));
    asking.set(name, answer);
    return answer;
  };
}

/** Makes an answer anew only when what it is made from has another version; the last ones are kept by name. */
export function keepingLast<Result extends { readonly version: string }>(most: number) {
  const last = new Map<string, Result>();
  return async (name: string, version: string, make: () => Promise<Result> | Result): Promise<Result> => {
    const known = last.get(name);
    if (known?.version === version) return known;
    const made = await make();
    last.delete(name);
    last.set(name, made);
    if (last.size > most) last.delete(last.keys().next().value as string);
    return made;
  };
}
