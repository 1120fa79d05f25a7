// The list of concerts: what is chosen is in the address and back from it, and the shop is asked no more than needed.
// @vitest-environment happy-dom
import { screen, waitFor } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { anEvent, openFront } from "../../../test/front.js";
import { refusal } from "../../../test/scripted-api.js";

let front: Awaited<ReturnType<typeof openFront>>;
beforeAll(async () => {
  front = await openFront();
});
afterEach(() => expect(front.finish()).toEqual([]));
afterAll(() => front.api.stop());

const listing = "GET /v1/events";
const eventFor = (name: string, amount: number, city = "Leipzig") => {
  const { sections: _, ...event } = anEvent({
    eventId: `evt_${name}`,
    name,
    tiers: [{ id: "T1", name: "Gold", amount }],
    venue: { name: "Hall", city, country: "DE", timeZone: "Europe/Berlin" },
  });
  return event;
};
const names = () =>
  screen.getAllByRole("link", { name: /from €/ }).map((link) => link.querySelector("span.text-lg")?.textContent);

describe("the list of concerts", () => {
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
    front.api.on(listing, ({ query }) => ({
      status: 200,
      body: {
        events: query.has("city")
          ? [eventFor("Two", 5_000, "Wien")]
          : [eventFor("Two", 5_000, "Wien"), eventFor("Three", 1, "Bern")],
      },
    }));
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
    const asked = front.api.askedFor(listing).find(({ query }) => query.has("q"));
    expect(Object.fromEntries(asked?.query ?? [])).toMatchObject({
      q: "two",
      city: "Wien",
      from: "2027-01-01",
      to: "2027-02-01",
    });
    // The other cities can still be chosen.
    await screen.findByRole("option", { name: "Bern" });
  });

  it("sorts and narrows by price over all pages, not only the first one", async () => {
    front.api.on(listing, ({ query }) => ({
      status: 200,
      body: query.get("cursor")
        ? { events: [eventFor("Cheap", 1_900), eventFor("Dear", 19_900)] }
        : { events: [eventFor("Middle", 4_900)], nextCursor: "more" },
    }));
    const user = front.open("/?sort=price");
    await screen.findByText("Cheap");
    expect(names()).toEqual(["Cheap", "Middle", "Dear"]);
    await user.selectOptions(screen.getByLabelText("Price up to"), "€50");
    await waitFor(() => expect(names()).toEqual(["Cheap", "Middle"]));
    expect(new URLSearchParams(location.search).get("max")).toBe("50");
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
