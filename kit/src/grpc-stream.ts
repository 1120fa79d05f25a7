// Calls over long-lived gRPC streams: many callers share a line, a message carries what came up in one turn of the event loop.
//
// A unary call pays for headers, an HTTP/2 stream and half a dozen objects each time. Here the stream stays, and calls are told
// apart by an id. What a unary call would give is kept: a deadline for each, refusals with their codes, trust, no call lost or
// made twice in silence. A method for it has messages of the shapes below, written in its own .proto.
import { DomainError, isRefusalCode, type RefusalDetails } from "./errors.js";

export interface StreamCall<Request> {
  id: number;
  /** For so long the caller waits, from when it was written. Relative, since clocks differ. */
  patienceMs: number;
  requestId: string;
  request: Request | undefined;
  /** W3C's; empty unless the caller is traced. */
  traceparent: string;
}
export interface StreamReply<Response> {
  id: number;
  response: Response | undefined;
  /** `details` is JSON, or empty. */
  refusal: { code: string; message: string; details: Buffer } | undefined;
}
export interface StreamReplies<Response> {
  replies: StreamReply<Response>[];
  /** Send no more calls here, and half-close. What was sent is still answered. */
  leaving: boolean;
}

/** A bidirectional method of this kind, as ts-proto defines it. */
export interface StreamMethod<Request, Response> {
  readonly path: string;
  readonly requestStream: true;
  readonly responseStream: true;
  requestSerialize(value: { calls: StreamCall<Request>[] }): Buffer;
  requestDeserialize(bytes: Buffer): { calls: StreamCall<Request>[] };
  responseSerialize(value: StreamReplies<Response>): Buffer;
  responseDeserialize(bytes: Buffer): StreamReplies<Response>;
}

/** Calls, or replies, in one message at most: so many of the largest still fit. */
export const mostInMessage = 256;

export const closedRefusal = (): DomainError => new DomainError("UNAVAILABLE", "This process is about to stop.");

export function refusalOf({ code, message, details }: NonNullable<StreamReply<unknown>["refusal"]>): DomainError {
  return new DomainError(isRefusalCode(code) ? code : "INTERNAL", message, detailsOf(details));
}

/** A refusal without its details is still the refusal. */
function detailsOf(packed: Buffer): RefusalDetails {
  if (packed.length === 0) return {};
  try {
    return JSON.parse(packed.toString()) as RefusalDetails;
  } catch {
    return {};
  }
}

export function packRefusal({ code, message, details }: DomainError): NonNullable<StreamReply<unknown>["refusal"]> {
  let packed = "";
  try {
    packed = JSON.stringify(details);
  } catch {
    // not JSON after all: a bug, but no reason to lose the refusal
  }
  return { code, message, details: packed.length > 2 ? Buffer.from(packed) : Buffer.alloc(0) };
}
