// Holds over streams: the use case of SeatService.Hold for gateways that keep lines open, a message for the calls of a moment.
import type { CallContext } from "@onsale/kit/grpc-server";
import type { StreamServer } from "@onsale/kit/grpc-stream-server";
import { type HoldRequest, type HoldResponse, SeatServiceService } from "@onsale/proto/inventory/v1/seats";

/** Hold as the transport knows it, whichever way a request has come. */
export type HoldAnswerer = (request: HoldRequest, context: Pick<CallContext, "deadline">) => Promise<HoldResponse>;

/** For `serve`, beside the unary Hold. */
export const holdStream = (streams: StreamServer, answer: HoldAnswerer) => ({
  holds: streams.stream(SeatServiceService.holds, answer),
});
