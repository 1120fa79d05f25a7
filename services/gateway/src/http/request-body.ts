// Reads a request's body: bounded, never more of it than allowed, and only JSON in UTF-8.
import type { IncomingMessage, ServerResponse } from "node:http";
import { DomainError } from "@onsale/kit/errors";

const tooLarge = (limitBytes: number) =>
  new DomainError("BODY_TOO_LARGE", `The body may have at most ${limitBytes} bytes.`, { limitBytes });

/**
 * The whole body. Stops reading as soon as it is, or says it will be, larger than the limit: BODY_TOO_LARGE.
 * Compressed bodies are refused: MEDIA_TYPE_UNSUPPORTED.
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  limitBytes: number,
): Promise<Buffer> {
  const declared = request.headers["content-length"];
  if (declared !== undefined && Number(declared) > limitBytes) throw tooLarge(limitBytes);
  const coding = request.headers["content-encoding"];
  if (coding !== undefined && coding.toLowerCase() !== "identity")
    throw new DomainError("MEDIA_TYPE_UNSUPPORTED", "Compressed bodies are not taken; send the JSON as it is.");
  if (request.headers.expect?.toLowerCase() === "100-continue") response.writeContinue();
  // A short body has mostly come with its headers.
  if (request.complete && request.readableLength > 0 && request.readableLength <= limitBytes)
    return request.read() as Buffer;
  return await new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const stop = (error?: unknown) => {
      request.off("data", onData).off("end", onEnd).off("error", stop).off("close", onClose);
      if (error === undefined) return;
      request.pause();
      reject(error);
    };
    const onData = (chunk: Buffer) => {
      size += chunk.length;
      if (size > limitBytes) return stop(tooLarge(limitBytes));
      chunks.push(chunk);
    };
    const onEnd = () => {
      stop();
      resolve(Buffer.concat(chunks));
    };
    const onClose = () =>
      stop(new DomainError("REQUEST_INVALID", "The connection was closed before the body was complete."));
    request.on("data", onData).on("end", onEnd).on("error", stop).on("close", onClose);
  });
}

const shortBytes = 64 * 1024;

/** What of a request's body was not read when its answer is ready. */
export function unreadBody({ complete, headers }: IncomingMessage): "nothing" | "short" | "long" | "asks first" {
  const length = Number(headers["content-length"] ?? 0);
  if (complete || (length === 0 && headers["transfer-encoding"] === undefined)) return "nothing";
  if (headers.expect !== undefined) return "asks first";
  return headers["transfer-encoding"] === undefined && length <= shortBytes ? "short" : "long";
}

/** Throws MEDIA_TYPE_UNSUPPORTED unless the body says that it is JSON in UTF-8. */
export function requireJson(contentType: string | undefined): void {
  const [type = "", ...parameters] = (contentType ?? "").toLowerCase().split(";");
  const charset = parameters.map((part) => part.trim()).find((part) => part.startsWith("charset="));
  const utf8 = charset === undefined || /^charset="?utf-?8"?$/.test(charset);
  if (type.trim() !== "application/json" || !utf8)
    throw new DomainError(
      "MEDIA_TYPE_UNSUPPORTED",
      "Send the body as JSON in UTF-8, with the header Content-Type: application/json.",
    );
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

export function parseJson(body: Buffer): unknown {
  if (body.length === 0) throw new DomainError("JSON_MALFORMED", "The body is empty; a JSON object is expected.");
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    throw new DomainError("JSON_MALFORMED", "The body is not valid UTF-8.");
  }
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own words quote the body, which may hold a password.
    throw new DomainError("JSON_MALFORMED", "The body is not valid JSON.");
  }
}
