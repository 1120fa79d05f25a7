// The card page, as a browser without scripts uses it.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Sim, startSim } from "./a-sim.js";

let sim: Sim;
beforeAll(async () => {
  sim = await startSim({ SIM_CONTROL: "false" });
});
afterAll(() => sim.stop());

const back = "https://shop.example/pay?checkout=c1";
const card = { number: "4242 4242 4242 4242", expiry: "12 / 40", cvc: "123" };
const submit = (fields: Record<string, string>) =>
  fetch(`${sim.url}/card`, { method: "POST", body: new URLSearchParams(fields), redirect: "manual" });

describe("the card page", () => {
  it("makes a payment method of a typed card and hands it to the shop", async () => {
    const page = await fetch(`${sim.url}/card?return_url=${encodeURIComponent(back)}`);
    expect(page.status).toBe(200);
    expect(page.headers.get("cache-control")).toBe("no-store");
    expect(await page.text()).toContain('autocomplete="cc-number"');
    const answer = await submit({ ...card, return_url: back });
    expect(answer.status).toBe(303);
    const location = new URL(answer.headers.get("location")!);
    expect(location.searchParams.get("checkout")).toBe("c1");
    const id = location.searchParams.get("payment_method")!;
    expect(await sim.stripe.paymentMethods.retrieve(id)).toMatchObject({ card: { last4: "4242", exp_year: 2040 } });
    const paid = await sim.stripe.paymentIntents.create({
      amount: 1000,
      currency: "eur",
      confirm: true,
      payment_method: id,
      return_url: back,
    });
    expect(paid.status).toBe("succeeded");
  });

  it.each([
    ["a wrong number", { number: "4242 4242 4242 4241" }, "card number is incorrect"],
    ["a past year", { expiry: "12/20" }, "expiration year is invalid"],
    ["no expiry", { expiry: "soon" }, "month / year"],
    ["a short code", { cvc: "1" }, "security code is invalid"],
    ["no code", { cvc: "" }, "security code is invalid"],
    ["a real card", { number: "4539578763621486" }, "non test card"],
  ])("explains %s, and shows nothing that was typed", async (_, wrong, message) => {
    const answer = await submit({ ...card, return_url: back, ...wrong });
    expect(answer.status).toBe(422);
    const text = await answer.text();
    expect(text).toContain(message);
    expect(text).not.toContain("4242 4242 4242 4241");
    expect(text).not.toContain("4539578763621486");
  });

  it.each([
    "",
    "javascript:alert(1)",
    "data:text/html,hi",
    "//shop.example",
    "/relative",
    "http://user:password@shop.example/",
    `https://shop.example/${"x".repeat(3000)}`,
  ])("leads nowhere but to a web address: %s", async (url) => {
    expect((await fetch(`${sim.url}/card?return_url=${encodeURIComponent(url)}`)).status).toBe(400);
    expect((await submit({ ...card, return_url: url })).status).toBe(400);
  });

  it("runs no script that a link brings along", async () => {
    const evil = `https://shop.example/"><script>alert(1)</script>`;
    const page = await fetch(`${sim.url}/card?return_url=${encodeURIComponent(evil)}`);
    expect(await page.text()).not.toContain("<script");
    expect(page.headers.get("content-security-policy")).toMatch(/default-src 'none'; style-src 'sha256-/);
  });
});
