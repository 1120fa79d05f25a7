// What must be in no log line, no span and no workflow's history, looked for after people have done everything with it.
import { randomUUID } from "node:crypto";
import { type Payload, payloadEncryption } from "@onsale/kit/payload-encryption";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { chromiumPath, launch, needsChromium } from "../browser/chromium.js";
import { type OtlpReceiver, sendsTo, startOtlpReceiver } from "./otlp-receiver.js";
import { type CheckoutBody, logIn, publishEvent, request, signUp, untilStatus } from "./rest.js";
import { answerBank, openShop, type Shop } from "./shop.js";

let collector: OtlpReceiver;
let shop: Shop;
const lines: string[] = [];
/** By what they are, so that a leak is named without being repeated. */
const secrets = new Map<string, string>();
const keep = (what: string, value: string | undefined): string => {
  if (!value) throw new Error(`there is no ${what}`);
  secrets.set(`${what} ${secrets.size}`, value);
  return value;
};
let completed: string;

beforeAll(async () => {
  collector = await startOtlpReceiver();
  shop = await openShop({
    ownServers: true,
    encrypted: true,
    settings: { all: { ...sendsTo(collector), LOG_LEVEL: "trace" } },
    onLine: (name, line) => lines.push(`${name} ${line}`),
  });
  for (const [name, value] of Object.entries(shop.secrets)) keep(name, value.replace(/^[a-z]+:/, ""));
  const unique = randomUUID().slice(0, 8);

  // ---- accounts
  const email = keep("e-mail", `Somebody.${unique}@example.test`);
  keep("e-mail in lower case", email.toLowerCase());
  keep("name", "A person"); // as everybody is called here
  const buyer = await signUp(shop.url, email);
  keep("password", buyer.password);
  const wrong = keep("wrong password", `not-this-${unique}`);
  const denied = await request(shop.url, "POST", "/v1/sessions", { body: { email, password: wrong } });
  expect(denied.status).toBe(401);
  await request(shop.url, "POST", "/v1/accounts", {
    body: { email, password: "short", name: "A person" },
    key: randomUUID(),
  });
  const again = await logIn(shop.url, email, buyer.password);
  const refreshed = await request<{ accessToken: string; refreshToken: string }>(
    shop.url,
    "POST",
    "/v1/sessions/refresh",
    {
      body: { refreshToken: again.refreshToken },
    },
  );
  for (const person of [buyer, again, shop.organiser, shop.operator]) {
    keep("access token", person.token);
    keep("signature of an access token", person.token.split(".")[2]);
    keep("refresh token", person.refreshToken);
    keep("e-mail", person.email);
  }
  keep("access token", refreshed.body.accessToken);
  keep("refresh token", refreshed.body.refreshToken);
  await request(shop.url, "GET", "/v1/tickets", {
    token: keep("forged token", `${buyer.token.slice(0, -8)}forged${unique}`),
  });

  // ---- a presale
  const presale = await publishEvent(shop.organiser, { seatsPerRow: 20, onSaleInMs: 3_600_000 });
  const code = keep("access code", `ANCHOR-${unique.toUpperCase()}`);
  const channel = await shop.organiser.ask("PUT", `/v1/organiser/events/${presale}/channels/fans`, {
    body: {
      name: "Fan club",
      codes: [code],
      opensAt: new Date(Date.now() - 60_000).toISOString(),
      closesAt: new Date(Date.now() + 3_600_000).toISOString(),
      seats: ["A-A-1", "A-A-2"],
    },
  });
  expect(channel.status, JSON.stringify(channel.body)).toBe(200);
  const withCode = (accessCode: string) =>
    buyer.ask<CheckoutBody>("POST", "/v1/checkouts", {
      key: randomUUID(),
      body: { eventId: presale, seats: ["A-A-1"], accessCode },
    });
  expect((await withCode(keep("wrong access code", `WRONG-${unique.toUpperCase()}`))).status).toBe(403);
  const early = await withCode(code);
  expect(early.status, JSON.stringify(early.body)).toBe(201);
  expect((await buyer.pay(early.body.checkoutId)).body.status).toBe("completed");

  // ---- checkouts
  const eventId = await publishEvent(shop.organiser, { seatsPerRow: 20, seatsPerPerson: 20 });
  const hold = async (seat: string) => (await buyer.hold(eventId, [seat])).body.checkoutId;
  completed = await hold("A-A-1");
  expect((await buyer.pay(completed, "pm_card_visa")).body.status).toBe("completed");
  const declined = await hold("A-A-2");
  expect((await buyer.pay(declined, "pm_card_chargeDeclinedInsufficientFunds")).body.status).toBe("declined");
  expect((await buyer.pay(declined, keep("unknown card", `pm_unknown${unique}`))).status).toBe(422);
  await buyer.cancel(declined);
  const approved = await hold("A-A-3");
  const asked = await buyer.pay(approved, "pm_card_threeDSecure2Required");
  const bank = keep("address of the bank's page", asked.body.actionUrl);
  keep("secret in that address", new URL(bank).search.slice(1) || new URL(bank).pathname.split("/").at(-1));
  await answerBank(shop, approved, "approve");
  await untilStatus(buyer, approved, ["completed"]);
  const refund = await shop.organiser.ask("POST", `/v1/orders/${approved}/refund`, { key: randomUUID(), body: {} });
  expect([200, 202]).toContain(refund.status);
  await untilStatus(buyer, approved, ["refunded"]);
  const { body } = await buyer.ask<{ tickets: { ticketId: string; status: string }[] }>("GET", "/v1/tickets");
  const valid = body.tickets.find(({ status }) => status === "valid"); // a void one carries no token
  const ticket = await buyer.ask<{ token: string }>("GET", `/v1/tickets/${valid?.ticketId}`);
  keep("token of a ticket", ticket.body.token);
  await request(shop.url, "POST", "/v1/webhooks/stripe", {
    body: { type: "payment_intent.succeeded" },
    headers: { "stripe-signature": keep("signature of a webhook", `t=1,v1=${unique}${unique}`) },
  });
  for (const card of ["pm_card_visa", "pm_card_chargeDeclinedInsufficientFunds", "pm_card_threeDSecure2Required"])
    keep("card", card);
  // What is still on its way to logs and spans.
  await vi.waitFor(
    () => {
      const ended = collector.spans.filter(({ name }) => name === "workflow checkout");
      if (ended.length < 4) throw new Error(`only ${ended.length} checkouts have told of their end`);
    },
    { timeout: 30_000, interval: 200 },
  );
});
afterAll(async () => {
  await shop?.stop();
  await collector?.stop();
});

/** The names of the secrets that are in it, in one way of writing or another. */
function found(text: string, except: (name: string) => boolean = () => false): string[] {
  const ways = (secret: string) => [
    secret,
    encodeURIComponent(secret),
    Buffer.from(secret).toString("base64").slice(0, -4),
  ];
  const named = [...secrets]
    .filter(([name, secret]) => !except(name) && ways(secret).some((way) => way.length >= 8 && text.includes(way)))
    .map(([name]) => name);
  const shapes = {
    "client secret": /pi_\w+_secret_\w+/,
    "Stripe's key": /\b[sr]k_(?:test|live)_\w+/,
    "a token": /eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+/,
  };
  return [
    ...named,
    ...Object.entries(shapes)
      .filter(([, shape]) => shape.test(text))
      .map(([name]) => name),
  ];
}

interface Stored {
  readonly raw: string[];
  readonly decrypted: string[];
}

/** All that Temporal keeps of all workflows, as it is, and as it is for those who have the key. */
async function stored(): Promise<Stored> {
  const codec = payloadEncryption(shop.secrets.payloadKeys);
  const raw: string[] = [];
  const decrypted: string[] = [];
  const bytesOf = (value: unknown) => Buffer.from(typeof value === "string" ? value : "", "base64");
  async function visit(value: unknown): Promise<void> {
    if (typeof value === "string") raw.push(value, Buffer.from(value, "base64").toString());
    if (typeof value !== "object" || value === null) return;
    const { metadata, data } = value as { metadata?: Record<string, unknown>; data?: unknown };
    if (metadata && data !== undefined) {
      const payload: Payload = {
        metadata: Object.fromEntries(Object.entries(metadata).map(([name, label]) => [name, bytesOf(label)])),
        data: bytesOf(data),
      };
      const [plain = payload] = (await codec?.decode([payload])) ?? [];
      decrypted.push(Buffer.from(plain.data ?? []).toString());
    }
    for (const part of Object.values(value)) await visit(part);
  }
  // The executions that tell Temporal's time are given nothing, and are gone at once.
  for await (const { workflowId } of shop.temporal.workflow.list({ query: 'WorkflowType != "clock"' })) {
    const handle = shop.temporal.workflow.getHandle(workflowId);
    await visit(JSON.parse(JSON.stringify(await handle.fetchHistory())));
    await visit(JSON.parse(JSON.stringify((await handle.describe()).raw)));
  }
  return { raw, decrypted };
}

it("finds what it looks for: this test can fail", () => {
  expect(secrets.size).toBeGreaterThan(30);
  const [name, secret] = [...secrets][0] as [string, string];
  expect(found(`... ${secret} ...`)).toEqual([name]);
  expect(found(`... ${Buffer.from(secret).toString("base64")} ...`)).toEqual([name]);
  expect(found('{"client_secret":"pi_1_secret_2"}')).toEqual(["client secret"]);
});

describe("no secret and nothing personal", () => {
  it("is in a line of any log, at the level of most detail", () => {
    // The stand-in for Stripe is not ours to log for, and is not installed where money is real.
    const ours = lines.filter((line) => !line.startsWith("stripe-sim "));
    expect(ours.length).toBeGreaterThan(50);
    expect(new Set(ours.map((line) => line.split(" ")[0])).size).toBeGreaterThanOrEqual(7);
    const leaks = ours.flatMap((line) => found(line).map((name) => `${name}: ${line.slice(0, 60)}`));
    expect(leaks).toEqual([]);
  });

  it("is in a span", () => {
    expect(collector.spans.length).toBeGreaterThan(200);
    expect(found(collector.text())).toEqual([]);
  });

  it("is in what Temporal keeps of a workflow; for who has the key, only which card was used", async () => {
    const { raw, decrypted } = await stored();
    expect(raw.length).toBeGreaterThan(500);
    expect(found(raw.join("\n"))).toEqual([]);
    const text = decrypted.join("\n");
    expect(text).toContain("pm_card_visa"); // it was decrypted indeed
    expect(found(text, (name) => /^(unknown )?card /.test(name))).toEqual([]);
  });
});

describe("Temporal's Web UI", () => {
  it.skipIf(chromiumPath === undefined)(
    `shows an operator what a checkout was given, decrypted${needsChromium}`,
    async () => {
      const browser = await launch();
      try {
        const page = await browser.newPage({ viewport: { width: 1500, height: 1300 } });
        const url = `${shop.backing?.temporalUiUrl}/namespaces/default/workflows`;
        await page.goto(`${url}/checkout-${completed}`);
        await page.getByText("Test Hall").first().waitFor({ timeout: 150_000 });
        expect(await page.textContent("body")).not.toContain("binary/encrypted");
        if (process.env["SCREENSHOTS"])
          await page.screenshot({ path: `${process.env["SCREENSHOTS"]}/temporal-decrypted.png` });
      } finally {
        await browser.close();
      }
      const audit = lines.filter((line) => line.startsWith("codec ") && line.includes('"audit":"payloads decoded"'));
      expect(audit.join("\n")).toContain(`checkout-${completed}`);
    },
  );
});
