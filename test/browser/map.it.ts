// The map of 60,000 seats in a real browser: that it shows what the server says, and how long it takes (printed, not asserted:
// this machine draws in software and others work on it).
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publishEvent, signUp } from "../e2e/rest.js";
import { openShop, type Shop } from "../e2e/shop.js";
import { chromiumPath, launch, needsChromium, visit } from "./chromium.js";
import { logIn } from "./shopping.js";

describe.skipIf(chromiumPath === undefined)(`the seat map${needsChromium}`, () => {
  let shop: Shop;
  let browser: Browser;
  beforeAll(async () => {
    shop = await openShop();
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
    await shop?.stop();
  });

  it("draws 60,000 seats, follows changes, pans and zooms", async () => {
    const eventId = await publishEvent(shop.organiser, {
      rows: 200,
      seatsPerRow: 299,
      capacity: 200,
      seatsPerPerson: 40,
    });
    const { page, problems } = await visit(browser, shop.stack.storefrontUrl);
    await logIn(page, await signUp(shop.url));
    await page.goto(`/events/${eventId}/seats`);
    const map = page.getByTestId("seat-map");
    await map.waitFor();
    await page.waitForFunction(
      () => Number(document.querySelector<HTMLElement>("[data-testid=seat-map]")?.dataset["firstPaintMs"]) > 0,
    );
    const colours = () =>
      map.evaluate((canvas: HTMLCanvasElement) => {
        const { data } = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height) ?? { data: [] };
        const seen = new Set<number>();
        for (let at = 0; at < data.length; at += 4 * 7)
          seen.add(((data[at] ?? 0) << 16) | ((data[at + 1] ?? 0) << 8) | (data[at + 2] ?? 0));
        return seen.size;
      });
    await expect.poll(colours).toBeGreaterThan(4);

    // Others hold 200 seats: they change colour on this map, without a reload.
    const before = await map.evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());
    const others = await Promise.all(Array.from({ length: 5 }, () => signUp(shop.url)));
    await Promise.all(
      others.map((person, at) =>
        person.hold(
          eventId,
          Array.from({ length: 40 }, (_, seat) => `A-${"ABCDE"[at]}-${seat + 1}`),
        ),
      ),
    );
    await expect
      .poll(() => map.evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL()), { timeout: 20_000 })
      .not.toBe(before);
    const afterChanges = Number(await map.getAttribute("data-paint-ms"));

    const box = await map.boundingBox();
    if (!box) throw new Error("the map has no place on the page");
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    const frames: number[] = [];
    const measure = async (move: () => Promise<void>) => {
      for (let step = 0; step < 20; step++) {
        await move();
        frames.push(Number(await map.getAttribute("data-paint-ms")));
      }
    };
    await page.mouse.move(x, y);
    await measure(() => page.mouse.wheel(0, -120));
    await page.mouse.down();
    let from = x;
    await measure(() => {
      from += 5;
      return page.mouse.move(from, y);
    });
    await page.mouse.up();
    frames.sort((a, b) => a - b);
    console.log(
      `map of 60,000 seats: first paint ${await map.getAttribute("data-first-paint-ms")} ms, a frame with 200 changed seats ${afterChanges} ms, ` +
        `pan and zoom: median ${frames[20]} ms a frame, worst ${frames.at(-1)} ms`,
    );
    expect(problems).toEqual([]);
  });
});
