// The crowd of `npm run test:k8s`, in a pod outside of the shop's namespace: buys until its time is over, tries again what may be tried
// again, and prints what it has seen as one line of JSON: every request by its answer, every checkout by its end, every seat by its owner.
import { randomUUID } from "node:crypto";
import { request as httpRequest } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

const {
  SHOP_URL,
  SHOP_HOST,
  BUYERS = "4",
  SECONDS = "60",
  OPERATOR_EMAIL,
  OPERATOR_PASSWORD,
  SLOW_SECONDS = "0",
} = process.env;
const until = Date.now() + Number(SECONDS) * 1000;
const ends = ["completed", "cancelled", "expired", "refunded"];
const answers = {};
/** Answers that a client can't put right by trying again. */
const failures = [];
let retryable = 0;

function send(method, path, { body, token, key }) {
  const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  return new Promise((resolve) => {
    const sent = httpRequest(
      new URL(path, SHOP_URL),
      {
        method,
        agent: false,
        headers: {
          host: SHOP_HOST,
          ...(payload ? { "content-type": "application/json", "content-length": payload.length } : {}),
          ...(token ? { authorization: `Bearer ${token}` } : {}),
          ...(key ? { "idempotency-key": key } : {}),
        },
        timeout: 45_000,
      },
      (response) => {
        const chunks = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("error", (error) => resolve({ status: 0, body: { code: error.code ?? error.message } }));
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString();
          const isJson = /json/.test(response.headers["content-type"] ?? "");
          resolve({ status: response.statusCode, body: isJson ? JSON.parse(text) : { text } });
        });
      },
    );
    sent.on("timeout", () => sent.destroy(new Error("timeout")));
    sent.on("error", (error) => resolve({ status: 0, body: { code: error.code ?? error.message } }));
    sent.end(payload);
  });
}

/** Tries again with the same key, as the API tells its clients to, until something final is said. */
async function ask(method, path, options = {}) {
  const key = method === "POST" ? randomUUID() : undefined;
  for (let attempt = 1; ; attempt++) {
    const answer = await send(method, path, { key, ...options });
    const { status, body } = answer;
    const kind = `${status}${body?.code ? ` ${body.code}` : ""}`;
    answers[kind] = (answers[kind] ?? 0) + 1;
    if (status > 0 && status < 500 && body?.retryable !== true) return answer;
    if (body?.retryable === true) retryable += 1;
    else
      failures.push({
        at: new Date().toISOString(),
        request: `${method} ${path.replace(/(evt|chk)_\w+/, "$1")}`,
        kind,
        said: body?.text,
      });
    if (attempt >= 120) throw new Error(`${method} ${path}: ${kind} ${attempt} times`);
    await pause(500);
  }
}

async function must(method, path, options) {
  const { status, body } = await ask(method, path, options);
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(body)}`);
  return body;
}

const logIn = async (email, password) =>
  (await must("POST", "/v1/sessions", { body: { email, password } })).accessToken;
async function signUp() {
  const [email, password] = [`${randomUUID()}@example.test`, randomUUID()];
  const { accountId } = await must("POST", "/v1/accounts", { body: { email, password, name: "A person" } });
  return { email, password, accountId };
}

/** An access token is good for ten minutes. */
async function refresh(person) {
  if (Date.now() - person.since < 400_000) return;
  Object.assign(person, { token: await logIn(person.email, person.password), since: Date.now() });
}

async function publish() {
  const operator = await logIn(OPERATOR_EMAIL, OPERATOR_PASSWORD);
  const account = await signUp();
  await must("PUT", `/v1/accounts/${account.accountId}/roles`, {
    token: operator,
    body: { roles: ["buyer", "organiser"] },
  });
  const token = await logIn(account.email, account.password);
  const { eventId } = await must("POST", "/v1/organiser/events", {
    token,
    body: {
      name: "A sale while things break",
      description: "Many buyers, many kills.",
      venue: { name: "Test Hall", city: "Leipzig", country: "DE", timeZone: "Europe/Berlin" },
      startsAt: new Date(Date.now() + 30 * 86_400_000).toISOString(),
      onSaleAt: new Date(Date.now() - 60_000).toISOString(),
      currency: "EUR",
      seatsPerPerson: 50,
      tiers: [{ id: "T1", name: "Everywhere", amount: 4950 }],
      sections: [{ id: "A", name: "Stalls", tier: "T1", rows: { count: 20, seats: 50 } }],
    },
  });
  await must("POST", `/v1/organiser/events/${eventId}/publish`, { token });
  return eventId;
}

const checkouts = [];

async function buy(eventId, person, isSlow) {
  const started = Date.now();
  // All want the same few seats at the front: races, and losers.
  const wish =
    Math.random() < 0.3
      ? { seats: [`A-A-${1 + Math.floor(Math.random() * 50)}`] }
      : { section: "A", quantity: 1 + Math.floor(Math.random() * 2) };
  const hold = await ask("POST", "/v1/checkouts", { token: person.token, body: { eventId, ...wish } });
  if (hold.status !== 201) return void (await pause(200));
  const { checkoutId, seats } = hold.body;
  person.seats += seats.length;
  if (isSlow) await pause(Number(SLOW_SECONDS) * 1000);
  const paid = await ask("POST", `/v1/checkouts/${checkoutId}/payment`, {
    token: person.token,
    body: { paymentMethodId: "pm_card_visa" },
  });
  let { status } = paid.body;
  for (const giveUpAt = Date.now() + 480_000; !ends.includes(status) && Date.now() < giveUpAt; ) {
    await pause(500);
    status = (await ask("GET", `/v1/checkouts/${checkoutId}`, { token: person.token })).body.status;
  }
  checkouts.push({
    checkoutId,
    status,
    seats: seats.map(({ seatId }) => seatId),
    seconds: (Date.now() - started) / 1000,
    isSlow,
  });
}

const eventId = await publish();
/** Everybody who ever bought here. */
const people = [];
async function newcomer() {
  const account = await signUp();
  const person = { ...account, token: await logIn(account.email, account.password), since: Date.now(), seats: 0 };
  people.push(person);
  return person;
}

process.stdout.write(`${JSON.stringify({ began: eventId })}\n`);
await Promise.all(
  Array.from({ length: Number(BUYERS) }, async (_, index) => {
    let person = await newcomer();
    while (Date.now() < until) {
      if (person.seats >= 40) person = await newcomer(); // nobody may have more than 50
      await refresh(person);
      await buy(eventId, person, Number(SLOW_SECONDS) > 0 && index === 0);
      await pause(100);
    }
  }),
);
for (const person of people) await refresh(person);
const owned = [];
for (const { token } of people) {
  let path = "/v1/tickets?limit=100";
  while (path) {
    const page = await must("GET", path, { token });
    owned.push(...page.tickets.filter(({ event }) => event.eventId === eventId).map(({ seat }) => seat.seatId));
    path = page.nextCursor && `/v1/tickets?limit=100&cursor=${encodeURIComponent(page.nextCursor)}`;
  }
}
const { totals } = await must("GET", `/v1/events/${eventId}/availability`);
process.stdout.write(`${JSON.stringify({ eventId, answers, retryable, failures, checkouts, owned, totals })}\n`);
