// Routes of accounts and sessions.
import { DomainError } from "@onsale/kit/errors";
import { derivedId, newId } from "@onsale/kit/ids";
import type { Account, Session } from "@onsale/proto/account/v1/account";
import type { Services } from "../clients/services.js";
import type { Authenticator } from "../http/authenticate.js";
import { cache, type Route, route } from "../http/route.js";
import { newPassword } from "../organisers/schemas.js";
import * as schema from "../schemas.js";

/** Hashing a password takes its time, and everybody signs up at once. */
const hashingMs = 15_000;
const tag = "accounts";

export function accountRoutes({ account }: Services, authenticator: Authenticator): Route[] {
  return [
    route(
      {
        method: "post",
        path: "/v1/accounts",
        operationId: "signUp",
        tag,
        summary: "Sign up",
        description: "A new account is a buyer; operators give other roles.",
        access: "anyone",
        limits: ["anonymous", "credentials"],
        idempotencyKey: "optional",
        body: schema.newAccount,
        answers: { 201: { description: "The account.", schema: schema.account } },
        refusals: ["EMAIL_TAKEN", "PASSWORD_WEAK"],
      },
      async ({ body, attempt, rpc }) => {
        const email = body.email.toLowerCase();
        // With a key the id is derived, so that a retry whose first answer was lost meets its own account.
        const accountId = attempt ? derivedId("acc", email, attempt.key) : newId("acc");
        const { account: made } = await account.signUp(
          { accountId, email: body.email, password: body.password, name: body.name },
          rpc(hashingMs),
        );
        return { status: 201, body: shownAccount(made) };
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/accounts/me",
        operationId: "getOwnAccount",
        tag,
        summary: "Your account",
        access: "account",
        limits: "by caller",
        answers: { 200: { description: "The account.", schema: schema.account } },
        refusals: ["ACCOUNT_NOT_FOUND"],
      },
      async ({ identity, rpc }) => {
        const { account: found } = await account.getAccount({ accountId: identity.accountId }, rpc());
        return { status: 200, body: shownAccount(found) };
      },
    ),
    route(
      {
        method: "put",
        path: "/v1/accounts/me/password",
        operationId: "changePassword",
        tag,
        summary: "Change your password",
        description:
          "Every other session of the account ends; this one goes on. Wrong guesses at the current password count as failed log-ins do.",
        access: "account",
        limits: ["account", "credentials"],
        body: newPassword,
        answers: { 204: { description: "Changed." } },
        refusals: ["PASSWORD_WRONG", "PASSWORD_WEAK", "TOO_MANY_ATTEMPTS", "ACCOUNT_NOT_FOUND"],
      },
      async ({ body, identity: { accountId, sessionId }, clientAddress, rpc }) => {
        await account.changePassword({ accountId, sessionId, ...body, clientAddress }, rpc(hashingMs));
        return { status: 204 };
      },
    ),
    route(
      {
        method: "put",
        path: "/v1/accounts/{accountId}/roles",
        operationId: "setRoles",
        tag,
        summary: "Set an account's roles",
        description: "For operators. The account's access tokens carry the new roles from its next refresh on.",
        access: "account",
        roles: ["operator"],
        limits: "by caller",
        params: schema.accountParams,
        unknownParam: "ACCOUNT_NOT_FOUND",
        body: schema.newRoles,
        answers: { 200: { description: "The account.", schema: schema.account } },
        refusals: ["ACCOUNT_NOT_FOUND"],
      },
      async ({ params, body, rpc }) => {
        const { account: changed } = await account.setRoles({ accountId: params.accountId, roles: body.roles }, rpc());
        return { status: 200, body: shownAccount(changed) };
      },
    ),
    route(
      {
        method: "post",
        path: "/v1/sessions",
        operationId: "logIn",
        tag,
        summary: "Log in",
        description:
          "With `cookie: true` the refresh token is not in the answer but in a cookie that no script can read, for web pages of the same origin.",
        access: "anyone",
        limits: ["anonymous", "credentials"],
        idempotencyKey: "optional",
        body: schema.credentials,
        answers: { 201: { description: "The session.", schema: schema.session } },
        refusals: ["CREDENTIALS_INVALID", "TOO_MANY_ATTEMPTS"],
      },
      async ({ body: { email, password, cookie }, clientAddress, origin, rpc }) => {
        const { account: who, session } = await account.logIn({ email, password, clientAddress }, rpc(hashingMs));
        return { status: 201, ...givenSession(session, who, cookie ? origin : undefined) };
      },
    ),
    route(
      {
        method: "post",
        path: "/v1/sessions/refresh",
        operationId: "refreshSession",
        tag,
        summary: "Trade a refresh token for new tokens",
        description:
          'A refresh token is good for one refresh. Send an Idempotency-Key: when the answer gets lost, the same request gives it again; without a key, the token counts as used twice and the session ends. `{"cookie": true}` takes the token of the cookie, and answers with a new cookie.',
        access: "anyone",
        limits: ["anonymous", "credentials"],
        idempotencyKey: "optional",
        body: schema.refresh,
        cookie: true,
        answers: { 200: { description: "The session, with new tokens.", schema: schema.session } },
        refusals: ["SESSION_REVOKED"],
      },
      async ({ body, header, origin, rpc }) => {
        const byCookie = "cookie" in body;
        const refreshToken = byCookie ? readCookie(header("cookie")) : body.refreshToken;
        if (refreshToken === undefined)
          throw new DomainError("SESSION_REVOKED", "There is no session in this browser. Log in.");
        const { account: who, session } = await account.refreshSession({ refreshToken }, rpc());
        return { status: 200, ...givenSession(session, who, byCookie ? origin : undefined) };
      },
    ),
    route(
      {
        method: "delete",
        path: "/v1/sessions/current",
        operationId: "logOut",
        tag,
        summary: "Log out",
        description:
          "No refresh is possible any more. Access tokens that were given out end by themselves, within minutes.",
        access: "account",
        limits: "by caller",
        answers: { 204: { description: "Logged out." } },
      },
      async ({ identity: { accountId, sessionId }, origin, rpc }) => {
        await account.logOut({ accountId, sessionId, everywhere: false }, rpc());
        return { status: 204, headers: { "Set-Cookie": writeCookie("", 0, origin) } };
      },
    ),
    route(
      {
        method: "delete",
        path: "/v1/sessions",
        operationId: "logOutEverywhere",
        tag,
        summary: "Log out everywhere",
        description:
          "Ends every session of the account, this one too; access tokens end by themselves, within minutes.",
        access: "account",
        limits: "by caller",
        answers: { 204: { description: "Logged out everywhere." } },
      },
      async ({ identity: { accountId }, origin, rpc }) => {
        await account.logOut({ accountId, sessionId: "", everywhere: true }, rpc());
        return { status: 204, headers: { "Set-Cookie": writeCookie("", 0, origin) } };
      },
    ),
    route(
      {
        method: "get",
        path: "/.well-known/jwks.json",
        operationId: "getAccessTokenKeys",
        tag,
        summary: "The public keys of access tokens",
        access: "anyone",
        limits: ["anonymous"],
        answers: { 200: { description: "JWKS.", schema: schema.keySet } },
      },
      async () => ({
        status: 200,
        body: await authenticator.keys(),
        headers: { "Cache-Control": cache.brief, "Content-Type": "application/jwk-set+json" },
      }),
    ),
  ];
}

function shownAccount(account: Account | undefined) {
  if (!account) throw new Error("the account service answered without an account");
  const { accountId, email, name, roles, createdAtMs } = account;
  return { accountId, email, name, roles, createdAt: new Date(createdAtMs).toISOString() };
}

/** A session as an answer: with an origin, the refresh token goes into a cookie of it. */
function givenSession(session: Session | undefined, account: Account | undefined, cookieFor: string | undefined) {
  const { refreshToken, ...shown } = shownSession(session, account);
  if (cookieFor === undefined) return { body: { ...shown, refreshToken } };
  const seconds = Math.max(0, Math.floor((Date.parse(shown.refreshExpiresAt) - Date.now()) / 1000));
  return { body: shown, headers: { "Set-Cookie": writeCookie(refreshToken, seconds, cookieFor) } };
}

const cookieName = "onsale_session";

/**
 * Sent back only to the session's own routes, only by pages of the same site, readable by no script. Whoever makes a
 * browser send it can't read what comes back, and a refresh needs a JSON body, which no form of another site can send.
 */
function writeCookie(token: string, seconds: number, origin: string): string {
  const secure = origin.startsWith("https:") ? "; Secure" : "";
  return `${cookieName}=${token}; Path=/v1/sessions; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`;
}

function readCookie(header: string | undefined): string | undefined {
  const found = new RegExp(`(?:^|; *)${cookieName}=([\\x21-\\x3a\\x3c-\\x7e]{1,2048})`).exec(header ?? "");
  return found?.[1];
}

function shownSession(session: Session | undefined, account: Account | undefined) {
  if (!session) throw new Error("the account service answered without a session");
  return {
    accessToken: session.accessToken,
    tokenType: "Bearer",
    expiresAt: new Date(session.accessExpiresAtMs).toISOString(),
    refreshToken: session.refreshToken,
    refreshExpiresAt: new Date(session.refreshExpiresAtMs).toISOString(),
    sessionId: session.sessionId,
    account: shownAccount(account),
  };
}
