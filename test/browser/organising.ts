// What an organiser does on the pages, a line each: type an event, come to its dashboard, look at every page.
import type { Page } from "playwright-core";
import type { Person } from "../e2e/rest.js";
import { logIn } from "./shopping.js";

/** So many days from now at noon, as an input of type datetime-local takes it. */
export const inDays = (days: number): string =>
  `${new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10)}T12:00`;

/** On the page of a new event: all but its hall. Its sale began yesterday. */
export async function typeEvent(page: Page, name: string): Promise<void> {
  await page.getByLabel("Name of the event").fill(name);
  await page.getByLabel("Venue", { exact: true }).fill("Test Hall");
  await page.getByLabel("City").fill("Leipzig");
  await page.getByLabel("Country").fill("de");
  await page.getByLabel("Time zone").selectOption("Europe/Berlin");
  await page.getByLabel("Starts").fill(inDays(30));
  await page.getByLabel("On sale from").fill(inDays(-1));
  for (const price of await page.getByLabel("Price (EUR)").all()) await price.fill("49,50");
  for (const [at, tier] of (await page.getByLabel("Price tier", { exact: true }).all()).entries())
    if (await tier.evaluate((field) => field instanceof HTMLInputElement && field.value === ""))
      await tier.fill(`Tier ${at + 1}`);
}

/** After it was saved: the event's id. */
export async function toDashboard(page: Page): Promise<string> {
  await page.waitForURL(/\/organiser\/events\/evt_/);
  return new URL(page.url()).pathname.split("/").at(-1) ?? "";
}

/** Every page of the organiser's, for pictures; the event has sales and orders. */
export async function everyOrganiserPage(
  page: Page,
  organiser: Person,
  eventId: string,
  take: (name: string) => Promise<void>,
): Promise<void> {
  await logIn(page, organiser);
  await page.goto("/organiser");
  await page
    .getByRole("link", { name: /An evening/ })
    .first()
    .waitFor();
  await take("organiser-events");
  await page.goto("/organiser?q=nothing+like+this");
  await page.getByText("No event fits").waitFor();
  await take("organiser-no-event");
  await page.goto("/organiser/events/new");
  await page.getByRole("button", { name: "Save and publish" }).click();
  await page.getByText(/not right yet/).waitFor();
  await take("organiser-new-faults");
  await typeEvent(page, "An evening in a hall");
  await page.getByRole("button", { name: "Concert hall" }).click();
  await page.getByTestId("seat-map").waitFor();
  await page.getByRole("button", { name: /P · Hall/ }).click();
  await page.getByRole("button", { name: "More about row A", exact: true }).click();
  await page.getByTestId("seat-map").scrollIntoViewIfNeeded();
  await take("organiser-new-hall");
  await page.getByRole("button", { name: "From a file" }).click();
  await page
    .getByLabel("Or paste it here")
    .fill("section,name,tier,row,seats\nA,Stalls,front,A,20\nA,,,,22\nA,,,C,many");
  await page.getByRole("button", { name: "Read it" }).click();
  await page.getByText("line 3: row is missing").waitFor();
  await take("organiser-import");
  await page.evaluate(() => sessionStorage.clear());
  await page.goto(`/organiser/events/${eventId}`);
  await page.getByText("As a table").first().click();
  await page.getByTestId("seat-map").waitFor();
  await take("organiser-sale");
  await page.getByRole("link", { name: "Presale" }).click();
  await page.getByRole("button", { name: "New presale" }).click();
  await page.getByTestId("seat-map").waitFor();
  await take("organiser-presale");
  await page.goto(`/organiser/events/${eventId}/blocks`);
  await page.getByTestId("seat-map").waitFor();
  await page.getByRole("button", { name: "Add this section" }).click();
  await take("organiser-blocks");
  await page.goto("/organiser/orders");
  await page.getByRole("link", { name: /chk_/ }).first().waitFor();
  await take("organiser-orders");
  await page.getByRole("link", { name: /chk_/ }).first().click();
  await page.getByText("Tickets issued").first().waitFor();
  await page.getByRole("button", { name: "Give back…" }).click();
  await take("organiser-order");
}
