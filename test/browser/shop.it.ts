// The storefront in a real browser on the whole real stack: buying, losing, paying, coming back, by everybody.
import { randomUUID } from "node:crypto";
import { AxeBuilder } from "@axe-core/playwright";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Person, publishEvent, signUp } from "../e2e/rest.js";
import { audit, openShop, type Shop } from "../e2e/shop.js";
import { chromiumPath, desktop, launch, needsChromium, phone, visit } from "./chromium.js";
import {
  expectNoProblems,
  holdPicked,
  logIn,
  pay,
  pickSeats,
  seatButton,
  ticketsAreThere,
  typeCard,
} from "./shopping.js";

describe.skipIf(chromiumPath === undefined)(`the storefront${needsChromium}`, () => {
  let shop: Shop;
  let url: string;
  let browser: Browser;
  let buyer: Person;
  let eventId: string;
  let expiring: Awaited<ReturnType<typeof visit>>;

  beforeAll(async () => {
    // Shorter than the shop's five minutes, so that an expiry can be waited for; longer than any other test needs.
    shop = await openShop({ settings: { inventory: { HOLD_TTL_SECONDS: "50" } } });
    url = shop.stack.storefrontUrl;
    browser = await launch();
    buyer = await signUp(shop.url);
    eventId = await publishEvent(shop.organiser, { rows: 6, seatsPerRow: 20, capacity: 30, seatsPerPerson: 40 });
    // Begun now, looked at in the last test.
    expiring = await visit(browser, url, phone);
    await logIn(expiring.page, await signUp(shop.url));
    await pickSeats(expiring.page, eventId, "F", [1, 2]);
    await holdPicked(expiring.page);
  });
  afterAll(async () => {
    await browser?.close();
    await shop?.stop();
  });

  const accessible = async (page: Page) => {
    const { violations } = await new AxeBuilder({ page })
      .withTags(["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"])
      .analyze();
    expect(
      violations.map(({ id, nodes }) => `${page.url()} ${id}: ${nodes.map(({ html }) => html).join(" ")}`),
    ).toEqual([]);
  };

  it("sells to a newcomer on a phone, from signing up to the code for the door; every page passes axe", async () => {
    const { context, page, problems } = await visit(browser, url, phone);
    await page.goto("/");
    await page.getByRole("heading", { name: "Concerts" }).waitFor();
    await page
      .getByRole("link", { name: /from €/ })
      .first()
      .waitFor();
    await accessible(page);
    await page.goto(`/events/${eventId}`);
    await page.getByText("The sale is open.").waitFor();
    await page.getByText("In other baskets", { exact: true }).waitFor();
    await accessible(page);
    await page.getByRole("link", { name: "Log in to buy" }).click();
    await accessible(page);
    await page.getByRole("link", { name: "Sign up" }).last().click();
    await page.getByLabel("Name").fill("Nia Newcomer");
    await page.getByLabel("E-mail").fill(`nia-${Date.now()}@example.test`);
    await page.getByLabel("Password").fill("seven lanterns at dusk");
    await accessible(page);
    await page.getByRole("button", { name: "Sign up" }).click();
    const map = page.getByTestId("seat-map");
    await map.waitFor();
    await accessible(page);

    // On the map: the first tap comes nearer, the second one picks.
    const box = await map.boundingBox();
    if (!box) throw new Error("the map has no place on the page");
    const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    await page.touchscreen.tap(middle.x, middle.y);
    for (let dx = 0; dx < 60 && !(await page.getByRole("button", { name: /^Hold / }).isVisible()); dx += 6)
      await page.touchscreen.tap(middle.x + dx, middle.y);
    await holdPicked(page);
    await accessible(page);
    await typeCard(page);
    await accessible(page);
    await pay(page);
    await ticketsAreThere(page);
    await accessible(page);
    await page.getByRole("link", { name: "Show tickets" }).click();
    await page.getByText("Valid").first().waitFor();
    await accessible(page);
    await page.locator("main li a").first().click();
    await page.getByRole("img", { name: "Code for the door" }).waitFor();
    await accessible(page);
    // At the door there may be no connection: the ticket opens all the same.
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.reload();
    await page.getByRole("img", { name: "Code for the door" }).waitFor();
    await context.setOffline(true);
    await page.reload();
    await page.getByRole("img", { name: "Code for the door" }).waitFor();
    await context.setOffline(false);
    await page.goto("/orders");
    await page.getByText("Paid").waitFor();
    await accessible(page);
    await page.goto("/account");
    await page.getByText("Member since").waitFor();
    await accessible(page);
    expectNoProblems(problems);
    await context.close();
  });

  it("tells the loser of a race which seats are gone, keeps the others, and shows it live to who only looks", async () => {
    const first = await visit(browser, url);
    const second = await visit(browser, url);
    await logIn(first.page, buyer);
    await logIn(second.page, await signUp(shop.url));
    await pickSeats(second.page, eventId, "A", [1, 2]);
    await pickSeats(first.page, eventId, "A", [2, 3]);
    await holdPicked(first.page);
    await second.page.getByText(/row A, seat 2: someone was faster/).waitFor();
    await seatButton(second.page, "A", 2, "in another basket").waitFor();
    expect(await second.page.getByRole("complementary").getByText("row A, seat 1").isVisible()).toBe(true);
    await holdPicked(second.page);
    for (const { page, context, problems } of [first, second]) {
      await page.getByRole("button", { name: "Give the seats back" }).click();
      await page.getByRole("alertdialog").getByRole("button", { name: "Give the seats back" }).click();
      await page.getByText("This checkout was cancelled").waitFor();
      expectNoProblems(problems);
      await context.close();
    }
  });

  it("lets a declined buyer try another card, and one whose bank asks approve", async () => {
    const { context, page } = await visit(browser, url);
    await logIn(page, buyer);
    await pickSeats(page, eventId, "B", [1]);
    await holdPicked(page);
    await typeCard(page, "4000 0000 0000 0002");
    await pay(page);
    await page.getByText(/The payment was declined/).waitFor();
    await typeCard(page, "4000 0027 6000 3184");
    await pay(page);
    await page.getByRole("link", { name: "Go to your bank's page" }).click();
    await page.getByRole("button", { name: /approve/i }).click();
    await page.waitForURL(/\/checkouts\/chk_/);
    await ticketsAreThere(page);
    await context.close();
  });

  it("survives a reload at every step, the back button and a second tab", async () => {
    const { context, page } = await visit(browser, url);
    await logIn(page, buyer);
    await page.reload();
    await page.getByRole("link", { name: "My tickets" }).waitFor();
    await pickSeats(page, eventId, "C", [1, 2]);
    const checkoutId = await holdPicked(page);
    await page.reload();
    await page.getByRole("timer").waitFor();
    await typeCard(page);
    await page.reload();
    const second = await context.newPage();
    await second.goto(page.url());
    // Both tabs pay at once: it is the same payment.
    await Promise.allSettled(
      [page, second].map((tab) => tab.getByRole("button", { name: /^Pay / }).click({ timeout: 3_000 })),
    );
    await Promise.all([page, second].map((tab) => tab.reload()));
    // A reload may have cut off both requests before they left: then it is still to be paid, and can be.
    for (const tab of [page, second]) {
      const unpaid = tab.getByRole("button", { name: /^Pay / });
      await unpaid
        .or(tab.getByText(/being taken|You have your tickets/))
        .first()
        .waitFor();
      if (await unpaid.isVisible()) await unpaid.click({ timeout: 3_000 }).catch(() => undefined);
    }
    await Promise.all([page, second].map(ticketsAreThere));
    await page.goBack();
    await page.goForward();
    await page.goto(`/checkouts/${checkoutId}`);
    await ticketsAreThere(page);
    // A session is one for all tabs, and leaving it is too.
    await second.goto("/account");
    await second.getByRole("button", { name: "Log out", exact: true }).click();
    await page.getByRole("link", { name: "Log in" }).waitFor();
    await page.reload();
    await page.getByRole("link", { name: "Log in" }).first().waitFor();
    await context.close();
  });

  it("says when there is no connection, and goes on when it is back", async () => {
    const { context, page } = await visit(browser, url);
    await logIn(page, buyer);
    await pickSeats(page, eventId, "D", [1]);
    await context.setOffline(true);
    await page.getByRole("button", { name: /^Hold / }).click();
    await page.getByText(/can't be reached/).waitFor();
    await context.setOffline(false);
    await holdPicked(page);
    await context.close();
  });

  it("is bought from with the keyboard alone", async () => {
    const { context, page } = await visit(browser, url);
    await logIn(page, buyer);
    await page.goto(`/events/${eventId}/seats`);
    await page.getByTestId("seat-map").waitFor();
    const tabTo = async (name: RegExp) => {
      for (let presses = 0; presses < 400; presses++) {
        await page.keyboard.press("Tab");
        const focused = await page.evaluate(() => {
          const element = document.activeElement;
          return element?.getAttribute("aria-label") ?? element?.textContent ?? "";
        });
        if (name.test(focused)) return;
      }
      throw new Error(`the keyboard does not reach ${name}`);
    };
    await tabTo(/^List$/);
    await page.keyboard.press("Enter");
    await tabTo(/row A, seat 10, free/);
    await page.keyboard.press("Space");
    await tabTo(/^Hold /);
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/checkouts\/chk_/);
    await page.getByRole("timer").waitFor();
    await tabTo(/^Pay by card$/);
    await page.keyboard.press("Enter");
    await page.getByLabel("Card number").waitFor();
    for (const [at, typed] of ["4242424242424242", "12/34", "123"].entries()) {
      if (at > 0) await page.keyboard.press("Tab");
      await page.keyboard.type(typed);
    }
    await page.keyboard.press("Enter");
    await page.waitForURL(/payment_method=pm_/);
    await tabTo(/^Pay /);
    await page.keyboard.press("Enter");
    await ticketsAreThere(page);
    await context.close();
  });

  it("takes places of general admission, and shows what became of them when the organiser refunds", async () => {
    const { context, page } = await visit(browser, url);
    const person = await signUp(shop.url);
    await logIn(page, person);
    await page.goto(`/events/${eventId}/seats`);
    await page.getByLabel("Places").selectOption("2");
    await page.getByRole("button", { name: "Take places" }).click();
    await page.waitForURL(/\/checkouts\/chk_/);
    const checkoutId = new URL(page.url()).pathname.split("/").at(-1);
    await typeCard(page);
    await pay(page);
    await ticketsAreThere(page);
    await page.goto("/orders");
    await page.getByText("Paid", { exact: true }).waitFor();
    const refund = await shop.organiser.ask("POST", `/v1/orders/${checkoutId}/refund`, { key: randomUUID(), body: {} });
    expect(refund).toMatchObject({ status: 200, body: { status: "refunded" } });
    await page.reload();
    await page.getByText("Refunded", { exact: true }).first().waitFor();
    await page.goto("/tickets");
    await page.getByText("Not valid any more").first().waitFor();
    await context.close();
  });

  it("speaks German and French, remembers it, and shows the event's own time", async () => {
    const { context, page } = await visit(browser, url, { ...desktop, locale: "de-DE" });
    await page.goto(`/events/${eventId}`);
    await page.getByText("Der Verkauf läuft.").waitFor();
    await page.getByLabel("Sprache").selectOption("fr");
    await page.getByText("La vente est ouverte.").waitFor();
    await page.reload();
    await page.getByText("La vente est ouverte.").waitFor();
    expect(await page.evaluate(() => document.documentElement.lang)).toBe("fr");
    await context.close();
  });

  it("is light: a first visit loads at most 150 KB, and no code of the map", async () => {
    const { context, page } = await visit(browser, url, phone);
    await page.goto("/");
    await page
      .getByRole("link", { name: /from €/ })
      .first()
      .waitFor();
    const loaded = await page.evaluate(() =>
      (performance.getEntriesByType("resource") as PerformanceResourceTiming[])
        .filter(({ name }) => name.includes("/assets/"))
        .map(({ name, encodedBodySize }) => ({ name, bytes: encodedBodySize })),
    );
    expect(loaded.map(({ name }) => name).join()).not.toContain("seats-page");
    const total = loaded.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(total).toBeGreaterThan(10_000);
    expect(total).toBeLessThan(150_000);
    await context.close();
  });

  it("keeps no token where a script can read it, and runs nobody else's code", async () => {
    const { context, page } = await visit(browser, url);
    await logIn(page, buyer);
    const stored = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]),
    );
    expect(stored).not.toMatch(/eyJ|refresh|[A-Za-z0-9_-]{60,}/);
    const cookies = await context.cookies(`${url}/v1/sessions/refresh`);
    expect(cookies).toMatchObject([
      { name: "onsale_session", httpOnly: true, sameSite: "Strict", path: "/v1/sessions" },
    ]);
    const policy = (await fetch(url)).headers.get("content-security-policy") ?? "";
    expect(policy).toContain("script-src 'self';");
    expect(policy).not.toMatch(/unsafe|\*/);
    await context.close();
  });

  it("warns before the time is over, and says what it means when it is", async () => {
    const { page, context } = expiring;
    await page.getByText("Your time is over").waitFor({ timeout: 120_000 });
    expect(await page.getByText("nothing was charged").isVisible()).toBe(true);
    await accessible(page);
    await page.getByRole("link", { name: "Choose seats again" }).click();
    await page.getByRole("button", { name: "List" }).click();
    await seatButton(page, "F", 1, "free").waitFor();
    await context.close();
  });

  it("leaves books that agree", async () => {
    const books = await audit(shop, eventId);
    expect(books.contradictions).toEqual([]);
  });
});
