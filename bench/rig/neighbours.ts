// Who stands in for the account and the ticket service: the benchmark signs its buyers' tokens itself, and nobody has an order.
import { createGrpcServer, type ServiceHandlers } from "@onsale/kit/grpc-server";
import { createLogger } from "@onsale/kit/log";
import { createMetrics } from "@onsale/kit/metrics";
import { AccountServiceService } from "@onsale/proto/account/v1/account";
import { TicketServiceService } from "@onsale/proto/ticket/v1/ticket";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { buyerId } from "./hold-load.js";

export interface Neighbours {
  /** host:port of both. */
  readonly address: string;
  /** Public keys, as the account service publishes them. */
  readonly jwksJson: string;
  /** Access tokens by buyer, as the account service writes them. */
  tokens(buyers: number): Promise<readonly string[]>;
  stop(): Promise<void>;
}

export async function startNeighbours(sharedSecret: string): Promise<Neighbours> {
  const { privateKey, publicKey } = await generateKeyPair("EdDSA", { crv: "Ed25519" });
  const jwk = { ...(await exportJWK(publicKey)), kid: "bench", alg: "EdDSA", use: "sig" };
  const jwksJson = JSON.stringify({ keys: [jwk] });
  const server = createGrpcServer({
    listen: "127.0.0.1:0",
    trust: { sharedSecret },
    log: createLogger("neighbours", "silent"),
    metrics: createMetrics("neighbours"),
  });
  const account: Partial<ServiceHandlers<typeof AccountServiceService>> = {
    getVerificationKeys: async () => ({ jwksJson }),
  };
  const ticket: Partial<ServiceHandlers<typeof TicketServiceService>> = {
    findOrders: async () => ({ orders: [] }),
  };
  server.serve(AccountServiceService, account as ServiceHandlers<typeof AccountServiceService>);
  server.serve(TicketServiceService, ticket as ServiceHandlers<typeof TicketServiceService>);
  const port = await server.start();
  const signed: string[] = [];
  return {
    address: `127.0.0.1:${port}`,
    jwksJson,
    async tokens(buyers) {
      while (signed.length < buyers)
        signed.push(
          await new SignJWT({ sid: `ses_bench${signed.length}`, roles: ["buyer"] })
            .setProtectedHeader({ alg: "EdDSA", typ: "at+jwt", kid: "bench" })
            .setIssuer("onsale")
            .setAudience("onsale")
            .setSubject(buyerId(signed.length))
            .setJti(`jti_bench${signed.length}`)
            .setIssuedAt()
            .setExpirationTime("1h")
            .sign(privateKey),
        );
      return signed.slice(0, buyers);
    },
    stop: () => server.stop(1_000),
  };
}
