// Pictures of every page, phone and desktop, light and dark, for people to look at: npm run screenshots.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type Person, publishEvent, signUp } from "../e2e/rest.js";
import { openShop, type Shop } from "../e2e/shop.js";
import { chromiumPath, desktop, launch, needsChromium, phone, visit } from "./chromium.js";
import { holdPicked, logIn, pay, pickSeats, ticketsAreThere, typeCard } from "./shopping.js";

const folder = process.env["SCREENSHOTS"];
const why = folder === undefined ? " (only by npm run screenshots)" : needsChromium;

describe.skipIf(folder === undefined || chromiumPath === undefined)(`screenshots${why}`, () => {
  let shop: Shop;
  let browser: Browser;
  let eventId: string;
  beforeAll(async () => {
    mkdirSync(folder ?? "", { recursive: true });
    shop = await openShop();
    browser = await launch();
    eventId = await publishEvent(shop.organiser, { rows: 12, seatsPerRow: 24, capacity: 60, seatsPerPerson: 8 });
    await publishEvent(shop.organiser, { rows: 3, seatsPerRow: 10, onSaleInMs: 86_400_000 });
    const other = await signUp(shop.url);
    await other.hold(eventId, ["A-C-10", "A-C-11", "A-C-12"]);
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
      const take = async (name: string) => {
        await page.waitForTimeout(400);
        const file = `${size}-${colorScheme}-${String(++at).padStart(2, "0")}-${name}.png`;
        await page.screenshot({ path: join(folder ?? "", file), fullPage: true });
      };
      await everyPage(
        page,
        await signUp(shop.url),
        eventId,
        take,
        size === "phone" ? "E" : "F",
        colorScheme === "light" ? 1 : 11,
      );
      await context.close();
    });
  });
});

async function everyPage(
  page: Page,
  person: Person,
  eventId: string,
  take: (name: string) => Promise<void>,
  row: string,
  seat: number,
): Promise<void> {
  await page.goto("/");
  await page.getByText("An evening of tests").first().waitFor();
  await take("concerts");
  await page.goto("/?q=nothing+like+this");
  await page.getByText("No concert fits").waitFor();
  await take("nothing-found");
  await page.goto(`/events/${eventId}`);
  await page.getByText("In other baskets", { exact: true }).waitFor();
  await take("event");
  await page.goto("/signup");
  await take("sign-up");
  await logIn(page, person);
  await page.goto(`/events/${eventId}/seats`);
  await page.getByTestId("seat-map").waitFor();
  await take("map");
  await page.getByTestId("seat-map").click();
  await take("map-near");
  await pickSeats(page, eventId, row, [seat, seat + 1]);
  await take("list");
  await holdPicked(page);
  await take("checkout");
  await typeCard(page);
  await take("card-chosen");
  await pay(page);
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
  await page.goto("/account");
  await page.getByText("Member since").waitFor();
  await take("account");
  await page.goto("/nowhere");
  await take("not-found");
}
