// Starts the shop in the browser.
import { QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { App } from "./app.js";
import { forgetOwn, newQueries } from "./queries.js";
import { restoreSession, whenLeft } from "./session.js";
import "./style.css";
import { preferredLanguage, speak } from "./text.js";
import { applyTheme } from "./ui/page.js";

applyTheme();
const queries = newQueries();
whenLeft(() => forgetOwn(queries));

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
