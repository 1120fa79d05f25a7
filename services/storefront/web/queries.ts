// How answers of the API are kept and asked for again.
import { QueryClient } from "@tanstack/react-query";
import { ApiError } from "./api/client.js";

/** What everybody sees. All else is somebody's, and goes when they leave. */
const publicQueries = new Set(["events", "event-facets", "event", "layout", "availability", "installation"]);

export const newQueries = (): QueryClient =>
  new QueryClient({
    defaultOptions: {
      // Without a connection a request fails at once and the page says so, rather than wait in silence.
      mutations: { networkMode: "always" },
      queries: {
        networkMode: "always",
        staleTime: 10_000,
        // A refusal stays one; what may pass is tried again with growing pauses.
        retry: (failures, error) => failures < 3 && error instanceof ApiError && error.retryable,
        retryDelay: (attempt) => Math.min(500 * 2 ** attempt, 5_000) * (0.5 + Math.random()),
      },
    },
  });

export const forgetOwn = (queries: QueryClient): void =>
  queries.removeQueries({ predicate: ({ queryKey }) => !publicQueries.has(String(queryKey[0])) });
