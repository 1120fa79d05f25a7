// The gateway's lines to the services: gRPC clients whose failures are told in words that a buyer can use.
import { DomainError, type RefusalCode } from "@onsale/kit/errors";
import { type CallOptions, connect, openChannel, type ServiceClient } from "@onsale/kit/grpc-client";
import { connectStreams } from "@onsale/kit/grpc-stream-client";
import type { Trust } from "@onsale/kit/grpc-trust";
import { type Watch, type WatchSettings, watch } from "@onsale/kit/grpc-watch";
import { AccountServiceService } from "@onsale/proto/account/v1/account";
import { BlockServiceService } from "@onsale/proto/inventory/v1/blocks";
import { CatalogServiceService } from "@onsale/proto/inventory/v1/catalog";
import { ChannelServiceService } from "@onsale/proto/inventory/v1/channels";
import { LiveSeatServiceService, type SeatChanges, type WatchSeatsRequest } from "@onsale/proto/inventory/v1/live";
import { type HoldRequest, type HoldResponse, SeatServiceService } from "@onsale/proto/inventory/v1/seats";
import { PaymentServiceService } from "@onsale/proto/payment/v1/payment";
import { TicketServiceService } from "@onsale/proto/ticket/v1/ticket";

export type Services = ReturnType<typeof connectServices>;

export interface ServiceAddresses {
  readonly account: string;
  readonly inventory: string;
  readonly payment: string;
  readonly ticket: string;
}

export function connectServices(addresses: ServiceAddresses, trust: Trust) {
  return {
    account: spoken("Accounts", connect(AccountServiceService, { address: addresses.account, trust })),
    catalog: spoken("Events", connect(CatalogServiceService, { address: addresses.inventory, trust })),
    seats: spoken("Seats", seatsByStream(addresses.inventory, trust)),
    live: spoken("Seats", connect(LiveSeatServiceService, { address: addresses.inventory, trust })),
    watchSeats: seatWatches(addresses.inventory, trust),
    channels: spoken("Channels", connect(ChannelServiceService, { address: addresses.inventory, trust })),
    blocks: spoken("Blocks", connect(BlockServiceService, { address: addresses.inventory, trust })),
    payment: spoken("Payments", connect(PaymentServiceService, { address: addresses.payment, trust })),
    ticket: spoken("Orders and tickets", connect(TicketServiceService, { address: addresses.ticket, trust })),
  };
}

/**
 * The crowd's calls go over streams; the rest, and holds while no stream is up, one by one. A hold is idempotent by its
 * checkout id, so one whose line broke is sent once more on another.
 */
function seatsByStream(address: string, trust: Trust): ServiceClient<SeatServiceService> {
  const unary = connect(SeatServiceService, { address, trust });
  const holds = connectStreams<HoldRequest, HoldResponse>({
    address,
    trust,
    method: SeatServiceService.holds,
    idempotent: true,
  });
  return {
    ...unary,
    hold: (request, options) => (holds.lines() > 0 ? holds.call(request, options) : unary.hold(request, options)),
    close() {
      holds.close();
      unary.close();
    },
  };
}

function seatWatches(address: string, trust: Trust) {
  const channel = openChannel({ address, trust });
  const { watchSeats: method } = LiveSeatServiceService;
  return {
    watch: (how: Omit<WatchSettings<WatchSeatsRequest, SeatChanges>, "channel" | "trust" | "method">): Watch =>
      watch({ ...how, channel, trust, method }),
    close: () => channel.close(),
  };
}

export function closeServices(services: Services): void {
  for (const client of Object.values(services)) client.close();
}

/** The same client; what it says about a broken line names a part of the shop in place of an RPC. */
function spoken<Definition>(part: string, client: ServiceClient<Definition>): ServiceClient<Definition> {
  const words: Partial<Record<RefusalCode, string>> = {
    UNAVAILABLE: `${part} can't be reached right now. Please try again in a few seconds.`,
    DEADLINE_EXCEEDED:
      `${part} took too long to answer, so it is not known whether this took effect. ` +
      "Sending it again with the same Idempotency-Key is safe.",
  };
  const wrapped: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(client) as [string, (...args: unknown[]) => unknown][]) {
    if (name === "close" || name === "ready") {
      wrapped[name] = method;
      continue;
    }
    wrapped[name] = async (request: unknown, options?: CallOptions) => {
      try {
        return await method(request, options);
      } catch (thrown) {
        const error = DomainError.from(thrown);
        const said = words[error.code];
        throw said ? new DomainError(error.code, said, error.details, error) : error;
      }
    };
  }
  return wrapped as unknown as ServiceClient<Definition>;
}
