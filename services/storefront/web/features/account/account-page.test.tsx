// Signing up, logging in, and the account's settings: what each refusal says, and where.
// @vitest-environment happy-dom
import { screen, waitFor } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { account, openFront, session } from "../../../test/front.js";
import { refusal } from "../../../test/scripted-api.js";

let front: Awaited<ReturnType<typeof openFront>>;
beforeAll(async () => {
  front = await openFront();
});
afterEach(async () => expect(await front.finish()).toEqual([]));
afterAll(() => front.api.stop());

const entering = "POST /v1/sessions";
const signing = "POST /v1/accounts";
const changing = "PUT /v1/accounts/me/password";

describe("signing up and logging in", () => {
  it("says beside the field what is wrong with it, and leads there", async () => {
    front.api.on(signing, refusal(409, "EMAIL_TAKEN"));
    const user = front.open("/signup");
    await user.type(await screen.findByLabelText("Name"), "Ada");
    await user.type(screen.getByLabelText("E-mail"), "ada@example.test");
    await user.type(screen.getByLabelText("Password"), "short");
    await user.click(screen.getByRole("button", { name: "Sign up" }));
    await screen.findByText(/There is an account with this e-mail already/);
    await waitFor(() => expect(document.activeElement).toBe(screen.getByLabelText("E-mail")));
    front.api.on(
      signing,
      refusal(422, "PASSWORD_WEAK", { detail: "The password has 5 characters; it needs at least 10." }),
    );
    await user.click(screen.getByRole("button", { name: "Sign up" }));
    await screen.findByText("The password has 5 characters; it needs at least 10.");
    expect(screen.getByLabelText("Password").getAttribute("aria-invalid")).toBe("true");
  });

  it("asks once for a wrong password, says so, and goes where one wanted to go when it is right", async () => {
    front.api.on(entering, refusal(401, "CREDENTIALS_INVALID"));
    const user = front.open("/login?next=/account");
    await user.type(await screen.findByLabelText("E-mail"), account.email);
    await user.type(screen.getByLabelText("Password"), "a long and quiet river");
    await user.click(screen.getByRole("button", { name: "Log in" }));
    expect((await screen.findByRole("alert")).textContent).toContain("The e-mail or the password is wrong.");
    expect(front.api.askedFor(entering)).toHaveLength(1);
    front.api.on(entering, refusal(429, "TOO_MANY_ATTEMPTS", { retryable: true }));
    await user.click(screen.getByRole("button", { name: "Log in" }));
    await screen.findByText(/Too many wrong tries/);
    front.api.on(entering, { status: 201, body: session() });
    await user.click(screen.getByRole("button", { name: "Log in" }));
    await screen.findByText(/Member since/);
    expect(location.pathname).toBe("/account");
  });

  it("follows no address that leads elsewhere", async () => {
    const { safeNext } = await import("./log-in-page.js");
    expect(["//evil.test", "/\\evil.test", "https://evil.test", "javascript:alert(1)", "", null].map(safeNext)).toEqual(
      Array.from({ length: 6 }, () => "/"),
    );
    expect(safeNext("/events/evt_1/seats")).toBe("/events/evt_1/seats");
  });
});

describe("the account", () => {
  it("changes the password: wrong, weak, then done; what was typed does not stay", async () => {
    await front.logIn();
    front.api.on(changing, refusal(403, "PASSWORD_WRONG"));
    const user = front.open("/account");
    const before = await screen.findByLabelText("Password until now");
    const after = screen.getByLabelText("New password");
    const change = screen.getByRole("button", { name: "Change the password" });
    await user.type(before, "not my password");
    await user.type(after, "four lanterns at dawn");
    await user.click(change);
    await screen.findByText("This is not your password until now.");
    // A wrong password is no reason to ask a second time with a fresh token: each guess counts.
    expect(front.api.askedFor(changing)).toHaveLength(1);
    await waitFor(() => expect(document.activeElement).toBe(before));
    front.api.on(
      changing,
      refusal(422, "PASSWORD_WEAK", { detail: "The password is one of those that everybody tries first." }),
    );
    await user.click(change);
    await screen.findByText(/everybody tries first/);
    front.api.on(changing, { status: 204 });
    await user.click(change);
    await screen.findByText(/Every other device was logged out/);
    expect([(before as HTMLInputElement).value, (after as HTMLInputElement).value]).toEqual(["", ""]);
    expect(front.api.askedFor(changing).at(-1)?.body).toEqual({
      currentPassword: "not my password",
      newPassword: "four lanterns at dawn",
    });
  });

  it("keeps language and theme, in step with the choice at the foot of the page", async () => {
    const user = front.open("/account");
    const themes = await screen.findAllByLabelText("Appearance");
    expect(themes).toHaveLength(2);
    await user.selectOptions(themes[0] as HTMLElement, "dark");
    expect(document.documentElement.dataset["theme"]).toBe("dark");
    expect(themes.map((theme) => (theme as HTMLSelectElement).value)).toEqual(["dark", "dark"]);
    await user.selectOptions(themes[1] as HTMLElement, "system");
    expect(document.documentElement.dataset["theme"]).toBeUndefined();
    await user.selectOptions(screen.getAllByLabelText("Language")[0] as HTMLElement, "fr");
    await screen.findByText("Votre compte");
    expect(document.documentElement.lang).toBe("fr");
    await user.selectOptions(screen.getAllByLabelText("Langue")[0] as HTMLElement, "en");
    await screen.findByText("Your account");
  });

  it("logs out everywhere, and takes along what was kept of this person", async () => {
    localStorage.setItem("onsale.checkouts", '[{"checkoutId":"chk_9","eventId":"evt_9"}]');
    front.api.on("GET /v1/checkouts/{checkoutId}", refusal(404, "CHECKOUT_NOT_FOUND"));
    front.api.on("DELETE /v1/sessions", { status: 204 });
    const user = front.open("/account");
    await user.click(await screen.findByRole("button", { name: "Log out on all devices" }));
    await waitFor(() => expect(location.pathname).toBe("/login"));
    expect(front.api.askedFor("DELETE /v1/sessions")).toHaveLength(1);
    expect(Object.keys(localStorage).filter((name) => !/language|theme/.test(name))).toEqual([]);
  });

  it("trades a token that has ended for a new one, unseen, and asks again", async () => {
    await front.logIn();
    let refreshed = 0;
    front.api.on("POST /v1/sessions/refresh", () => {
      refreshed += 1;
      return { status: 200, body: { ...session(), accessToken: "token-2" } };
    });
    front.api.on("GET /v1/orders", ({ headers }) =>
      headers.authorization === "Bearer token-2"
        ? { status: 200, body: { orders: [] } }
        : refusal(401, "TOKEN_EXPIRED"),
    );
    front.open("/orders");
    await screen.findByText("No orders yet");
    expect(refreshed).toBe(1);
  });
});
