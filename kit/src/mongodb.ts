// MongoDB as every store uses it: majority reads and writes, bounded waits, and failures that say whether to try again.
import { type CommandStartedEvent, type Db, MongoClient, MongoError, MongoServerError } from "mongodb";
import { DomainError } from "./errors.js";
import { beginSpan, type Span, tracing } from "./tracing.js";

export interface Database {
  readonly client: MongoClient;
  readonly db: Db;
  /**
   * Runs work on the database; what MongoDB throws becomes UNAVAILABLE (try again) or a bug. MongoDB's own messages repeat
   * values, personal ones among them: only their kind goes on.
   */
  asked<T>(work: () => Promise<T>): Promise<T>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface DatabaseSettings {
  /** Shown in MongoDB's own logs. */
  readonly appName: string;
  readonly uri: string;
  readonly database: string;
  /** For people: "Tickets can't be reached right now." */
  readonly what: string;
}

/** Does not connect yet: the first `asked` does, and the next if that fails, so that a service starts before its store. */
export function openDatabase({ appName, uri, database, what }: DatabaseSettings): Database {
  const client = new MongoClient(uri, {
    appName,
    ignoreUndefined: true, // a field without a value is not there, rather than null
    writeConcern: { w: "majority" },
    readConcern: { level: "majority" },
    // Below the 5 s that callers give us, so that they learn what is wrong.
    serverSelectionTimeoutMS: 3_000,
    connectTimeoutMS: 3_000,
    waitQueueTimeoutMS: 3_000,
    // A server that accepts and then says nothing must not hold a connection for ever.
    socketTimeoutMS: 10_000,
    monitorCommands: tracing(),
  });
  if (tracing()) traceCommands(client);
  const db = client.db(database);
  // The driver (7.9.0) connects by itself once: when that fails, every later operation fails, whether the server came up
  // or not. Connecting again makes it forget.
  let isConnected = false;
  let connecting: Promise<void> | undefined;
  function connected(): Promise<void> {
    connecting ??= client
      .connect()
      .then(() => {
        isConnected = true;
      })
      .finally(() => {
        connecting = undefined;
      });
    return connecting;
  }

  async function asked<T>(work: () => Promise<T>): Promise<T> {
    try {
      if (!isConnected) await connected();
      return await work();
    } catch (error) {
      if (!(error instanceof MongoError) && !isBrokenSocket(error)) throw error;
      if (error instanceof MongoServerError && !isTemporary(error))
        throw new Error(`MongoDB refused an operation: ${error.codeName ?? "no name"} (${error.code}).`);
      const message = `${what} can't be reached right now. Please try again in a moment.`;
      throw new DomainError("UNAVAILABLE", message, {}, new Error(`${error.name}, code ${error.code ?? "none"}`));
    }
  }
  return {
    client,
    db,
    asked,
    ping: () => asked(() => db.command({ ping: 1, maxTimeMS: 1_000 })).then(() => undefined),
    close: () => client.close(),
  };
}

/** A span for each command. Of what it asks only its name and its collection: filters and documents hold personal data. */
function traceCommands(client: MongoClient): void {
  const open = new Map<number, Span>();
  client.on("commandStarted", ({ requestId, commandName, command, databaseName }: CommandStartedEvent) => {
    const target: unknown = commandName === "getMore" ? command["collection"] : command[commandName];
    const collection = typeof target === "string" ? target : undefined;
    const span = beginSpan(`mongodb ${commandName}${collection ? ` ${collection}` : ""}`, {
      kind: "client",
      attributes: {
        "db.system.name": "mongodb",
        "db.namespace": databaseName,
        "db.operation.name": commandName,
        ...(collection && { "db.collection.name": collection }),
      },
    });
    if (span) open.set(requestId, span);
  });
  const close = (requestId: number, error?: Error & { code?: unknown }) => {
    const span = open.get(requestId);
    if (!span) return;
    open.delete(requestId);
    if (error) span.set("error.type", String(error.code ?? error.name));
    // A duplicate key is how a conditional write says no.
    span.end(error !== undefined && error.code !== duplicateKey);
  };
  client.on("commandSucceeded", ({ requestId }) => close(requestId));
  client.on("commandFailed", ({ requestId, failure }) => close(requestId, failure));
}

const duplicateKey = 11_000;

export function isDuplicateKey(error: unknown): boolean {
  return error instanceof MongoServerError && error.code === duplicateKey;
}

/** A connection that breaks just as the driver writes to it (7.9.0) comes out as the socket's own error. */
function isBrokenSocket(error: unknown): error is NodeJS.ErrnoException {
  return (
    error instanceof Error && /^(EPIPE|ECONN|ETIMEDOUT|ERR_STREAM_)/.test(String((error as NodeJS.ErrnoException).code))
  );
}

// A server that stops, starts or hands over to another says so in these (MongoDB's "retryable" and "not primary" errors).
const temporaryCodes = new Set([
  6, 7, 64, 89, 91, 112, 134, 189, 251, 262, 317, 358, 9001, 10107, 11600, 11602, 13435, 13436,
]);

function isTemporary(error: MongoServerError): boolean {
  return (
    error.hasErrorLabel("RetryableWriteError") ||
    error.hasErrorLabel("TransientTransactionError") ||
    temporaryCodes.has(Number(error.code))
  );
}
