// Load of holds, three ways: the script's command by a plain client, gRPC, REST. Runs in the load generator's process.
import { connectServices } from "@onsale/gateway/clients/services";
import { DomainError } from "@onsale/kit/errors";
import { connect } from "@onsale/kit/grpc-client";
import { derivedHex64 } from "@onsale/kit/ids";
import { HoldRequest, SeatServiceService } from "@onsale/proto/inventory/v1/seats";
import { drive, type Outcome, openBooks, type Pace, type Tally } from "./drive.js";
import { requestsOf, seatIdsOf, sectionId, startOf, type Traffic, type Wanted } from "./house.js";
import { type HttpConnection, openHttp, writeRequest } from "./http-client.js";
import { fillIn, type Overheard } from "./overheard.js";
import { openResp, type RespConnection } from "./resp-client.js";

interface HoldJob {
  readonly traffic: Traffic;
  readonly pace: Pace;
  readonly eventId: string;
  /** Names this round's checkouts; no two rounds have the same. */
  readonly run: string;
  /** Buyers, who take turns. */
  readonly buyers: number;
}

export interface RawHolds extends HoldJob {
  readonly kind: "raw holds";
  readonly port: number;
  readonly command: Overheard;
}
export interface GrpcHolds extends HoldJob {
  readonly kind: "gRPC holds";
  /** unary: one RPC a hold. gateway: whatever the gateway's own client does. */
  readonly how: "unary" | "gateway";
  readonly addresses: readonly string[];
  readonly sharedSecret: string;
}
export interface RestHolds extends HoldJob {
  readonly kind: "REST holds";
  readonly ports: readonly number[];
  /** By buyer. */
  readonly tokens: readonly string[];
}

/** As long as the account service makes them. */
export const buyerId = (buyer: number): string => `acc_${String(buyer).padStart(26, "0")}`;

const connections = new Map<string, unknown>();
/** Kept from round to round: what is measured are holds, not connections. */
async function kept<Connection>(
  key: string,
  open: () => Promise<Connection> | Connection,
  usable: (connection: Connection) => boolean = () => true,
): Promise<Connection> {
  const known = connections.get(key) as Connection | undefined;
  if (known && usable(known)) return known;
  const opened = await open();
  connections.set(key, opened);
  return opened;
}

export async function sendRawHolds({ port, command, traffic, pace, eventId, run, buyers }: RawHolds): Promise<Tally> {
  const requests = requestsOf(traffic);
  const commands = requests.map(({ block }, at) =>
    fillIn(command, {
      holdId: derivedHex64("hold", `${run}-${at}`),
      userId: buyerId(at % buyers),
      section: sectionId(block.section),
      start: startOf(block),
    }),
  );
  const connection = await kept<RespConnection>(`raw ${port} ${eventId}`, () => openResp(port));
  const books = openBooks();
  const begunAt = performance.now();
  const answeredAt: number[] = [];
  await connection.run(commands, pace.inFlight, (at, word) => {
    // It left when the window had room for it.
    const sentAt = at < pace.inFlight ? begunAt : (answeredAt[at - pace.inFlight] as number);
    answeredAt[at] = performance.now();
    books.note(word === "held" ? "won" : word === "taken" ? "lost" : word, sentAt);
  });
  return books.close();
}

export async function sendGrpcHolds(job: GrpcHolds): Promise<Tally> {
  const { addresses, sharedSecret, traffic, pace, eventId, run, buyers, how } = job;
  const trust = { sharedSecret };
  const clients = await Promise.all(
    addresses.map((address) =>
      kept(`${how} ${address}`, async () => {
        if (how === "unary") return connect(SeatServiceService, { address, trust });
        return connectServices({ account: address, inventory: address, payment: address, ticket: address }, trust)
          .seats;
      }),
    ),
  );
  const requests = requestsOf(traffic).map(({ block }, at) =>
    HoldRequest.fromPartial({
      checkoutId: `chk_${run}-${at}`,
      userId: buyerId(at % buyers),
      eventId,
      selection: { $case: "seats", value: { seatIds: seatIdsOf(block) } },
    }),
  );
  return await drive(pace, async (at, lane): Promise<Outcome> => {
    try {
      await clients[lane % clients.length]?.hold(requests[at] as HoldRequest);
      return "won";
    } catch (error) {
      const { code, message } = DomainError.from(error);
      return outcomeOf(code, message);
    }
  });
}

export async function sendRestHolds(job: RestHolds): Promise<Tally> {
  const { ports, tokens, traffic, pace, eventId, run, buyers } = job;
  const wires = requestsOf(traffic).map((wanted: Wanted, at) =>
    writeRequest({
      method: "POST",
      path: "/v1/checkouts",
      host: "127.0.0.1",
      token: tokens[at % buyers] as string,
      idempotencyKey: `${run}-${at}`,
      body: { eventId, seats: seatIdsOf(wanted.block) },
    }),
  );
  const lanes = await Promise.all(
    Array.from({ length: Math.min(pace.inFlight, pace.count) }, (_, lane) => {
      const port = ports[lane % ports.length] as number;
      return kept<HttpConnection>(
        `REST ${port} ${lane}`,
        () => openHttp(port),
        (connection) => connection.open(),
      );
    }),
  );
  return await drive(pace, async (at, lane): Promise<Outcome> => {
    const { status, body } = await (lanes[lane] as HttpConnection).send(wires[at] as Buffer);
    if (status === 201) return "won";
    const { code = `HTTP ${status}`, detail = "" } = JSON.parse(body.toString()) as { code?: string; detail?: string };
    return outcomeOf(code, detail);
  });
}

/** Whatever is neither won nor lost spoils the measurement: the books then say in whole words what it was. */
const outcomeOf = (code: string, said: string): Outcome => (code === "SEAT_TAKEN" ? "lost" : `${code}: ${said}`);
