// What it means when a server of Valkey or Redis refuses a command: one table. None of it is a bug of ours; all of it may pass.
import { DomainError } from "./errors.js";
import type { Logger } from "./log.js";

interface Refusal {
  /** For operators: what is the matter there, and what can be done. */
  readonly means: string;
  /** False: it passes by itself, within seconds. */
  readonly needsHelp: boolean;
}

const passing = (means: string): Refusal => ({ means, needsHelp: false });
const lasting = (means: string): Refusal => ({ means, needsHelp: true });

/** By the words that its answer begins with (https://valkey.io/topics/, and `shared` in the server's src/server.c). */
const refusals = {
  LOADING: passing("it has just started and still reads its data"),
  TRYAGAIN: passing("the keys of one command are on the move between two servers of the cluster"),
  MOVED: passing("another server of the cluster has these keys now"),
  ASK: passing("another server of the cluster is about to have these keys"),
  UNBLOCKED: passing("it has become a replica meanwhile"),
  READONLY: lasting(
    "it is a replica: another has taken over, or REDIS_URL leads to a replica; the connection is made anew",
  ),
  CLUSTERDOWN: lasting("its cluster is not whole: some slots have no master; see CLUSTER INFO"),
  MASTERDOWN: lasting("it is a replica that has lost its master"),
  NOREPLICAS: lasting("it has fewer replicas than it must have to take writes (min-replicas-to-write)"),
  NOSCRIPT: lasting("it forgets our scripts as soon as they are there: something calls SCRIPT FLUSH again and again"),
  BUSY: lasting("a script there runs for seconds and nothing else is served; see SLOWLOG, and SCRIPT KILL ends it"),
  OOM: lasting("it is full (maxmemory), so it takes nothing that needs room: give it more memory"),
  MISCONF: lasting(
    "it can't write its file, so it takes no writes: see its log, and whether its disk is full or its folder not its own",
  ),
  NOAUTH: lasting("it wants a password: REDIS_URL has none"),
  WRONGPASS: lasting("it does not know the user or the password of REDIS_URL"),
  NOPERM: lasting("the user of REDIS_URL may not do this there: see ACL LOG"),
  "ERR ACL failure in script": lasting("the user of REDIS_URL may not do there what our scripts do: see ACL LOG"),
  DENIED: lasting("it serves its own machine only (protected-mode): give it a password"),
  "ERR max number of clients reached": lasting("it has as many clients as it may have (maxclients)"),
} as const satisfies Record<string, Refusal>;

export type ServerRefusalCode = keyof typeof refusals;
export interface ServerRefusal extends Refusal {
  readonly code: ServerRefusalCode;
}

const codes = Object.keys(refusals) as ServerRefusalCode[];
const isReply = (error: unknown): error is Error => error instanceof Error && error.name === "ReplyError";

/** Undefined: it is no answer of a server, or one that says that the command is wrong. */
export function serverRefusal(error: unknown): ServerRefusal | undefined {
  if (!isReply(error)) return undefined;
  // "CODE words", or of a script "CODE words script: …"; older ones put it behind where in the script it was.
  const said = error.message.replace(/^ERR Error running script .*?@user_script: ?\d+: -?/, "");
  const code = codes.find((one) => said === one || said.startsWith(`${one} `) || said.startsWith(`${one}: `));
  return code && { code, ...refusals[code] };
}

/**
 * What was thrown by a command, for whoever asked: UNAVAILABLE with this sentence when the server is not there or refuses for a
 * reason of its own, and unchanged when it says that the command is wrong, which is a bug of ours.
 */
export function serverUnavailable(error: unknown, sentence: string): unknown {
  if (error instanceof DomainError) return error;
  if (isReply(error) && !serverRefusal(error)) return error;
  return new DomainError("UNAVAILABLE", sentence, {}, error);
}

const tellEveryMs = 60_000;

/** Says in the log what a server's refusals mean: each kind that needs help once a minute. Anything may be passed in. */
export function refusalTeller(log: Logger, nowMs: () => number = () => performance.now()): (error: unknown) => void {
  const toldAt = new Map<ServerRefusalCode, number>();
  return (error) => {
    const refusal = serverRefusal(error);
    if (!refusal?.needsHelp) return;
    const now = nowMs();
    if (now - (toldAt.get(refusal.code) ?? Number.NEGATIVE_INFINITY) < tellEveryMs) return;
    toldAt.set(refusal.code, now);
    log.error({ err: error, refusal: refusal.code }, `Valkey refuses: ${refusal.means}`);
  };
}
