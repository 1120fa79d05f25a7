// The composition of the account service: stores, keys, use cases, server.
import { createGrpcServer } from "@onsale/kit/grpc-server";
import { type ContextOf, prepareWhenAvailable, type RunningService } from "@onsale/kit/process";
import { createSealer, deriveKey } from "@onsale/kit/sealed";
import { createKeyRing } from "@onsale/kit/signing-keys";
import type { accountSettings } from "./config.js";
import { createPasswordHasher } from "./passwords.js";
import { serveAccounts } from "./server.js";
import { createRefreshTokens } from "./sessions.js";
import { bootstrapOperator } from "./sign-up.js";
import { openStore } from "./store.js";
import { openAttemptCounters } from "./valkey.js";

/** Serves once MongoDB answers, however long that takes; Valkey may come when it likes. The clock is for tests. */
export async function startAccount(
  { config, log, metrics, lifecycle, trust }: ContextOf<typeof accountSettings>,
  now: () => number = Date.now,
): Promise<RunningService> {
  const secret = config.ACCOUNT_KEY_SECRET;
  const previousSecret = config.ACCOUNT_KEY_SECRET_PREVIOUS;
  const operator = operatorFrom(config);

  const store = openStore({ uri: config.MONGODB_URI, database: config.MONGODB_DATABASE });
  lifecycle.onStop("mongodb", () => store.close());
  const attempts = openAttemptCounters(
    config.REDIS_URL,
    {
      perAccountAndAddress: config.LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS,
      perAccount: config.LOGIN_FAILURES_PER_ACCOUNT,
      perAddress: config.LOGIN_FAILURES_PER_ADDRESS,
      windowSeconds: config.LOGIN_WINDOW_SECONDS,
      blockMaxSeconds: config.LOGIN_BLOCK_MAX_SECONDS,
    },
    log,
    config.REDIS_TLS_CA,
  );
  lifecycle.onStop("valkey", () => attempts.close());

  const lifetimeSeconds = config.ACCESS_TOKEN_SECONDS;
  const keys = createKeyRing({
    store: store.signingKeys,
    sealer: createSealer({ secret, previousSecret, purpose: "access-token keys" }),
    rotation: {
      rotateEveryMs: config.SIGNING_KEY_ROTATION_SECONDS * 1000,
      publishAheadMs: config.SIGNING_KEY_PUBLISH_AHEAD_SECONDS * 1000,
      // A process that has not yet seen the next key signs with the old one for a few minutes more.
      keepMs: (lifetimeSeconds + 600) * 1000,
    },
    now,
  });
  const hasher = createPasswordHasher({
    memoryKib: config.ARGON2_MEMORY_KIB,
    passes: config.ARGON2_PASSES,
    lanes: config.ARGON2_LANES,
    concurrency: config.PASSWORD_HASH_CONCURRENCY,
    queue: config.PASSWORD_HASH_QUEUE,
  });
  const dependencies = {
    store,
    hasher,
    attempts,
    attemptHashKey: deriveKey(secret, "login attempts"),
    keys,
    refreshTokens: createRefreshTokens(secret, previousSecret),
    accessTokens: { issuer: config.ACCESS_TOKEN_ISSUER, audience: config.ACCESS_TOKEN_AUDIENCE, lifetimeSeconds },
    lifetimes: {
      idleMs: config.REFRESH_TOKEN_IDLE_SECONDS * 1000,
      absoluteMs: config.REFRESH_TOKEN_ABSOLUTE_SECONDS * 1000,
    },
    now,
  };

  const server = createGrpcServer({
    listen: config.GRPC_LISTEN,
    trust,
    log,
    metrics,
    reflection: config.NODE_ENV !== "production",
    healthListen: config.GRPC_HEALTH_LISTEN,
  });
  serveAccounts(server, dependencies);

  await prepareWhenAvailable({ log, lifecycle }, async () => {
    await store.prepare();
    await keys.signingKey();
    if (operator) await bootstrapOperator(dependencies, operator, log);
  });

  const port = await server.start();
  lifecycle.onStop("grpc", () => server.stop(config.SHUTDOWN_GRACE_SECONDS * 900));
  return {
    port,
    ready: () =>
      store.ping().then(
        () => true,
        () => false,
      ),
  };
}

function operatorFrom(config: {
  ACCOUNT_BOOTSTRAP_OPERATOR_EMAIL?: string | undefined;
  ACCOUNT_BOOTSTRAP_OPERATOR_PASSWORD?: string | undefined;
}): { email: string; password: string } | undefined {
  const { ACCOUNT_BOOTSTRAP_OPERATOR_EMAIL: email, ACCOUNT_BOOTSTRAP_OPERATOR_PASSWORD: password } = config;
  if ((email === undefined) !== (password === undefined))
    throw new Error(
      "The first operator needs both ACCOUNT_BOOTSTRAP_OPERATOR_EMAIL and ACCOUNT_BOOTSTRAP_OPERATOR_PASSWORD.",
    );
  return email !== undefined && password !== undefined ? { email, password } : undefined;
}
