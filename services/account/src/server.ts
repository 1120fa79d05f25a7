// gRPC: decode, use case, encode.
import type { GrpcServer, ServiceHandlers } from "@onsale/kit/grpc-server";
import type { KeyRing } from "@onsale/kit/signing-keys";
import {
  type Account as AccountMessage,
  AccountServiceService,
  type LogInResponse,
} from "@onsale/proto/account/v1/account";
import type { Account } from "./accounts.js";
import { changePassword } from "./change-password.js";
import { logIn, logOut, type OpenSession, refreshSession, type SessionDependencies } from "./log-in.js";
import { findAccounts, readAccount, setRoles, signUp } from "./sign-up.js";

export function serveAccounts(server: GrpcServer, dependencies: SessionDependencies & { keys: KeyRing }): void {
  const { store, keys } = dependencies;
  const handlers: ServiceHandlers<typeof AccountServiceService> = {
    signUp: async (request, { signal }) => ({
      account: accountMessage(await signUp(dependencies, request, ["buyer"], signal)),
    }),
    logIn: async (request, { signal }) => sessionMessage(await logIn(dependencies, request, signal)),
    refreshSession: async ({ refreshToken }) => sessionMessage(await refreshSession(dependencies, refreshToken)),
    logOut: async (request) => {
      await logOut(dependencies, request);
      return {};
    },
    getAccount: async ({ accountId }) => ({ account: accountMessage(await readAccount(store, accountId)) }),
    setRoles: async ({ accountId, roles }) => ({ account: accountMessage(await setRoles(store, accountId, roles)) }),
    changePassword: async (request, { signal }) => {
      await changePassword(dependencies, request, signal);
      return {};
    },
    findAccounts: async (request) => ({ accounts: (await findAccounts(store, request)).map(accountMessage) }),
    getVerificationKeys: async () => ({ jwksJson: JSON.stringify(await keys.verificationKeys()) }),
  };
  server.serve(AccountServiceService, handlers);
}

const accountMessage = ({ accountId, email, name, roles, createdAtMs }: Account): AccountMessage => ({
  accountId,
  email,
  name,
  roles: [...roles],
  createdAtMs,
});

const sessionMessage = ({ account, ...session }: OpenSession): LogInResponse => ({
  account: accountMessage(account),
  session,
});
