// npm run demo: buys tickets through the REST API as people would, and shows what becomes of each checkout.
import { randomBytes, randomUUID } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { messageOf } from "@onsale/backing/child-process";
import { formatMoney } from "@onsale/kit/money";
import { checkoutWorkflowId } from "@onsale/workflows/contract";
import { paints } from "./log-line.js";
import { createRest, type Rest } from "./rest.js";
import { readRunning } from "./running.js";
import { freeNeighbours, type Layout } from "./seat-map.js";
import { demoPassword, logIn } from "./seed.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const usage = `npm run demo -- [options] [URL]

  URL              of the REST API; without it, that of the npm start of this folder
  --ui URL         of the Temporal Web UI, for the links
  --namespace NAME of the checkouts in Temporal
  --quick          does not wait for the abandoned checkout to expire
`;

interface Checkout {
  readonly checkoutId: string;
  readonly status: string;
  readonly deadline?: string;
  readonly seats: readonly { readonly seatId: string }[];
  readonly amount: number;
  readonly currency: string;
  readonly decline?: { readonly code: string; readonly message: string };
  readonly actionUrl?: string;
  readonly reason?: string;
  readonly tickets: readonly string[];
}

interface EventSummary {
  readonly eventId: string;
  readonly name: string;
  readonly venue: { readonly name: string; readonly city: string };
  readonly startsAt: string;
  readonly onSaleAt: string;
  readonly capacity: number;
  readonly currency: string;
}

interface Ticket {
  readonly ticketId: string;
  readonly status: string;
  readonly token?: string;
  readonly qrSvg?: string;
  readonly seat: { readonly section: string; readonly row: string; readonly number: string };
}

export async function run(args: readonly string[]): Promise<void> {
  try {
    const { values, positionals } = parseArgs({
      args: args.filter((arg) => arg !== "--"),
      allowPositionals: true,
      options: {
        ui: { type: "string" },
        namespace: { type: "string" },
        quick: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return void process.stdout.write(usage);
    const running = readRunning(process.env["ONSALE_DATA_DIR"] ?? join(root, ".data"));
    const url = positionals[0] ?? running?.gatewayUrl;
    if (url === undefined)
      throw new Error(
        running === undefined
          ? "There is nothing to show it on: run `npm start` in another terminal first, or give the URL of a running gateway."
          : "npm start is not ready yet. Try again in a moment.",
      );
    await demo({
      url: url.replace(/\/+$/, ""),
      ui: values.ui ?? (positionals[0] ? undefined : running?.temporalUiUrl),
      namespace: values.namespace ?? running?.temporalNamespace ?? "default",
      quick: values.quick,
    });
  } catch (error) {
    process.stderr.write(`\n${messageOf(error)}\n`);
    process.exitCode = 1;
  }
}

export interface DemoOptions {
  readonly url: string;
  /** Of the Temporal Web UI, without a slash at the end; undefined: no links. */
  readonly ui: string | undefined;
  readonly namespace: string;
  readonly quick: boolean;
}

/** Throws when anything comes out otherwise than a buyer may expect. */
export async function demo({ url, ui, namespace, quick }: DemoOptions): Promise<void> {
  const paint = paints(process.stdout.isTTY === true && !process.env["NO_COLOR"]);
  const rest = createRest(url);
  const say = (text: string) => process.stdout.write(`  ${text}\n`);
  let steps = 0;
  const step = (title: string) => process.stdout.write(`\n${paint.bold(`${++steps}. ${title}`)}\n`);
  const link = ({ checkoutId }: Pick<Checkout, "checkoutId">) => {
    const id = checkoutWorkflowId(checkoutId);
    say(paint.dim(`workflow ${ui ? `${ui}/namespaces/${namespace}/workflows/${id}` : id}`));
  };
  const show = (checkout: Checkout) => {
    const seats = checkout.seats.map(({ seatId }) => seatId).join(", ");
    const extra = checkout.decline
      ? ` (${checkout.decline.code}: ${checkout.decline.message})`
      : checkout.reason
        ? ` (${checkout.reason})`
        : "";
    say(`checkout ${checkout.checkoutId}: ${paint.bold(checkout.status)}${extra}, ${seats}, ${formatMoney(checkout)}`);
  };
  const expectStatus = (checkout: Checkout, status: string) => {
    if (checkout.status !== status)
      throw new Error(`Checkout ${checkout.checkoutId} should be ${status}, but it is ${checkout.status}.`);
    return checkout;
  };

  async function signUp(name: string): Promise<string> {
    const email = `${name.toLowerCase()}-${randomBytes(4).toString("hex")}@example.test`;
    await rest.post("/v1/accounts", { body: { email, password: demoPassword, name } });
    say(`${name} signs up as ${email}`);
    return (await logIn(rest, { email, password: demoPassword })).accessToken;
  }
  async function hold(token: string, eventId: string, count: number): Promise<Checkout> {
    // Between the look at the map and the click, others may be faster, and a map may be a second old: look again then.
    for (let attempt = 0; attempt < 10; attempt++) {
      const seats = await pick(rest, eventId, count);
      const body = { eventId, seats };
      try {
        return await rest.post<Checkout>("/v1/checkouts", { token, body });
      } catch (error) {
        if ((error as { code?: string }).code !== "SEAT_TAKEN") throw error;
        await sleep(300);
      }
    }
    throw new Error("Others were faster ten times in a row.");
  }
  const pay = (token: string, { checkoutId }: Checkout, paymentMethodId: string) =>
    rest.post<Checkout>(`/v1/checkouts/${checkoutId}/payment`, { token, body: { paymentMethodId } });
  const look = (token: string, { checkoutId }: Checkout) =>
    rest.get<Checkout>(`/v1/checkouts/${checkoutId}`, { token });
  async function settled(
    token: string,
    checkout: Checkout,
    waitFor: readonly string[],
    seconds = 60,
  ): Promise<Checkout> {
    for (const giveUpAt = Date.now() + seconds * 1000; Date.now() < giveUpAt; ) {
      const now = await look(token, checkout);
      if (waitFor.includes(now.status)) return now;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    throw new Error(`Checkout ${checkout.checkoutId} is ${(await look(token, checkout)).status} after ${seconds} s.`);
  }

  step("Two people sign up, and look what is on");
  const ada = await signUp("Ada");
  const ben = await signUp("Ben");
  const today = new Date().toISOString().slice(0, 10);
  const { events } = await rest.get<{ events: EventSummary[] }>(`/v1/events?limit=100&from=${today}`);
  const onSale = events.filter((event) => Date.parse(event.onSaleAt) <= Date.now());
  for (const event of events) {
    const when = new Date(event.startsAt).toISOString().slice(0, 10);
    const sale = onSale.includes(event) ? "on sale" : `on sale from ${event.onSaleAt.slice(0, 10)}`;
    say(
      `${event.eventId}  ${when}  ${event.name}, ${event.venue.name}, ${event.venue.city} (${event.capacity.toLocaleString("en")} places, ${sale})`,
    );
  }
  const event = await eventWithSeats(rest, onSale);
  say(`They choose ${event.name}.`);

  step("Ada holds two seats, and leaves: an abandoned checkout");
  const abandoned = await hold(ada, event.eventId, 2);
  show(abandoned);
  say(`to be paid until ${abandoned.deadline}; nobody will`);
  link(abandoned);

  step("Ada holds two other seats, pays, and has her tickets");
  const bought = await hold(ada, event.eventId, 2);
  show(bought);
  const paid = await settledAfter(await pay(ada, bought, "pm_card_visa"), ada);
  show(expectStatus(paid, "completed"));
  link(paid);
  for (const ticketId of paid.tickets) {
    const ticket = await rest.get<Ticket>(`/v1/tickets/${ticketId}`, { token: ada });
    const { section, row, number } = ticket.seat;
    say(`ticket ${ticket.ticketId}: section ${section}, row ${row}, seat ${number}, ${ticket.status}`);
    say(paint.dim(`its QR code carries ${claimsOf(ticket.token)}`));
  }

  step("Ben wants the seats that Ada has bought: a contended seat");
  const seats = bought.seats.map(({ seatId }) => seatId);
  const refusal = await rest.refused(
    rest.post("/v1/checkouts", { token: ben, body: { eventId: event.eventId, seats } }),
  );
  say(`${refusal.status} ${paint.bold(refusal.code)}: ${String(refusal.document["detail"])}`);
  if (refusal.code !== "SEAT_TAKEN") throw new Error(`SEAT_TAKEN was to be expected, not ${refusal.code}.`);

  step("Ten people click on the same seat at the same moment");
  const [contended] = await pick(rest, event.eventId, 1);
  const crowd = await Promise.all(
    Array.from({ length: 10 }, async (_, index) => {
      const token = index % 2 === 0 ? ada : ben;
      const body = { eventId: event.eventId, seats: [contended] };
      return await rest.post<Checkout>("/v1/checkouts", { token, body, key: randomUUID() }).then(
        (checkout) => ({ checkout, token, code: "held" }),
        (error: { code?: string }) => ({ checkout: undefined, token, code: error.code ?? String(error) }),
      );
    }),
  );
  const winners = crowd.flatMap(({ checkout, token }) => (checkout ? [{ checkout, token }] : []));
  say(
    `${winners.length} held it; the others got ${[...new Set(crowd.map(({ code }) => code))].filter((code) => code !== "held").join(", ")}`,
  );
  const [winner] = winners;
  if (winners.length !== 1 || winner === undefined) throw new Error("Exactly one was to hold the seat.");

  step("The one who got it thinks again: a cancelled checkout");
  const cancelled = await rest.delete<Checkout>(`/v1/checkouts/${winner.checkout.checkoutId}`, { token: winner.token });
  show(expectStatus(cancelled, "cancelled"));
  link(winner.checkout);

  step("Ben's first card is declined, his second is not");
  const twice = await hold(ben, event.eventId, 1);
  const declined = await pay(ben, twice, "pm_card_visa_chargeDeclined");
  show(expectStatus(declined, "declined"));
  const second = await settledAfter(await pay(ben, twice, "pm_card_mastercard"), ben);
  show(expectStatus(second, "completed"));
  link(twice);

  step("Ben's bank wants to hear from him: 3-D Secure");
  const secured = await hold(ben, event.eventId, 1);
  const asked = await pay(ben, secured, "pm_card_threeDSecure2Required");
  show(expectStatus(asked, "requires_action"));
  say(`his bank's page: ${asked.actionUrl}`);
  const approved = await approve(String(asked.actionUrl));
  if (approved) {
    say("he approves there");
    show(expectStatus(await settled(ben, secured, ["completed", "held", "expired"]), "completed"));
  } else say("that page is for a person; open it and approve, or leave it: the checkout will expire");
  link(secured);

  step("The abandoned checkout ends by itself");
  const deadline = Date.parse(String(abandoned.deadline));
  if (quick && deadline - Date.now() > 5_000)
    say(`left to itself (--quick); see the workflow after ${abandoned.deadline}`);
  else {
    while (Date.now() < deadline) {
      progress(`waiting for ${abandoned.deadline}: ${Math.ceil((deadline - Date.now()) / 1000)} s`);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    progress("");
    show(expectStatus(await settled(ada, abandoned, ["expired"], 90), "expired"));
    const late = await rest.refused(pay(ada, abandoned, "pm_card_visa"));
    say(`paying now: ${late.status} ${paint.bold(late.code)}`);
    const freed = abandoned.seats.map(({ seatId }) => seatId);
    const next = await rest.post<Checkout>("/v1/checkouts", {
      token: ben,
      body: { eventId: event.eventId, seats: freed },
    });
    say("Ben gets the seats that Ada left:");
    show(next);
    await rest.delete(`/v1/checkouts/${next.checkoutId}`, { token: ben });
  }
  link(abandoned);
  process.stdout.write("\nDone: each checkout ended as it should.\n");

  async function settledAfter(answer: Checkout, token: string): Promise<Checkout> {
    return answer.status === "paying"
      ? await settled(token, answer, ["completed", "held", "expired", "cancelled"])
      : answer;
  }
}

/** On a terminal the line is written over; elsewhere once in half a minute is enough. */
let lastProgress = 0;
function progress(text: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\u001b[2K${text === "" ? "" : `  ${text}`}`);
  else if (text !== "" && Date.now() - lastProgress > 30_000) {
    lastProgress = Date.now();
    process.stdout.write(`  ${text}\n`);
  }
}

/** The smallest event that has numbered seats to choose from. */
async function eventWithSeats(rest: Rest, events: readonly EventSummary[]): Promise<EventSummary> {
  for (const event of [...events].sort((one, other) => one.capacity - other.capacity)) {
    const layout = await rest.get<Layout>(`/v1/events/${event.eventId}/seats`);
    if (layout.seatCount > 0 && freeNeighbours(layout, await statesOf(rest, event.eventId), 2)) return event;
  }
  throw new Error("No event on sale has two free seats side by side. Start with --fresh for new ones.");
}

async function pick(rest: Rest, eventId: string, count: number): Promise<string[]> {
  const layout = await rest.get<Layout>(`/v1/events/${eventId}/seats`);
  const seats = freeNeighbours(layout, await statesOf(rest, eventId), count);
  if (seats === undefined) throw new Error(`There are no ${count} free seats side by side any more.`);
  return seats;
}

async function statesOf(rest: Rest, eventId: string): Promise<Uint8Array> {
  return await rest.bytes(`/v1/events/${eventId}/seats/state`);
}

/** What the gate reads; its signature is not checked here. */
function claimsOf(token: string | undefined): string {
  const payload = token?.split(".")[1];
  return payload === undefined ? "nothing" : Buffer.from(payload, "base64url").toString();
}

/** Presses "approve" on stripe-sim's page, as a browser would. False when the page is another, as with the real Stripe. */
export async function approve(actionUrl: string): Promise<boolean> {
  const page = await fetch(actionUrl, { signal: AbortSignal.timeout(10_000) });
  const html = await page.text();
  for (const [form = ""] of html.matchAll(/<form\b[\s\S]*?<\/form>/g)) {
    const button = /<button\b[^>]*>[^<]*(?:approve|complete|authorize)[^<]*<\/button>/i.exec(form)?.[0];
    if (button === undefined) continue;
    const action = attribute(form, "action");
    const fields = new URLSearchParams();
    for (const [input] of form.matchAll(/<input\b[^>]*>/g))
      fields.set(attribute(input, "name") ?? "", attribute(input, "value") ?? "");
    const name = attribute(button, "name");
    if (name !== undefined) fields.set(name, attribute(button, "value") ?? "");
    const target = new URL(attribute(button, "formaction") ?? action ?? actionUrl, page.url);
    const answer = await fetch(target, {
      method: "POST",
      body: fields,
      redirect: "manual",
      signal: AbortSignal.timeout(10_000),
    });
    return answer.status < 400;
  }
  return false;
}

function attribute(tag: string, name: string): string | undefined {
  return new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1]?.replaceAll("&amp;", "&");
}
