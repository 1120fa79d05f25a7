// `helm test`: asks the shop what is on, and opens its pages; with BUY=true an operator makes an event and a new buyer buys a ticket for it.
import { randomBytes, randomUUID } from "node:crypto";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";

const { SHOP_URL = "", SHOP_HOST, PAGES_URL, BUY, OPERATOR_EMAIL, OPERATOR_PASSWORD } = process.env;
const say = (line) => process.stdout.write(`${line}\n`);

/** node:http rather than fetch: the Host header is ours to choose, where an ingress is reached by its own address. */
function send(method, path, { body, token, key, at = SHOP_URL } = {}) {
  const url = new URL(path, at);
  const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const request = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        method,
        headers: {
          ...(SHOP_HOST ? { host: SHOP_HOST } : {}),
          ...(payload ? { "content-type": "application/json", "content-length": payload.length } : {}),
          ...(token ? { authorization: `Bearer ${token}` } : {}),
          ...(key ? { "idempotency-key": key } : {}),
        },
        timeout: 40_000,
      },
      (response) => {
        const chunks = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString();
          const isJson = /json/.test(response.headers["content-type"] ?? "");
          resolve({ status: response.statusCode, body: isJson ? JSON.parse(text) : text });
        });
      },
    );
    sent.on("timeout", () => sent.destroy(new Error("no answer within 40 s")));
    sent.on("error", reject);
    sent.end(payload);
  });
}

/** A POST keeps its key over all tries, so that a try whose answer was lost is met by the next. */
async function ask(method, path, options = {}) {
  const key = method === "POST" ? randomUUID() : undefined;
  for (let attempt = 1; ; attempt++) {
    const answer = await send(method, path, { key, ...options }).catch((error) => ({ status: 0, body: error.message }));
    if (answer.status >= 200 && answer.status < 300) return answer.body;
    const mayPass = answer.status === 0 || answer.status >= 502 || answer.body?.retryable === true;
    if (!mayPass || attempt >= 30)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body).slice(0, 600)}`);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
}

const logIn = async (email, password) => (await ask("POST", "/v1/sessions", { body: { email, password } })).accessToken;
async function signUp(name) {
  const email = `${name}-${randomBytes(6).toString("hex")}@example.test`;
  const password = randomBytes(12).toString("base64url");
  const { accountId } = await ask("POST", "/v1/accounts", { body: { email, password, name: `Test ${name}` } });
  return { email, password, accountId };
}
const expect = (what, is, wanted) => {
  if (is !== wanted) throw new Error(`${what} should be ${wanted}, but is ${is}.`);
};

const { events } = await ask("GET", "/v1/events?limit=10");
say(
  `The shop answers at ${SHOP_URL}${SHOP_HOST ? ` for ${SHOP_HOST}` : ""}: ${events.length} event(s) on its first page.`,
);
if (PAGES_URL) {
  const first = await send("GET", "/", { at: PAGES_URL });
  const script = /<script[^>]+src="(\/assets\/[^"]+)"/.exec(first.body)?.[1];
  if (first.status !== 200 || !script) throw new Error(`GET ${PAGES_URL}/: ${first.status}, no page with a script.`);
  const code = await send("GET", script, { at: PAGES_URL });
  expect(`The status of ${script}`, code.status, 200);
  // An address of a page, as somebody may have been sent it.
  expect("The status of /events/anything", (await send("GET", "/events/anything", { at: PAGES_URL })).status, 200);
  const told = await send("GET", "/installation.json", { at: PAGES_URL });
  say(
    `The pages are at ${PAGES_URL}: ${first.body.length + code.body.length} bytes to begin with; ${JSON.stringify(told.body)}`,
  );
}
if (BUY !== "true") process.exit(0);

const operator = await logIn(OPERATOR_EMAIL, OPERATOR_PASSWORD);
const organiserAccount = await signUp("organiser");
const roles = { token: operator, body: { roles: ["buyer", "organiser"] } };
await ask("PUT", `/v1/accounts/${organiserAccount.accountId}/roles`, roles);
const organiser = await logIn(organiserAccount.email, organiserAccount.password);
const day = 24 * 60 * 60 * 1000;
const { eventId } = await ask("POST", "/v1/organiser/events", {
  token: organiser,
  body: {
    name: "A test of this installation",
    description: "Made by helm test.",
    venue: { name: "Test Hall", city: "Leipzig", country: "DE", timeZone: "Europe/Berlin" },
    startsAt: new Date(Date.now() + 30 * day).toISOString(),
    onSaleAt: new Date(Date.now() - 60_000).toISOString(),
    currency: "EUR",
    seatsPerPerson: 4,
    tiers: [{ id: "T1", name: "Everywhere", amount: 4950 }],
    sections: [{ id: "A", name: "Stalls", tier: "T1", rows: { count: 2, seats: 10 } }],
  },
});
await ask("POST", `/v1/organiser/events/${eventId}/publish`, { token: organiser });
say(`Event ${eventId} is on sale.`);

const buyerAccount = await signUp("buyer");
const buyer = await logIn(buyerAccount.email, buyerAccount.password);
const held = await ask("POST", "/v1/checkouts", { token: buyer, body: { eventId, section: "A", quantity: 2 } });
expect("The checkout", held.status, "held");
say(
  `Checkout ${held.checkoutId} holds ${held.seats.map(({ seatId }) => seatId).join(" and ")} until ${held.deadline}.`,
);
let checkout = await ask("POST", `/v1/checkouts/${held.checkoutId}/payment`, {
  token: buyer,
  body: { paymentMethodId: "pm_card_visa" },
});
for (let waited = 0; checkout.status === "paying" && waited < 60; waited++) {
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  checkout = await ask("GET", `/v1/checkouts/${held.checkoutId}`, { token: buyer });
}
expect("The checkout", checkout.status, "completed");
const { tickets } = await ask("GET", "/v1/tickets", { token: buyer });
expect("The number of tickets", tickets.length, 2);
say(`Paid, and here are the tickets: ${tickets.map(({ ticketId }) => ticketId).join(", ")}.`);
const { totals } = await ask("GET", `/v1/events/${eventId}/availability`);
expect("The number of sold seats", totals.sold, 2);
say("The seat map says that two seats are sold. Everything works.");
