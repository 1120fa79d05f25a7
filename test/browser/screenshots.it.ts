// Pictures of every page, phone and desktop, light and dark, for people to look at: npm run screenshots.
import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type Person, publishEvent, signUp, untilStatus } from "../e2e/rest.js";
import { openShop, type Shop } from "../e2e/shop.js";
import { chromiumPath, desktop, launch, needsChromium, phone, visit } from "./chromium.js";
import { everyOrganiserPage } from "./organising.js";
import { holdPicked, logIn, pay, pickSeats, seatButton, ticketsAreThere, typeCard } from "./shopping.js";

const folder = process.env["SCREENSHOTS"];
const why = folder === undefined ? " (only by npm run screenshots)" : needsChromium;

describe.skipIf(folder === undefined || chromiumPath === undefined)(`screenshots${why}`, () => {
  let shop: Shop;
  let browser: Browser;
  let eventId: string;
  let laterId: string;
  let cancelledId: string;
  let draftId: string;
  beforeAll(async () => {
    mkdirSync(folder ?? "", { recursive: true });
    shop = await openShop();
    browser = await launch();
    eventId = await publishConcert(shop.organiser, "Nachtmusik", -60_000);
    laterId = await publishConcert(shop.organiser, "Nachtmusik, second night", 86_400_000);
    cancelledId = await publishEvent(shop.organiser, { rows: 3, seatsPerRow: 10 });
    await ask(shop.organiser, "POST", `/v1/organiser/events/${cancelledId}/cancel`, { reason: "The singer is ill" });
    draftId = await publishConcert(shop.organiser, "Nachtmusik, not announced yet", 86_400_000, false);
    const other = await signUp(shop.url);
    await other.hold(eventId, ["B-C-10", "B-C-11", "B-C-12"]);
    const sold = await other.hold(eventId, ["A-C-10", "A-C-11"]);
    await other.pay(sold.body.checkoutId);
  });
  afterAll(async () => {
    await browser?.close();
    await shop?.stop();
  });

  describe.each([
    ["phone", phone],
    ["desktop", desktop],
  ] as const)("%s", (size, options) => {
    it.each(["light", "dark"] as const)("%s", async (colorScheme) => {
      const { page, context } = await visit(browser, shop.stack.storefrontUrl, { ...options, colorScheme });
      let at = 0;
      const takeOf = async (page: Page, name: string, fullPage = true) => {
        await page.waitForTimeout(400);
        const file = `${size}-${colorScheme}-${String(++at).padStart(2, "0")}-${name}.png`;
        await page.screenshot({ path: join(folder ?? "", file), fullPage });
      };
      const take = (name: string, fullPage?: boolean) => takeOf(page, name, fullPage);
      await everyPage(
        page,
        await signUp(shop.url),
        { eventId, laterId, cancelledId },
        take,
        size === "phone" ? "E" : "F",
        colorScheme === "light" ? 1 : 11,
      );
      await context.close();
      // The newest order is one that can still be refunded.
      const late = await signUp(shop.url);
      const held = await late.hold(eventId, [`C-${size === "phone" ? "A" : "B"}-${colorScheme === "light" ? 1 : 9}`]);
      await late.pay(held.body.checkoutId);
      await untilStatus(late, held.body.checkoutId, ["completed"]);
      const organising = await visit(browser, shop.stack.storefrontUrl, { ...options, colorScheme });
      await everyOrganiserPage(organising.page, shop.organiser, eventId, (name) => takeOf(organising.page, name));
      for (const [path, name] of [
        [draftId, "draft"],
        [`${draftId}/edit`, "draft-edited"],
        [cancelledId, "cancelled"],
      ] as const) {
        await organising.page.goto(`/organiser/events/${path}`);
        await organising.page.getByTestId("seat-map").waitFor();
        await takeOf(organising.page, `organiser-${name}`);
      }
      await organising.context.close();
    });
  });
});

async function everyPage(
  page: Page,
  person: Person,
  { eventId, laterId, cancelledId }: { eventId: string; laterId: string; cancelledId: string },
  take: (name: string, fullPage?: boolean) => Promise<void>,
  row: string,
  seat: number,
): Promise<void> {
  await page.goto("/");
  await page.getByText("Nachtmusik").first().waitFor();
  await take("concerts");
  await page.goto("/?q=nothing+like+this");
  await page.getByText("No concert fits").waitFor();
  await take("nothing-found");
  await page.goto(`/events/${eventId}`);
  await page.getByText("In other baskets", { exact: true }).waitFor();
  await take("event");
  await page.goto("/signup");
  await page.getByLabel("Name").waitFor();
  await take("sign-up");
  await page.goto("/login");
  await page.getByLabel("E-mail").fill(person.email);
  await page.getByLabel("Password").fill("not this one at all");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").waitFor();
  await take("log-in-refused");
  await page.goto(`/events/${cancelledId}`);
  await page.getByText("This concert was cancelled").waitFor();
  await take("cancelled-event");
  await logIn(page, person);
  await page.goto("/tickets");
  await page.getByText("No tickets yet").waitFor();
  await take("no-tickets");
  await page.goto("/orders");
  await page.getByText("No orders yet").waitFor();
  await take("no-orders");
  await page.goto("/organiser");
  await page.getByText("This part is for organisers").waitFor();
  await take("not-an-organiser");

  // A presale: the event before its sale, a wrong code, the right one, its seats.
  await page.goto(`/events/${laterId}`);
  await page.getByText("In other baskets", { exact: true }).waitFor();
  await take("before-the-sale");
  await page.getByText("I have a presale code").click();
  await page.getByLabel("Presale code").fill("NOT-THIS-ONE");
  await page.getByRole("button", { name: "Use the code" }).click();
  await page.getByText(/This code opens nothing here/).waitFor();
  await take("code-refused");
  await page.getByLabel("Presale code").fill("FANS24");
  await page.getByRole("button", { name: "Use the code" }).click();
  await page.getByText("Your code opens").waitFor();
  await take("code-opened");
  await page.getByRole("link", { name: "Choose seats with the code" }).click();
  await page.getByTestId("seat-map").waitFor();
  await take("code-map");

  await page.goto(`/events/${eventId}/seats`);
  await page.getByTestId("seat-map").waitFor();
  await take("map");
  await page.getByLabel("Highest price").fill("9000");
  await page.getByLabel("Accessible seats").selectOption("1");
  await take("best-available");
  await page.getByTestId("seat-map").click();
  await take("map-near");
  await pickSeats(page, eventId, row, [seat, seat + 1]);
  await take("list");
  await page.getByRole("button", { name: "List" }).scrollIntoViewIfNeeded();
  await takeView(page, take);
  await holdPicked(page);
  await page.getByText("Nachtmusik").waitFor();
  await take("checkout");
  await checkoutMoments(page, take);
  await page.goto("/orders");
  await page.getByText("Seats held for you").waitFor();
  await take("held-elsewhere");
  await page.goto(`/events/${eventId}`);
  await page.getByText("Seats held for you").waitFor();
  await page.getByText("In other baskets", { exact: true }).waitFor();
  await take("held-event");
  await page.getByRole("link", { name: "To the checkout" }).click();
  await page.getByRole("timer").waitFor();
  await typeCard(page, "4000 0000 0000 0002");
  await pay(page);
  await page.getByText(/The payment was declined/).waitFor();
  await take("declined");
  await typeCard(page, "4000 0027 6000 3184");
  await take("card-chosen");
  await pay(page);
  await page.getByRole("link", { name: "Go to your bank's page" }).waitFor();
  await take("bank");
  await page.getByRole("link", { name: "Go to your bank's page" }).click();
  await page.getByRole("button", { name: /approve/i }).click();
  await page.waitForURL(/\/checkouts\/chk_/);
  await ticketsAreThere(page);
  await take("paid");
  await page.goto("/tickets");
  await page.getByText("Valid").first().waitFor();
  await take("tickets");
  await page.locator("main li a").first().click();
  await page.getByRole("img", { name: "Code for the door" }).waitFor();
  await take("ticket");
  await page.goto("/orders");
  await page.getByText("Receipt").click();
  await take("orders");
  await page.getByRole("button", { name: "Give the tickets back" }).click();
  await take("refund-asked");
  await page.getByRole("button", { name: /^Give back, get/ }).click();
  await page.getByText(/went back to your card/).waitFor({ timeout: 60_000 });
  await take("refunded");
  await page.goto("/account");
  await page.getByLabel("Password until now").fill("not this one at all");
  await page.getByLabel("New password").fill("four lanterns at dawn");
  await page.getByRole("button", { name: "Change the password" }).click();
  await page.getByText("This is not your password until now.").waitFor();
  await take("account");
  await page.goto("/nowhere");
  await page.getByText("There is nothing here").waitFor();
  await take("not-found");
}

/** What passes too quickly, or comes too late, to be waited for: the answer is the API's own but for what is said of it here. */
async function checkoutMoments(page: Page, take: (name: string) => Promise<void>): Promise<void> {
  const moments = {
    "last-minute": {
      change: () => ({ deadline: new Date(Date.now() + 50_000).toISOString() }),
      told: /Less than a minute/,
    },
    paying: { change: () => ({ status: "paying" }), told: /Your payment is being taken/ },
    expired: { change: () => ({ status: "expired" }), told: /Your time is over/ },
    "given-back": { change: () => ({ status: "cancelled" }), told: /This checkout was cancelled/ },
  };
  for (const [name, { change, told }] of Object.entries(moments)) {
    await page.route(/\/v1\/checkouts\/chk_/, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...(await response.json()), ...change() } });
    });
    await page.reload();
    await page.getByText(told).first().waitFor();
    await take(name);
    await page.unroute(/\/v1\/checkouts\/chk_/);
  }
  await page.evaluate(async () => void (await navigator.serviceWorker.ready));
  await page.reload();
  await page.getByRole("timer").waitFor();
  await page.context().setOffline(true);
  await page
    .getByText(/^No connection/)
    .first()
    .waitFor();
  await take("offline");
  await page.context().setOffline(false);
  // The ended moments let the basket forget it: it is remembered where it is seen.
  await page.reload();
  await page.getByRole("timer").waitFor();
}

/** What is on the screen, not the whole page: what sticks to its edge lies where it does. */
async function takeView(page: Page, take: (name: string, fullPage?: boolean) => Promise<void>): Promise<void> {
  await seatButton(page, "A", 1).first().scrollIntoViewIfNeeded();
  await take("list-in-view", false);
}

/** Four prices, accessible seats, a presale for its fans, and tickets that can be given back. */
async function publishConcert(organiser: Person, name: string, onSaleInMs: number, publish = true): Promise<string> {
  const now = Date.now();
  const iso = (ms: number) => new Date(now + ms).toISOString();
  const day = 86_400_000;
  const { eventId } = await ask(organiser, "POST", "/v1/organiser/events", {
    name,
    description: "Four acts, one night, no support.",
    venue: { name: "Gewandhaus", city: "Leipzig", country: "DE", timeZone: "Europe/Berlin" },
    startsAt: iso(30 * day),
    onSaleAt: iso(onSaleInMs),
    refundableUntil: iso(20 * day),
    currency: "EUR",
    seatsPerPerson: 8,
    tiers: [
      { id: "T1", name: "Gold", amount: 12_900 },
      { id: "T2", name: "Silver", amount: 7_950 },
      { id: "T3", name: "Balcony", amount: 4_500 },
      { id: "T4", name: "Standing", amount: 3_900 },
    ],
    sections: [
      {
        id: "A",
        name: "Stalls",
        tier: "T1",
        rows: { count: 8, seats: 24, accessible: ["H-1", "H-2"], companion: ["H-3", "H-4"] },
      },
      { id: "B", name: "Circle", tier: "T2", rows: { count: 8, seats: 30 } },
      { id: "C", name: "Balcony", tier: "T3", rows: { count: 5, seats: 36 } },
      { id: "GA", name: "Floor", tier: "T4", capacity: 200 },
    ],
  });
  if (!publish) return eventId;
  await ask(organiser, "POST", `/v1/organiser/events/${eventId}/publish`);
  await ask(organiser, "PUT", `/v1/organiser/events/${eventId}/channels/fans`, {
    name: "Fan club",
    codes: ["FANS24"],
    opensAt: iso(-60_000),
    closesAt: iso(20 * day),
    seatsPerPerson: 4,
    seatsPerCode: 6,
    seats: ["A", "B"].flatMap((row) => Array.from({ length: 10 }, (_, at) => `A-${row}-${at + 1}`)),
    generalAdmission: [{ section: "GA", quantity: 20 }],
  });
  return eventId;
}

async function ask(organiser: Person, method: string, path: string, body?: unknown) {
  const answer = await organiser.ask<{ eventId: string }>(method, path, { key: randomUUID(), body });
  if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body;
}
