// Starts the shop in the browser.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { ApiError } from "./api/client.js";
import { App } from "./app.js";
import { restoreSession } from "./session.js";
import "./style.css";
import { preferredLanguage, speak } from "./text.js";
import { applyTheme } from "./ui/page.js";

applyTheme();
const queries = new QueryClient({
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

const place = document.getElementById("app");
if (!place) throw new Error("the page has no #app");
await speak(preferredLanguage()).catch(() => speak("en"));
createRoot(place).render(
  <QueryClientProvider client={queries}>
    <App />
  </QueryClientProvider>,
);
void restoreSession();
// After the page is there: what makes it open without a connection.
addEventListener("load", () => void navigator.serviceWorker?.register("/service-worker.js").catch(() => undefined));
