// A refusal on its way over gRPC: a DomainError as a call's status, and back.
import { status as Grpc, Metadata, type ServiceError } from "@grpc/grpc-js";
import { DomainError, isRefusalCode, type RefusalDetails, refusals } from "./errors.js";
import { codeKey, detailsKey } from "./grpc-method.js";

// Trailers are HTTP/2 headers: of bounded size, and only of well-formed text. What does not fit must not turn a refusal
// into a broken call.
const longestMessage = 2_000;
const mostDetailBytes = 40_000;

/** How a call ends that is refused. */
export function statusOf(error: DomainError): Partial<ServiceError> {
  const metadata = new Metadata();
  metadata.set(codeKey, error.code);
  const details = packed(error.details);
  if (details.length > 2 && details.length <= mostDetailBytes) metadata.set(detailsKey, details);
  // By way of bytes: half of a surrogate pair, from a text cut in the middle, becomes U+FFFD.
  const message = Buffer.from(error.message.slice(0, longestMessage)).toString();
  return { code: refusals[error.code].grpc, details: message, metadata };
}

function packed(details: RefusalDetails): Buffer {
  try {
    return Buffer.from(JSON.stringify(details));
  } catch {
    return Buffer.alloc(0); // not JSON after all: a bug, but no reason to lose the refusal
  }
}

/** A gRPC failure as the DomainError that the other side threw, or the nearest truth about the connection. */
export function refusalFrom(error: ServiceError, path: string): DomainError {
  const code = error.metadata?.get(codeKey)[0]?.toString();
  if (code && isRefusalCode(code)) {
    return new DomainError(code, error.details, detailsFrom(error.metadata), error);
  }
  if (error.code === Grpc.DEADLINE_EXCEEDED)
    return new DomainError(
      "DEADLINE_EXCEEDED",
      `${path} did not answer in time; whether it took effect is unknown.`,
      {},
      error,
    );
  if (error.code === Grpc.UNAVAILABLE || error.code === Grpc.CANCELLED)
    return new DomainError("UNAVAILABLE", `${path} can't be reached right now. Please try again.`, {}, error);
  if (error.code === Grpc.UNAUTHENTICATED)
    return new DomainError(
      "PEER_UNAUTHENTICATED",
      `${path} did not accept this caller: check the shared secret or certificates.`,
      {},
      error,
    );
  return new DomainError("INTERNAL", `${path} failed.`, {}, error);
}

/** A refusal without its details is still the refusal. */
function detailsFrom(metadata: Metadata): RefusalDetails {
  try {
    const packed = metadata.get(detailsKey)[0];
    return packed ? (JSON.parse(packed.toString()) as RefusalDetails) : {};
  } catch {
    return {};
  }
}
