// The list of concerts: what is chosen is in the address and back from it, and the shop is asked no more than needed.
// @vitest-environment happy-dom
import { screen, waitFor } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { anEvent, openFront } from "../../../test/front.js";
import { refusal } from "../../../test/scripted-api.js";

let front: Awaited<ReturnType<typeof openFront>>;
beforeAll(async () => {
  front = await openFront();
});
beforeEach(() =>
  front.api.on(choices, {
    status: 200,
    body: {
      cities: ["Wien", "Bern"].map((value) => ({ value, events: 1 })),
      currencies: [{ value: "EUR", events: 2 }],
    },
  }),
);
afterEach(async () => expect(await front.finish()).toEqual([]));
afterAll(() => front.api.stop());

const listing = "GET /v1/events";
const choices = "GET /v1/event-facets";
const lastAsked = () => Object.fromEntries(front.api.askedFor(listing).at(-1)?.query ?? []);
const eventFor = (name: string, amount: number, city = "Leipzig") => {
  const { sections: _, ...event } = anEvent({
    eventId: `evt_${name}`,
    name,
    tiers: [{ id: "T1", name: "Gold", amount }],
    venue: { name: "Hall", city, country: "DE", timeZone: "Europe/Berlin" },
  });
  return event;
};
const today = expect.stringMatching(/^\d{4}-\d\d-\d\d$/);
const names = () =>
  screen.getAllByRole("link", { name: /from €/ }).map((link) => link.querySelector("span.text-lg")?.textContent);

describe("the list of concerts", () => {
  it("begins with today, and shows what is over to who asks for its days", async () => {
    front.api.on(listing, { status: 200, body: { events: [eventFor("One", 5_000)] } });
    front.open("/");
    await screen.findByText("One");
    const days = Date.now() - Date.parse(lastAsked()["from"] ?? "");
    expect(days).toBeGreaterThanOrEqual(0);
    expect(days).toBeLessThan(86_460_000);
    front.open("/?to=2026-01-31");
    await waitFor(() => expect(lastAsked()).toEqual({ limit: "50", to: "2026-01-31" }));
    front.open("/?from=2026-01-01");
    await waitFor(() => expect(lastAsked()).toEqual({ limit: "50", from: "2026-01-01" }));
    front.open("/?to=2199-01-31");
    await waitFor(() => expect(lastAsked()).toEqual({ limit: "50", from: today, to: "2199-01-31" }));
  });

  it("puts what is typed into the address when the typing rests, and asks once", async () => {
    front.api.on(listing, { status: 200, body: { events: [eventFor("One", 5_000)] } });
    const user = front.open("/");
    await screen.findByText("One");
    await user.type(screen.getByLabelText("Artist, venue or city"), "night");
    await waitFor(() => expect(location.search).toBe("?q=night"));
    await waitFor(() => expect(front.api.askedFor(listing).some(({ query }) => query.get("q") === "night")).toBe(true));
    const searches = front.api.askedFor(listing).flatMap(({ query }) => query.get("q") ?? []);
    expect(new Set(searches)).toEqual(new Set(["night"]));
    await user.click(screen.getByRole("button", { name: "Clear filters" }));
    expect(location.search).toBe("");
    await waitFor(() => expect((screen.getByLabelText("Artist, venue or city") as HTMLInputElement).value).toBe(""));
  });

  it("shows and asks for what a shared address says", async () => {
    front.api.on(listing, { status: 200, body: { events: [eventFor("Two", 5_000, "Wien")] } });
    front.open("/?q=two&city=Wien&from=2027-01-01&to=2027-02-01&max=75&sort=price");
    await screen.findByText("Two");
    const value = (label: string) => (screen.getByLabelText(label) as HTMLInputElement).value;
    expect([
      value("Artist, venue or city"),
      value("City"),
      value("From"),
      value("To"),
      value("Price up to"),
      value("Sort by"),
    ]).toEqual(["two", "Wien", "2027-01-01", "2027-02-01", "75", "price"]);
    expect(lastAsked()).toEqual({
      limit: "50",
      q: "two",
      city: "Wien",
      from: "2027-01-01",
      to: "2027-02-01",
      currency: "EUR",
      priceTo: "7500",
      sort: "price",
    });
    expect(front.api.askedFor(listing)).toHaveLength(1);
    // The other cities can still be chosen.
    await screen.findByRole("option", { name: "Bern" });
  });

  it("leaves sorting and prices to the shop, and shows its pages as they come when more is asked for", async () => {
    front.api.on(listing, ({ query }) => ({
      status: 200,
      body: query.get("cursor")
        ? { events: [eventFor("Dear", 4_900)] }
        : { events: [eventFor("Cheap", 1_900), eventFor("Middle", 2_900)], nextCursor: "more" },
    }));
    const user = front.open("/?sort=price");
    await screen.findByText("Cheap");
    expect(names()).toEqual(["Cheap", "Middle"]);
    screen.getByText("The first 2 concerts");
    expect(front.api.askedFor(listing)).toHaveLength(1);
    await user.click(screen.getByRole("button", { name: "Show more" }));
    await screen.findByText("Dear");
    expect(names()).toEqual(["Cheap", "Middle", "Dear"]);
    screen.getByText("3 concerts");
    expect(lastAsked()).toEqual({ limit: "50", from: today, sort: "price", cursor: "more" });
    await user.selectOptions(screen.getByLabelText("Price up to"), "€50");
    await waitFor(() =>
      expect(lastAsked()).toEqual({ limit: "50", from: today, sort: "price", currency: "EUR", priceTo: "5000" }),
    );
    expect(new URLSearchParams(location.search).get("max")).toBe("50");
    await user.selectOptions(screen.getByLabelText("Sort by"), "Name");
    await waitFor(() => expect(lastAsked()).toMatchObject({ sort: "name", priceTo: "5000" }));
  });

  it("takes a price in the currency that is chosen, and asks in its minor unit", async () => {
    const currencies = [
      { value: "EUR", events: 9 },
      { value: "JPY", events: 2 },
    ];
    front.api.on(choices, { status: 200, body: { cities: [], currencies } });
    front.api.on(listing, { status: 200, body: { events: [eventFor("One", 5_000)] } });
    const user = front.open("/?max=30&currency=JPY");
    await screen.findByText("One");
    expect(lastAsked()).toEqual({ limit: "50", from: today, currency: "JPY", priceTo: "30" });
    await user.selectOptions(screen.getByLabelText("Price up to"), "¥5,000");
    await waitFor(() => expect(lastAsked()).toMatchObject({ currency: "JPY", priceTo: "5000" }));
    // In another currency it is another price.
    await user.selectOptions(screen.getByLabelText("Currency"), "EUR");
    await waitFor(() => expect(lastAsked()).toEqual({ limit: "50", from: today, currency: "EUR" }));
    expect(location.search).toBe("?currency=EUR");
  });

  it.each([
    ["ISK", "ISK 5,000", "500000"],
    ["UGX", "UGX 500,000", "50000000"],
    ["KWD", "KWD 50", "50000"],
    ["HUF", "HUF 5,000", "500000"],
    ["IDR", "IDR 500,000", "50000000"],
  ])("filters in %s by %s, in Stripe's unit", async (currency, choice, priceTo) => {
    front.api.on(choices, { status: 200, body: { cities: [], currencies: [{ value: currency, events: 2 }] } });
    front.api.on(listing, { status: 200, body: { events: [eventFor("One", 5_000)] } });
    const user = front.open("/");
    await screen.findByText("One");
    await user.selectOptions(
      screen.getByLabelText("Price up to"),
      await screen.findByRole("option", { name: choice.replace(" ", "\u00a0") }),
    );
    await waitFor(() => expect(lastAsked()).toMatchObject({ currency, priceTo }));
  });

  it("opens addresses with values that it does not know", async () => {
    front.api.on(listing, { status: 200, body: { events: [eventFor("One", 5_000)] } });
    front.open("/?max=cheap&currency=GOLD&sort=taste");
    await screen.findByText("One");
    expect(lastAsked()).toEqual({ limit: "50", from: today });
    front.open("/?max=99999999999");
    await waitFor(() => expect(lastAsked()).toMatchObject({ priceTo: "99999999" }));
  });

  it("keeps what is there when the next page does not come", async () => {
    front.api.on(listing, ({ query }) =>
      query.get("cursor")
        ? refusal(400, "REQUEST_INVALID", { detail: "The cursor is not one of this search." })
        : { status: 200, body: { events: [eventFor("One", 5_000)], nextCursor: "more" } },
    );
    const user = front.open("/");
    await user.click(await screen.findByRole("button", { name: "Show more" }));
    expect((await screen.findByRole("alert")).textContent).toContain("The cursor is not one of this search.");
    expect(names()).toEqual(["One"]);
    front.api.on(listing, { status: 200, body: { events: [eventFor("Two", 5_000)] } });
    await user.click(screen.getByRole("button", { name: "Try again" }));
    await screen.findByText("Two");
    expect(names()).toEqual(["One", "Two"]);
  });

  it("says that nothing fits, and when the shop can't answer it says so and tries again when asked", async () => {
    front.api.on(listing, { status: 200, body: { events: [] } });
    front.open("/?q=nothing");
    await screen.findByText("No concert fits");
    front.api.on(listing, refusal(400, "REQUEST_INVALID", { detail: "The day does not exist." }));
    const user = front.open("/?from=2027-02-31");
    expect((await screen.findByRole("alert")).textContent).toContain("The day does not exist.");
    front.api.on(listing, { status: 200, body: { events: [eventFor("Back", 5_000)] } });
    await user.click(screen.getByRole("button", { name: "Try again" }));
    await screen.findByText("Back");
  });
});
