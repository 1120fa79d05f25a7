// The organiser's pages in a real browser on the whole real stack: an event from nothing to sold, given back and blocked.
import { AxeBuilder } from "@axe-core/playwright";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Person, signUp } from "../e2e/rest.js";
import { audit, openShop, type Shop } from "../e2e/shop.js";
import { chromiumPath, desktop, launch, needsChromium, phone, visit } from "./chromium.js";
import { inDays, toDashboard, typeEvent } from "./organising.js";
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

const temporalUi = "http://127.0.0.1:8233";

describe.skipIf(chromiumPath === undefined)(`the organiser's pages${needsChromium}`, () => {
  let shop: Shop;
  let browser: Browser;
  let buyer: Person;
  let context: BrowserContext;
  let page: Page;
  let problems: string[];
  let eventId: string;
  let checkoutId: string;
  let buying: Awaited<ReturnType<typeof visit>>;

  beforeAll(async () => {
    shop = await openShop({ settings: { gateway: { TEMPORAL_UI_URL: temporalUi, CANCEL_SETTLE_SECONDS: "1" } } });
    browser = await launch();
    buyer = await signUp(shop.url);
    ({ context, page, problems } = await visit(browser, shop.stack.storefrontUrl, phone));
    buying = await visit(browser, shop.stack.storefrontUrl, desktop);
    await logIn(page, shop.organiser);
    await logIn(buying.page, buyer);
  });
  afterAll(async () => {
    await browser?.close();
    await shop?.stop();
  });

  const accessible = async (what: Page) => {
    const { violations } = await new AxeBuilder({ page: what })
      .withTags(["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"])
      // Hundreds of time zones and currencies, which take axe longer than all the rest.
      .exclude("option")
      .analyze();
    expect(
      violations.map(({ id, nodes }) => `${what.url()} ${id}: ${nodes.map(({ html }) => html).join(" ")}`),
    ).toEqual([]);
    const overflow = await what.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(overflow, `${what.url()} is wider than the screen`).toBeLessThanOrEqual(0);
  };

  it("tells a buyer for whom they are, and shows no link to them; the API refuses by itself", async () => {
    await buying.page.getByRole("link", { name: "My tickets" }).waitFor();
    expect(await buying.page.getByRole("link", { name: "Organiser" }).count()).toBe(0);
    await buying.page.goto("/organiser");
    await buying.page.getByText("This part is for organisers").waitFor();
    await accessible(buying.page);
    expect(await buyer.ask("GET", "/v1/organiser/events")).toMatchObject({
      status: 403,
      body: { code: "ROLE_REQUIRED" },
    });
  });

  it("make an event: what is missing is shown at its field, a file's faults by their lines, and the map draws it", async () => {
    await page.getByRole("link", { name: "Organiser" }).click();
    await page.getByText("No events yet").waitFor();
    await accessible(page);
    await page.getByRole("link", { name: "New event" }).first().click();
    await page.getByRole("button", { name: "Save and publish" }).click();
    await page.getByText(/things are not right yet/).waitFor();
    await expect.poll(() => page.evaluate(() => document.activeElement?.getAttribute("aria-invalid"))).toBe("true");
    await accessible(page);

    await page.getByRole("button", { name: "Small theatre" }).click();
    await page.getByText("295 places · sections: 2").waitFor();
    await page.getByTestId("seat-map").waitFor();

    await page.getByRole("button", { name: "From a file" }).click();
    await page
      .getByLabel("Or paste it here")
      .fill(
        [
          "section,name,tier,row,seats,gaps",
          "A,Stalls,front,A,12,",
          "A,,,,14,",
          "A,,,C,14,40",
          "B,Circle,rear,A,10,",
        ].join("\n"),
      );
    await page.getByRole("button", { name: "Read it" }).click();
    await page.getByText("line 3: row is missing").waitFor();
    await page.getByText("line 4: gaps has 40, but the row goes from 1 to 14").waitFor();
    await accessible(page);
    await page
      .getByLabel("Or paste it here")
      .fill(
        [
          "section,name,tier,row,seats,gaps",
          "A,Stalls,front,A,12,",
          "A,,,B,14,",
          "A,,,C,14,4",
          "B,Circle,rear,A,10,",
        ].join("\n"),
      );
    await page.getByRole("button", { name: "Read it" }).click();
    await page.getByRole("alertdialog").getByRole("button", { name: "Replace it" }).click();
    await page.getByText("49 places · sections: 2").waitFor();

    // The list does what the map does: a seat becomes accessible, and the form says so.
    await page.getByRole("button", { name: "List" }).click();
    await seatButton(page, "A", 12, "free").click();
    await page.getByRole("button", { name: /A · Stalls/ }).click();
    await page.getByText("Accessible: 12").waitFor();
    await accessible(page);

    await typeEvent(page, "An evening by hand");
    // A reload loses nothing of what was typed.
    await page.waitForTimeout(400);
    await page.reload();
    await page.getByText("49 places · sections: 2").waitFor();
    expect(await page.getByLabel("Name of the event").inputValue()).toBe("An evening by hand");
    await page.getByRole("button", { name: "Save and publish" }).click();
    eventId = await toDashboard(page);
    await page.getByText("Published").first().waitFor();
    await page.getByText("Nothing sold yet.").first().waitFor();
    await page.getByTestId("seat-map").waitFor();
    await accessible(page);
    const { body } = await shop.organiser.ask<{ sections: unknown }>("GET", `/v1/organiser/events/${eventId}`);
    expect(body.sections).toMatchObject([{ id: "A", rows: [{ accessible: [12] }, {}, { gaps: [4] }] }, { id: "B" }]);
  });

  it("show the sale as it goes: what a buyer buys in another browser is on the dashboard without a reload", async () => {
    await pickSeats(buying.page, eventId, "B", [1, 2]);
    checkoutId = await holdPicked(buying.page);
    await typeCard(buying.page);
    await pay(buying.page);
    await ticketsAreThere(buying.page);
    const figure = (label: string) => page.locator("dl > div").filter({ hasText: label }).first();
    await expect.poll(() => figure("Tickets").textContent(), { timeout: 20_000 }).toMatch(/^Tickets2of/);
    expect(await figure("Revenue").textContent()).toMatch(/€99\.00/);
    await expect.poll(() => figure("Conversion").textContent(), { timeout: 20_000 }).toMatch(/100%/);
    await page.getByText("As a table").first().click();
    await page.getByRole("cell", { name: "2", exact: true }).first().waitFor();
    await accessible(page);
  });

  it("find the order by the buyer's e-mail, tell what happened, and give the money back", async () => {
    await page.getByRole("link", { name: "Its orders" }).click();
    await page.getByLabel("Order, ticket, seat or e-mail").fill("nobody@example.test");
    await page.getByRole("button", { name: "Search" }).click();
    await page.getByText("No order found").waitFor();
    await page.getByLabel("Order, ticket, seat or e-mail").fill(buyer.email);
    await page.getByRole("button", { name: "Search" }).click();
    await page.getByRole("link", { name: new RegExp(checkoutId) }).waitFor();
    await accessible(page);
    await page.getByRole("link", { name: new RegExp(checkoutId) }).click();
    for (const step of ["Seats held", "Money reserved", "Money taken", "Tickets issued"])
      await page.getByText(step).first().waitFor();
    const link = page.getByRole("link", { name: "Open in the Temporal Web UI" });
    expect(await link.getAttribute("href")).toContain(`${temporalUi}/namespaces/`);
    expect(await link.getAttribute("href")).toContain(checkoutId);
    await accessible(page);

    // One seat first, then what is left.
    await page.getByRole("checkbox", { name: /seat 2/ }).uncheck();
    await page.getByRole("button", { name: "Give back…" }).click();
    await page.getByRole("alertdialog").getByText("Give €49.50 back for one seat?").waitFor();
    await page.getByRole("button", { name: "Give €49.50 back" }).click();
    await page.getByText("Partly refunded").waitFor();
    await page.getByRole("button", { name: "Give back…" }).click();
    await page.getByRole("button", { name: "Give €49.50 back" }).click();
    await page.getByText("Nothing is left to give back.").waitFor();
    await page.getByText("Money given back").first().waitFor();
    await accessible(page);
    await buying.page.goto("/tickets");
    await buying.page.getByText("Not valid any more").first().waitFor();
  });

  it("block a seat, which buyers see at once, and put it back on sale", async () => {
    await buying.page.goto(`/events/${eventId}/seats`);
    await buying.page.getByRole("button", { name: "List" }).click();
    await seatButton(buying.page, "C", 7, "free").waitFor();
    await page.goto(`/organiser/events/${eventId}/blocks`);
    await page.getByText("Nothing is blocked.").waitFor();
    await page.getByRole("button", { name: "List" }).click();
    await seatButton(page, "C", 7, "free").click();
    await page.getByLabel("Reason").fill("Camera position");
    await accessible(page);
    await page.getByRole("button", { name: "Block one seat" }).click();
    await page.getByText("One seat is off the sale.").waitFor();
    await seatButton(buying.page, "C", 7, "not for sale").waitFor();
    await accessible(page);
    await page.getByRole("button", { name: "Put back on sale: Section A, row C, seat 7" }).click();
    await page.getByText("One seat is on sale again.").waitFor();
    await seatButton(buying.page, "C", 7, "free").waitFor();
  });

  it("set seats aside for a presale, whose code opens them", async () => {
    await page.getByRole("link", { name: "Presale" }).click();
    await page.getByRole("button", { name: "New presale" }).click();
    await page.getByRole("button", { name: "Store" }).click();
    await page.getByText("Choose seats, or places in general admission.").waitFor();
    const form = page.getByRole("form", { name: "New presale" });
    await form.getByLabel("Name", { exact: true }).fill("Fan club");
    await form.getByLabel("Opens").fill(inDays(-1));
    await form.getByLabel("Closes").fill(inDays(10));
    await form.getByLabel("Codes, one a line").fill("golden ticket");
    await form.getByLabel("Section", { exact: true }).last().selectOption({ label: "Circle" });
    await form.getByRole("button", { name: "Add this section" }).click();
    await page.getByText("10 seats chosen").waitFor();
    await accessible(page);
    await form.getByRole("button", { name: "Store" }).click();
    await page.getByText("“Fan club” is stored").waitFor();
    await page.getByText("10 seats · one code").waitFor();
    await accessible(page);
    const opened = await buyer.ask("POST", `/v1/events/${eventId}/access`, { body: { code: "Golden Ticket" } });
    expect(opened).toMatchObject({ status: 200, body: { name: "Fan club" } });
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("No presale yet.").waitFor();
  });

  it("copy an event, save the copy as a draft by the keyboard alone, edit that, and publish it", async () => {
    await page.goto(`/organiser/events/${eventId}`);
    await page.getByRole("link", { name: "Copy into a new event" }).click();
    await page.getByText("49 places · sections: 2").waitFor();
    for (const [label, value] of [
      ["Starts", inDays(60)],
      ["On sale from", inDays(1)],
    ] as const)
      await page.getByLabel(label).fill(value);
    const save = page.getByRole("button", { name: "Save as a draft" });
    for (let presses = 0; presses < 300 && !(await save.evaluate((it) => it === document.activeElement)); presses++)
      await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByText("This is a draft: only you see it.").waitFor();
    await page.getByTestId("seat-map").waitFor();
    await accessible(page);
    await page.getByRole("link", { name: "Edit draft" }).click();
    await page.getByText("49 places · sections: 2").waitFor();
    expect(await page.getByLabel("Starts").inputValue()).toBe(inDays(60));
    await page.getByLabel("Name of the event").fill("An evening by hand, again");
    await accessible(page);
    await page.getByRole("button", { name: "Save changes" }).click();
    await page.getByRole("heading", { name: "An evening by hand, again" }).waitFor();
    await page.getByTestId("seat-map").waitFor();
    await page.getByRole("button", { name: "Publish" }).press("Enter");
    await page.getByRole("alertdialog").press("Escape");
    await page.getByRole("button", { name: "Publish" }).press("Enter");
    await page.getByRole("alertdialog").getByRole("button", { name: "Publish" }).press("Enter");
    await page.getByText("Nothing sold yet.").first().waitFor();
    await page.goto("/organiser?q=by+hand&status=published");
    await expect
      .poll(() => page.getByRole("main").getByRole("listitem").filter({ hasText: "An evening by hand" }).count())
      .toBe(2);
  });

  it("cancel an event for good, and show how its orders are given back", async () => {
    const held = await buyer.hold(eventId, ["A-A-1"]);
    expect(await buyer.pay(held.body.checkoutId)).toMatchObject({ status: 200, body: { status: "completed" } });
    await page.goto(`/organiser/events/${eventId}`);
    await page.getByRole("button", { name: "Cancel the event…" }).press("Enter");
    await page.getByRole("alertdialog").press("Escape");
    await expect.poll(() => page.evaluate(() => document.activeElement?.textContent)).toBe("Cancel the event…");
    await page.keyboard.press("Enter");
    await page.getByRole("alertdialog").getByLabel("Reason").fill("The singer is ill");
    await accessible(page);
    await page.getByRole("button", { name: "Cancel and give all money back" }).click();
    await page.getByText("The singer is ill").waitFor();
    await page.getByText("2 of 2 orders given back").waitFor({ timeout: 60_000 });
    await accessible(page);
    expect(await buyer.hold(eventId, ["A-A-2"])).toMatchObject({ status: 409, body: { code: "EVENT_CANCELLED" } });
  });

  it("speak German and French, to the last word", async () => {
    for (const [language, words] of [
      ["de", "Veranstaltungen"],
      ["fr", "Événements"],
    ] as const) {
      await page.locator("footer select, main select").first().waitFor();
      await page.evaluate((chosen) => localStorage.setItem("onsale.language", chosen), language);
      await page.goto("/organiser");
      await page.getByRole("link", { name: words }).first().waitFor();
      await page.goto(`/organiser/events/${eventId}`);
      await page.getByTestId("seat-map").waitFor();
      await accessible(page);
    }
    expectNoProblems(problems);
    expectNoProblems(buying.problems);
    await context.close();
  });

  it("leave books that agree", async () => {
    expect((await audit(shop, eventId)).contradictions).toEqual([]);
  });
});
