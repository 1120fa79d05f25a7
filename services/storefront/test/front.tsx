// A page of the shop as its visitors have it, drawn in happy-dom and speaking with a scripted API.
import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, configure, render } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { vi } from "vitest";
import type { Account, Checkout, EventWithSections, Order } from "../web/api/client.js";
import { startScriptedApi } from "./scripted-api.js";

// Generous, for machines that do other things too; what is there at once is found at once.
configure({ asyncUtilTimeout: 20_000 });
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

declare global {
  interface Window {
    readonly happyDOM: { setURL(url: string): void };
  }
}

export const account: Account = {
  accountId: "acc_1",
  email: "ada@example.test",
  name: "Ada Buyer",
  roles: ["buyer"],
  createdAt: "2026-01-05T09:00:00.000Z",
};

export const session = () => ({
  accessToken: "token-1",
  tokenType: "Bearer",
  expiresAt: new Date(Date.now() + 86_400_000).toISOString(),
  refreshExpiresAt: new Date(Date.now() + 30 * 86_400_000).toISOString(),
  sessionId: "ses_1",
  account,
});

const isoIn = (ms: number): string => new Date(Date.now() + ms).toISOString();

export const anEvent = (more: Partial<EventWithSections> = {}): EventWithSections => ({
  eventId: "evt_1",
  name: "Nachtmusik",
  description: "Four acts.",
  venue: { name: "Gewandhaus", city: "Leipzig", country: "DE", timeZone: "Europe/Berlin" },
  status: "published",
  startsAt: isoIn(30 * 86_400_000),
  onSaleAt: isoIn(-60_000),
  offSaleAt: isoIn(30 * 86_400_000),
  currency: "EUR",
  seatsPerPerson: 8,
  tiers: [{ id: "T1", name: "Gold", amount: 12_900 }],
  capacity: 40,
  layoutVersion: "v1",
  orphanRule: "lenient",
  accessibleUntil: isoIn(30 * 86_400_000),
  sections: [{ id: "A", name: "Stalls", tier: "T1", capacity: 40, generalAdmission: false }],
  ...more,
});

export const aCheckout = (more: Partial<Checkout> = {}): Checkout => ({
  checkoutId: "chk_1",
  status: "held",
  eventId: "evt_1",
  deadline: isoIn(300_000),
  seats: [{ seatId: "A-C-1", section: "A", row: "C", number: "1", tier: "T1", amount: 12_900 }],
  amount: 12_900,
  currency: "EUR",
  tickets: [],
  ...more,
});

export const anOrder = (more: Partial<Order> = {}): Order => ({
  checkoutId: "chk_1",
  event: {
    eventId: "evt_1",
    name: "Nachtmusik",
    startsAt: isoIn(30 * 86_400_000),
    venue: "Gewandhaus",
    city: "Leipzig",
    timeZone: "Europe/Berlin",
  },
  seats: [{ seatId: "A-C-1", section: "A", row: "C", number: "1", tier: "T1", amount: 12_900, left: 12_900 }],
  amount: 12_900,
  amountRefunded: 0,
  amountFailed: 0,
  currency: "EUR",
  status: "completed",
  createdAt: isoIn(-86_400_000),
  tickets: ["tkt_1"],
  refundable: false,
  refundedSeats: [],
  refunds: [],
  disputes: [],
  ...more,
});

/** Once a file: the pages' modules know their origin from when they are loaded. */
export async function openFront() {
  const api = await startScriptedApi();
  window.happyDOM.setURL(`${api.url}/`);
  // What happy-dom lacks of a browser: locks between tabs (here is one tab), stored answers, scrolling.
  if (!navigator.locks)
    Object.defineProperty(navigator, "locks", {
      value: { request: (_: string, run: () => unknown) => run() },
      configurable: true,
    });
  vi.stubGlobal("caches", {
    delete: async () => true,
    open: async () => ({ match: async () => undefined, put: async () => undefined }),
  });
  vi.stubGlobal("scrollTo", () => undefined);
  // happy-dom writes a line for each request that a page gave up or was refused, as browsers do.
  const write = console.error;
  vi.spyOn(console, "error").mockImplementation((...said) => {
    if (!/socket hang up|^(GET|POST|PUT|DELETE) http|AbortError/.test(String(said[0]))) write(...said);
  });
  const [{ App }, { newQueries }, { logIn }] = await Promise.all([
    import("../web/app.js"),
    import("../web/queries.js"),
    import("../web/session.js"),
  ]);
  return {
    api,
    async logIn(): Promise<void> {
      api.on("POST /v1/sessions", { status: 201, body: session() });
      await logIn(account.email, "a long and quiet river");
    },
    /** Draws the page at this path, as after a reload: nothing of earlier answers is known. */
    open(path: string) {
      cleanup();
      history.replaceState(null, "", path);
      render(
        <QueryClientProvider client={newQueries()}>
          <App />
        </QueryClientProvider>,
      );
      return userEvent.setup({ delay: null });
    },
    /** After each test: nothing drawn, nothing scripted, and nothing untrue was asked or answered. */
    async finish(): Promise<string[]> {
      cleanup();
      vi.useRealTimers();
      // What the page asked for last belongs to this test, also if it comes after its end.
      await api.rest();
      const problems = [...api.problems];
      api.forgetAll();
      return problems;
    },
  };
}
