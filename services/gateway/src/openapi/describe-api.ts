// The API's description without a running gateway: the real routes, on lines that are never used.
import { createLogger } from "@onsale/kit/log";
import { createMetrics } from "@onsale/kit/metrics";
import { createContext } from "@onsale/kit/process";
import { closeServices, connectServices } from "../clients/services.js";
import { connectTemporal } from "../clients/temporal.js";
import { gatewaySettings } from "../config.js";
import { createAuthenticator } from "../http/authenticate.js";
import type { Route } from "../http/route.js";
import { apiRoutes } from "../service.js";
import { type OpenApiDocument, openApiDocument } from "./openapi.js";

export function describeApi(): { routes: Route[]; document: OpenApiDocument; close(): Promise<void> } {
  const nowhere = "127.0.0.1:1";
  const { config, trust } = createContext("gateway", gatewaySettings, {
    LOG_LEVEL: "silent",
    ACCOUNT_ADDRESS: nowhere,
    INVENTORY_ADDRESS: nowhere,
    PAYMENT_ADDRESS: nowhere,
    TICKET_ADDRESS: nowhere,
    TEMPORAL_ADDRESS: nowhere,
    REDIS_URL: "redis://127.0.0.1:1",
  });
  const log = createLogger("gateway", "silent");
  const services = connectServices({ account: nowhere, inventory: nowhere, payment: nowhere, ticket: nowhere }, trust);
  const temporal = connectTemporal({ connection: { address: nowhere }, namespace: "default", log });
  const authenticator = createAuthenticator({
    fetchKeys: async () => '{"keys":[]}',
    issuer: config.ACCESS_TOKEN_ISSUER,
    audience: config.ACCESS_TOKEN_AUDIENCE,
    log,
  });
  const metrics = createMetrics("gateway");
  const routes = apiRoutes({ config, log, metrics, services, temporal, authenticator, ready: () => false });
  return {
    routes,
    document: openApiDocument(routes),
    close: async () => {
      authenticator.stop();
      closeServices(services);
      await temporal.close();
    },
  };
}
