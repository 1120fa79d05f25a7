// What a visitor does on the pages, a line each: log in, pick seats, hold them, type a card.

import type { Page } from "playwright-core";
import { expect } from "vitest";
import type { Person } from "../e2e/rest.js";

export async function logIn(page: Page, person: Person, next = "/"): Promise<void> {
  await page.goto(`/login?next=${encodeURIComponent(next)}`);
  await page.getByLabel("E-mail").fill(person.email);
  await page.getByLabel("Password").fill(person.password);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.waitForURL((url) => url.pathname === next);
}

export const seatButton = (page: Page, row: string, number: number, state = "") =>
  page.getByRole("button", { name: new RegExp(`row ${row}, seat ${number},.*${state}`) });

/** In list mode, which can all that the map can. */
export async function pickSeats(page: Page, eventId: string, row: string, numbers: readonly number[]): Promise<void> {
  await page.goto(`/events/${eventId}/seats`);
  await page.getByRole("button", { name: "List" }).click();
  for (const number of numbers) {
    await seatButton(page, row, number, "free").click();
    await seatButton(page, row, number, "picked").waitFor();
  }
}

export async function holdPicked(page: Page): Promise<string> {
  await page.getByRole("button", { name: /^Hold / }).click();
  await page.waitForURL(/\/checkouts\/chk_/);
  await page.getByRole("timer").waitFor();
  return new URL(page.url()).pathname.split("/").at(-1) ?? "";
}

export async function typeCard(page: Page, number = "4242 4242 4242 4242"): Promise<void> {
  await page.getByRole("link", { name: "Pay by card" }).click();
  await page.getByLabel("Card number").fill(number);
  await page.getByLabel("Expires").fill("12 / 34");
  await page.getByLabel("Security code").fill("123");
  await page.getByRole("button", { name: "Use this card" }).click();
  await page.waitForURL(/payment_method=pm_/);
}

export async function pay(page: Page): Promise<void> {
  await page.getByRole("button", { name: /^Pay / }).click();
}

export async function ticketsAreThere(page: Page): Promise<void> {
  await page.getByText("You have your tickets").waitFor({ timeout: 60_000 });
}

/** Nothing went wrong in the page while it was used. */
export const expectNoProblems = (problems: readonly string[]) => expect(problems).toEqual([]);

/** Nothing is wider than the window. */
export async function expectNoSidewaysScrolling(page: Page): Promise<void> {
  const { content, view } = await page.evaluate(() => ({
    content: document.documentElement.scrollWidth,
    view: document.documentElement.clientWidth,
  }));
  expect(content, `${page.url()} is ${content} px wide in a window of ${view}`).toBeLessThanOrEqual(view);
}
