// A price in a currency with no decimals but Stripe's two, as people meet it: typed by an organiser, seen and paid by a buyer.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Person, signUp } from "../e2e/rest.js";
import { audit, openShop, type Shop } from "../e2e/shop.js";
import { chromiumPath, launch, needsChromium, visit } from "./chromium.js";
import { toDashboard, typeEvent } from "./organising.js";
import { expectNoProblems, holdPicked, logIn, pay, pickSeats, ticketsAreThere, typeCard } from "./shopping.js";

describe.skipIf(chromiumPath === undefined)(`an evening for 9,900 krónur${needsChromium}`, () => {
  let shop: Shop;
  let browser: Browser;
  let buyer: Person;

  beforeAll(async () => {
    shop = await openShop();
    browser = await launch();
    buyer = await signUp(shop.url);
  });
  afterAll(async () => {
    await browser?.close();
    await shop?.stop();
  });

  it("costs that on every page, and at Stripe", async () => {
    const organising = await visit(browser, shop.stack.storefrontUrl);
    await logIn(organising.page, shop.organiser);
    await organising.page.goto("/organiser/events/new");
    await organising.page.getByRole("button", { name: "Small theatre" }).click();
    await typeEvent(organising.page, "An evening in Reykjavik");
    await organising.page.getByLabel("Currency").selectOption("ISK");
    const prices = await organising.page.getByLabel("Price (ISK)").all();
    const typeAll = async (price: string) => {
      for (const field of prices) await field.fill(price);
    };
    await typeAll("99");
    await organising.page.getByRole("button", { name: "Save and publish" }).click();
    await organising.page.getByText("Must be at least 200 ISK: nothing below it can be charged").first().waitFor();
    await typeAll("9900");
    await organising.page.getByRole("button", { name: "Save and publish" }).click();
    const eventId = await toDashboard(organising.page);

    const { page, problems } = await visit(browser, shop.stack.storefrontUrl);
    await logIn(page, buyer);
    const shows = (where: Page, price: string) => where.getByText(price).first().waitFor();
    await page.goto("/?currency=ISK&max=10000");
    await shows(page, "ISK 9,900");
    await page.goto(`/events/${eventId}`);
    await shows(page, "ISK 9,900");
    await pickSeats(page, eventId, "A", [1, 2]);
    await shows(page, "ISK 9,900");
    await shows(page, "ISK 19,800");
    const checkoutId = await holdPicked(page);
    await shows(page, "ISK 19,800");
    await typeCard(page);
    await page.getByRole("button", { name: /^Pay ISK.19,800/ }).waitFor();
    await pay(page);
    await ticketsAreThere(page);
    await page.goto("/orders");
    await page.getByText("Receipt").click();
    await shows(page, "ISK 19,800");
    const tickets = await buyer.ask<{ tickets: { ticketId: string }[] }>("GET", "/v1/tickets");
    await page.goto(`/tickets/${tickets.body.tickets[0]?.ticketId}`);
    await shows(page, "ISK 9,900");
    await organising.page.goto(`/organiser/orders/${checkoutId}`);
    await shows(organising.page, "ISK 19,800");

    const { contradictions, payments } = await audit(shop, eventId);
    expect(contradictions).toEqual([]);
    expect(payments).toMatchObject([{ captured: 1_980_000, currency: "isk", metadata: { checkoutId } }]);
    expectNoProblems([...problems, ...organising.problems]);
  });
});
