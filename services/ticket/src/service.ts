// The ticket service put together: configuration → store and keys → use cases → gRPC server.
import { createGrpcServer } from "@onsale/kit/grpc-server";
import { type ContextOf, prepareWhenAvailable, type RunningService } from "@onsale/kit/process";
import { createSealer } from "@onsale/kit/sealed";
import { createKeyRing } from "@onsale/kit/signing-keys";
import { TicketServiceService } from "@onsale/proto/ticket/v1/ticket";
import type { ticketSettings } from "./config.js";
import { ticketHandlers } from "./server.js";
import { openStore } from "./store.js";
import { createTokenSigner } from "./tokens.js";

/** Serves once MongoDB answers, however long that takes. The clock is for tests. */
export async function startTicket(
  context: ContextOf<typeof ticketSettings>,
  now: () => number = Date.now,
): Promise<RunningService> {
  const { config, log, metrics, lifecycle, trust } = context;

  const store = openStore({ uri: config.MONGODB_URI, database: config.MONGODB_DATABASE });
  lifecycle.onStop("MongoDB", () => store.close());
  const keys = createKeyRing({
    store: store.signingKeys,
    sealer: createSealer({
      secret: config.TICKET_KEY_SECRET,
      previousSecret: config.TICKET_KEY_SECRET_PREVIOUS,
      purpose: "ticket keys",
    }),
    rotation: {
      rotateEveryMs: config.SIGNING_KEY_ROTATION_SECONDS * 1000,
      publishAheadMs: config.SIGNING_KEY_PUBLISH_AHEAD_SECONDS * 1000,
      // Tickets are shown years after they were signed: their keys are kept for ever.
      keepMs: undefined,
    },
    now,
  });

  const server = createGrpcServer({
    listen: config.GRPC_LISTEN,
    trust,
    log,
    metrics,
    reflection: config.NODE_ENV !== "production",
    healthListen: config.GRPC_HEALTH_LISTEN,
  });
  server.serve(
    TicketServiceService,
    ticketHandlers({ store, signer: createTokenSigner(keys, config.TICKET_ISSUER), keys, now }),
  );

  // Not before the index that forbids a second valid ticket for a seat is there, and a key that we can open: without it, the
  // first that hears of a wrong secret would be somebody who has paid.
  await prepareWhenAvailable(context, async () => {
    await store.prepare();
    await keys.signingKey();
  });

  const port = await server.start();
  lifecycle.onStop("gRPC server", () => server.stop(config.SHUTDOWN_GRACE_SECONDS * 900));
  return {
    port,
    ready: () =>
      store.ping().then(
        () => true,
        () => false,
      ),
  };
}
