// Leads the gateway's composition, and nobody else, to temporal-left-out.ts in place of its own clients/temporal.ts.
type Resolve = (
  specifier: string,
  context: { parentURL?: string },
  next: (specifier: string, context: { parentURL?: string }) => unknown,
) => unknown;

export const resolve: Resolve = (specifier, context, next) =>
  specifier === "./clients/temporal.js" && context.parentURL?.endsWith("/services/gateway/dist/service.js")
    ? { url: new URL("./temporal-left-out.js", import.meta.url).href, shortCircuit: true }
    : next(specifier, context);
