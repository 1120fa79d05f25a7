// A disputed payment in a real browser on the whole real stack: found by its day, looked at, and answered in the organiser's own words.
import { join } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publishEvent, signUp, untilStatus } from "../e2e/rest.js";
import { openShop, type Shop, stripeLedger } from "../e2e/shop.js";
import { chromiumPath, desktop, launch, needsChromium, phone, visit } from "./chromium.js";
import { expectNoProblems, logIn } from "./shopping.js";

/** Where pictures of it are wanted. */
const folder = process.env["SCREENSHOTS"];

describe.skipIf(chromiumPath === undefined)(`a disputed payment${needsChromium}`, () => {
  let shop: Shop;
  let browser: Browser;
  let eventId: string;
  beforeAll(async () => {
    shop = await openShop();
    browser = await launch();
    eventId = await publishEvent(shop.organiser);
  });
  afterAll(async () => {
    await browser?.close();
    await shop?.stop();
  });

  const accessible = async (page: Page) => {
    const { violations } = await new AxeBuilder({ page })
      .withTags(["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"])
      .analyze();
    expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
  };

  async function disputed(seatId: string) {
    const person = await signUp(shop.url);
    const { checkoutId } = (await person.hold(eventId, [seatId])).body;
    await person.pay(checkoutId);
    await untilStatus(person, checkoutId, ["completed"]);
    const intent = (await stripeLedger(shop)).find(({ metadata }) => metadata["checkoutId"] === checkoutId);
    const answer = await fetch(`${shop.stack.stripeUrl}/_sim/disputes/${intent?.id}`, { method: "POST" });
    expect(answer.status).toBeLessThan(300);
    return person;
  }

  it.each([
    ["phone", "light", phone, "A-A-1"],
    ["phone", "dark", phone, "A-A-2"],
    ["desktop", "light", desktop, "A-A-3"],
    ["desktop", "dark", desktop, "A-A-4"],
  ] as const)("is answered on a %s, %s", async (size, colorScheme, options, seatId) => {
    const buyer = await disputed(seatId);
    const { page, context, problems } = await visit(browser, shop.stack.storefrontUrl, { ...options, colorScheme });
    const take = async (name: string) => {
      if (folder !== undefined)
        await page.screenshot({ path: join(folder, `${size}-${colorScheme}-dispute-${name}.png`), fullPage: true });
    };
    await logIn(page, shop.organiser);
    await page.goto("/organiser/orders");
    const listed = page.getByText("Payments that are disputed");
    await expect
      .poll(
        async () => {
          await page.reload();
          await listed.waitFor({ timeout: 5_000 }).catch(() => undefined);
          return page
            .getByRole("listitem")
            .filter({ hasText: buyer.email })
            .getByText(/^answer by/)
            .count();
        },
        { timeout: 30_000 },
      )
      .toBe(1);
    await accessible(page);
    await take("list");
    await page
      .getByRole("listitem")
      .filter({ hasText: /answer by/ })
      .getByRole("link", { name: buyer.email })
      .click();
    await page.getByText("What the bank is sent").waitFor();
    await page.getByLabel("Your own words").fill("She came at eight,\nand sat in her seat.");
    await accessible(page);
    await take("known");
    await page.getByRole("button", { name: "Send to the bank…" }).click();
    await accessible(page);
    await page.getByRole("alertdialog").getByRole("button", { name: "Send to the bank" }).click();
    await page.getByText(/^Answered on/).waitFor();
    await page.getByText("She came at eight,").waitFor();
    await accessible(page);
    await take("sent");
    await page.goto(new URL(page.url()).pathname.replace(/\/disputes\/.*/, ""));
    await page.getByText("Answer sent to the bank").waitFor();
    await accessible(page);
    await take("order");
    expectNoProblems(problems);
    await context.close();
  });
});
