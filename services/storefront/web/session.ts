// Who is logged in. The access token lives in this tab's memory; the refresh token in a cookie that no script can read.
import { useSyncExternalStore } from "react";
import { type Account, ApiError, answered, api, credentials, newKey } from "./api/client.js";

export type SessionState =
  | { readonly kind: "unknown" }
  | { readonly kind: "out" }
  | { readonly kind: "in"; readonly account: Account };

interface Tokens {
  readonly account: Account;
  readonly accessToken: string;
  readonly expiresAtMs: number;
}

// Says that there may be a session, nothing more: a first visit need not ask for one.
const hint = "onsale.session";
// The Idempotency-Key of a refresh under way: if the page is left before its answer, the next one asks for that answer again.
const pendingKey = "onsale.refresh-key";
const soonMs = 30_000;

let tokens: Tokens | undefined;
let state: SessionState = localStorage.getItem(hint) ? { kind: "unknown" } : { kind: "out" };
const listeners = new Set<() => void>();
const otherTabs = new BroadcastChannel("onsale.session");

function become(next: SessionState): void {
  state = next;
  for (const listener of listeners) listener();
}

const leaving = new Set<() => void>([() => void caches.delete("onsale.tickets")]);
/** Calls when an account has left this browser, in whichever tab: what belongs to it must not be seen by the next one. */
export const whenLeft = (forget: () => void): void => void leaving.add(forget);

function keep(given: Tokens): void {
  if (state.kind === "in" && state.account.accountId !== given.account.accountId)
    for (const forget of leaving) forget();
  tokens = given;
  localStorage.setItem(hint, "1");
  become({ kind: "in", account: given.account });
}

function drop(): void {
  tokens = undefined;
  localStorage.removeItem(hint);
  localStorage.removeItem(pendingKey);
  for (const forget of leaving) forget();
  become({ kind: "out" });
}

otherTabs.onmessage = ({ data }: MessageEvent<Tokens | "out">) => {
  if (data === "out") drop();
  else keep(data);
};

const read = (session: { account: Account; accessToken: string; expiresAt: string }): Tokens => ({
  account: session.account,
  accessToken: session.accessToken,
  expiresAtMs: Date.parse(session.expiresAt),
});

/** One refresh at a time over all tabs; whoever waited takes what the other got. */
async function refresh(had: string | undefined): Promise<void> {
  await navigator.locks.request("onsale.session", async () => {
    if (tokens && tokens.accessToken !== had && tokens.expiresAtMs - soonMs > Date.now()) return;
    const ask = async (key: string): Promise<Tokens> => {
      localStorage.setItem(pendingKey, key);
      const body = { cookie: true } as const;
      return read(
        await answered(api.POST("/v1/sessions/refresh", { params: { header: { "Idempotency-Key": key } }, body })),
      );
    };
    try {
      const given = await ask(localStorage.getItem(pendingKey) ?? newKey()).catch((error: unknown) => {
        // Used with another cookie before: its answer came, cookie and all, and the page was left before it was read.
        if (error instanceof ApiError && error.code === "IDEMPOTENCY_KEY_REUSED") return ask(newKey());
        throw error;
      });
      localStorage.removeItem(pendingKey);
      keep(given);
      otherTabs.postMessage(given);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) drop();
      if (state.kind === "unknown" && !error.retryable) drop();
      throw error;
    }
  });
}

async function currentToken(renew: boolean): Promise<string | undefined> {
  if (state.kind === "out") return undefined;
  const had = tokens?.accessToken;
  if (renew || !tokens || tokens.expiresAtMs - soonMs <= Date.now())
    await refresh(had).catch((error: unknown) => {
      // The old token may do for now; what it is refused, the page shows. Without any, say why there is none.
      if (!(error instanceof ApiError) || (!tokens && error.retryable)) throw error;
    });
  return tokens?.accessToken;
}
credentials.token = currentToken;

/** While the shop is busy or not reached it stays unknown who is here; it is asked again, with growing pauses, and when there is a connection. */
export async function restoreSession(tries = 0): Promise<void> {
  if (state.kind === "unknown") await currentToken(false).catch(() => undefined);
  if (state.kind !== "unknown") return;
  const again = () => {
    clearTimeout(timer);
    removeEventListener("online", again);
    void restoreSession(tries + 1);
  };
  const timer = setTimeout(again, Math.min(500 * 2 ** tries, 10_000));
  addEventListener("online", again);
}

export async function logIn(email: string, password: string): Promise<void> {
  const given = read(await answered(api.POST("/v1/sessions", { body: { email, password, cookie: true } })));
  keep(given);
  otherTabs.postMessage(given);
}

export async function signUp(name: string, email: string, password: string): Promise<void> {
  await answered(
    api.POST("/v1/accounts", { params: { header: { "Idempotency-Key": newKey() } }, body: { name, email, password } }),
  );
  await logIn(email, password);
}

/** Here, or on every device. */
export async function logOut(where: "here" | "everywhere"): Promise<void> {
  await answered(where === "here" ? api.DELETE("/v1/sessions/current") : api.DELETE("/v1/sessions"));
  drop();
  otherTabs.postMessage("out");
}

/** Every other device is logged out by it. Refusals: PASSWORD_WRONG, PASSWORD_WEAK, TOO_MANY_ATTEMPTS. */
export async function changePassword(currentPassword: string, newPassword: string): Promise<void> {
  await answered(api.PUT("/v1/accounts/me/password", { body: { currentPassword, newPassword } }));
}

export function useSession(): SessionState {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => state,
  );
}
