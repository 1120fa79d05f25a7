// How Temporal is reached by everyone who speaks to it: in the clear, with TLS, with a certificate of ours, with an API key.
import { readFileSync } from "node:fs";
import { z } from "zod";
import { address, flag } from "./config.js";

export const temporalSettings = {
  TEMPORAL_ADDRESS: address,
  TEMPORAL_NAMESPACE: z.string().min(1).default("default"),
  /** By default: true if one of the files or an API key is given. */
  TEMPORAL_TLS: flag.optional(),
  /** PEM file with the authorities to trust in place of the well-known ones. */
  TEMPORAL_TLS_CA: z.string().optional(),
  /** PEM files: our certificate and its key, where Temporal wants to know its callers. Both or none. */
  TEMPORAL_TLS_CERT: z.string().optional(),
  TEMPORAL_TLS_KEY: z.string().optional(),
  /** The name in Temporal's certificate, where it is not the host of TEMPORAL_ADDRESS. */
  TEMPORAL_TLS_SERVER_NAME: z.string().optional(),
  TEMPORAL_API_KEY: z.string().optional(),
  /** A file with the API key. Read once: a new key needs a new start. */
  TEMPORAL_API_KEY_FILE: z.string().optional(),
};

/** The settings, or the environment of a process that has not checked it (a job). */
export type TemporalConfig = Readonly<
  Partial<Record<Exclude<keyof typeof temporalSettings, "TEMPORAL_TLS">, string | undefined>> & {
    TEMPORAL_TLS?: boolean | string | undefined;
  }
>;

/** As both of Temporal's connections take it (Connection of the client, NativeConnection of the worker). */
export interface TemporalConnection {
  readonly address: string;
  readonly tls?: {
    readonly serverRootCACertificate?: Buffer;
    readonly clientCertPair?: { readonly crt: Buffer; readonly key: Buffer };
    readonly serverNameOverride?: string;
  };
  readonly apiKey?: string;
}

/** Throws an Error that names the setting that is wrong. Secrets are not repeated. */
export function temporalConnection(config: TemporalConfig): TemporalConnection {
  const {
    TEMPORAL_TLS_CA: ca,
    TEMPORAL_TLS_CERT: cert,
    TEMPORAL_TLS_KEY: key,
    TEMPORAL_TLS_SERVER_NAME: name,
  } = config;
  const apiKey = apiKeyOf(config);
  const wanted =
    config.TEMPORAL_TLS === undefined || config.TEMPORAL_TLS === "" ? undefined : `${config.TEMPORAL_TLS}` === "true";
  const implied = [ca, cert, key, name].find(Boolean) !== undefined;
  if (Boolean(cert) !== Boolean(key))
    throw new Error("A certificate for Temporal needs both TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY.");
  if (wanted === false && implied)
    throw new Error(
      "TEMPORAL_TLS is false, but other TEMPORAL_TLS_* settings are given: leave them out, or TEMPORAL_TLS.",
    );
  if (wanted === false && apiKey !== undefined)
    throw new Error(
      "TEMPORAL_TLS is false, but there is an API key, which must not travel in the clear: leave out TEMPORAL_TLS.",
    );
  const tls = wanted ?? (implied || apiKey !== undefined);
  return {
    address: config.TEMPORAL_ADDRESS ?? "",
    ...(tls && {
      tls: {
        ...(ca && { serverRootCACertificate: pem("TEMPORAL_TLS_CA", ca) }),
        ...(cert &&
          key && { clientCertPair: { crt: pem("TEMPORAL_TLS_CERT", cert), key: pem("TEMPORAL_TLS_KEY", key) } }),
        ...(name && { serverNameOverride: name }),
      },
    }),
    ...(apiKey !== undefined && { apiKey }),
  };
}

function apiKeyOf({ TEMPORAL_API_KEY: given, TEMPORAL_API_KEY_FILE: file }: TemporalConfig): string | undefined {
  if (given && file) throw new Error("Set one of TEMPORAL_API_KEY and TEMPORAL_API_KEY_FILE, not both.");
  if (given) return checked("TEMPORAL_API_KEY", given.trim());
  return file ? checked("TEMPORAL_API_KEY_FILE", contents("TEMPORAL_API_KEY_FILE", file).toString().trim()) : undefined;
}

/** It goes into a header. */
function checked(setting: string, key: string): string {
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new Error(`${setting} is empty, or has characters that no API key has.`);
}

function pem(setting: string, file: string): Buffer {
  const text = contents(setting, file);
  if (text.includes("-----BEGIN ")) return text;
  throw new Error(`${setting} names a file that is not in PEM format: ${file}`);
}

function contents(setting: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`${setting} names a file that can't be read (${code}): ${file}`);
  }
}

/** What a failed connection means, for whoever set it up; undefined when it is not about TLS or the key. */
export function temporalConnectionProblem(error: unknown): string | undefined {
  const text = textsOf(error);
  if (/UnknownIssuer|self.signed|unable to (?:get|verify)|issuer certificate|BadSignature/i.test(text))
    return "Temporal's certificate is not signed by an authority that is trusted here: check TEMPORAL_TLS_CA.";
  if (/NotValidForName|altnames|Hostname\/IP does not match/i.test(text))
    return "Temporal's certificate is made out to another name: check TEMPORAL_ADDRESS, or set TEMPORAL_TLS_SERVER_NAME.";
  if (/\bExpired\b|certificate has expired|CertExpired/i.test(text)) return "Temporal's certificate has expired.";
  if (
    /CertificateRequired|certificate required|alert.*(?:bad certificate|unknown ca|handshake failure)|BadCertificate|UnknownCA|DecryptError/i.test(
      text,
    )
  )
    return "Temporal wants a certificate of ours, or does not trust this one: check TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY.";
  if (/InvalidContentType|wrong version number|CorruptMessage|packet length too long/i.test(text))
    return "Temporal does not speak TLS there: leave out TEMPORAL_TLS, or check TEMPORAL_ADDRESS.";
  return undefined;
}

/** Its own words and those of its causes. */
function textsOf(error: unknown, depth = 5): string {
  if (!(error instanceof Error) || depth === 0) return "";
  const { details } = error as { details?: unknown };
  return [error.message, typeof details === "string" ? details : "", textsOf(error.cause, depth - 1)].join(" ");
}
