// REDIS_URL: one server or a cluster, with or without TLS, read from one setting that says what is wrong with it.
import { z } from "zod";

export const redisSettings = {
  REDIS_URL: z.string().superRefine((text, context) => {
    const problem = redisUrlProblem(text);
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  }),
  /** With rediss://: a PEM file with the authorities to trust in place of the well-known ones. */
  REDIS_TLS_CA: z.string().optional(),
};

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

export interface RedisAddress {
  /** Of a cluster: where to ask first; it tells of its other servers. */
  readonly nodes: readonly [HostAndPort, ...HostAndPort[]];
  readonly isCluster: boolean;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
}

const shape =
  "must be redis://[user:password@]host[:port][/database] for one server; for a cluster several of its servers with commas " +
  "between, as redis://a:6379,b:6379, or a single one as redis+cluster://a:6379; and rediss in place of redis for TLS";

/** Undefined: the setting is fine. Values are not repeated: there may be a password in it. */
export function redisUrlProblem(text: string): string | undefined {
  const read = tryRead(text);
  return typeof read === "string" ? read : undefined;
}

/** Throws an Error that says what is wrong. */
export function readRedisUrl(text: string): RedisAddress {
  const read = tryRead(text);
  if (typeof read === "string") throw new Error(`REDIS_URL ${read}`);
  return read;
}

function tryRead(text: string): RedisAddress | string {
  const [first = "", ...others] = text.split(",").map((part) => part.trim());
  const scheme = /^redis(s?)(\+cluster)?:\/\//.exec(first);
  if (!scheme) return shape;
  const prefix = scheme[0];
  const rest = others.map((part) => (part.startsWith(prefix) ? part : `${prefix}${part}`));
  if (rest.some((part) => part.slice(prefix.length).includes("://"))) return shape;
  const plain = [first, ...rest].map((part) => part.replace(prefix, "redis://"));
  if (!plain.every((part) => URL.canParse(part))) return shape;
  const [head, ...tail] = plain.map((part) => new URL(part)) as [URL, ...URL[]];
  if ([head, ...tail].some(({ hostname, search, hash }) => !hostname || search || hash)) return shape;
  if (
    tail.some(
      ({ username, password }) => (username || password) && username + password !== head.username + head.password,
    )
  )
    return "must have the same user and password for all servers of a cluster: write them once, at the first";
  const database = /^\/?(\d*)$/.exec(head.pathname)?.[1];
  if (database === undefined) return shape;
  const isCluster = tail.length > 0 || scheme[2] !== undefined;
  if (isCluster && [head, ...tail].some(({ pathname }) => !/^\/?0?$/.test(pathname)))
    return "must name no database for a cluster, which has only one";
  const place = ({ hostname, port }: URL): HostAndPort => ({
    host: hostname.replace(/^\[(.*)\]$/, "$1"),
    port: Number(port || 6379),
  });
  return {
    nodes: [place(head), ...tail.map(place)],
    isCluster,
    tls: scheme[1] === "s",
    username: decodeURIComponent(head.username) || undefined,
    password: decodeURIComponent(head.password) || undefined,
    database: Number(database),
  };
}
