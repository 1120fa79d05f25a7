// Fills a fresh installation through its REST API alone: four people, and the programme, published. Doing it again changes nothing.
import { type NewEvent, programme } from "./programme.js";
import { createRest, Problem, type Rest } from "./rest.js";

export interface Login {
  readonly email: string;
  readonly password: string;
  readonly roles: readonly string[];
}

/** For trying things out on this machine; the password is no secret. */
export const demoPassword = "seven lanterns at dusk";
export const logins: readonly Login[] = [
  { email: "buyer@example.test", password: demoPassword, roles: ["buyer"] },
  { email: "organiser@example.test", password: demoPassword, roles: ["buyer", "organiser"] },
  { email: "gate@example.test", password: demoPassword, roles: ["gate"] },
];
const names: Readonly<Record<string, string>> = { buyer: "Bea Buyer", organiser: "Oskar Organiser", gate: "Gina Gate" };

export interface SeededEvent {
  readonly eventId: string;
  readonly name: string;
  readonly venue: { readonly name: string; readonly city: string };
  readonly status: string;
  readonly startsAt: string;
  readonly onSaleAt: string;
  readonly capacity: number;
  readonly currency: string;
}

export interface Session {
  readonly accessToken: string;
  readonly account: { readonly accountId: string; readonly roles: readonly string[] };
}

export async function seed(
  gatewayUrl: string,
  operator: Pick<Login, "email" | "password">,
  onStep: (what: string) => void = () => undefined,
): Promise<SeededEvent[]> {
  const rest = createRest(gatewayUrl);
  const operatorToken = (await logIn(rest, operator)).accessToken;
  for (const login of logins) await ensureAccount(rest, login, operatorToken);
  const organiser = logins.find(({ roles }) => roles.includes("organiser"));
  if (organiser === undefined) throw new Error("The seed has no organiser.");
  const { accessToken } = await logIn(rest, organiser);

  const events: SeededEvent[] = [];
  for (const event of programme(new Date())) events.push(await ensureEvent(rest, event, accessToken, onStep));
  return events;
}

export async function logIn(rest: Rest, { email, password }: Pick<Login, "email" | "password">): Promise<Session> {
  return await rest.post<Session>("/v1/sessions", { body: { email, password } });
}

async function ensureAccount(rest: Rest, login: Login, operatorToken: string): Promise<void> {
  const { email, password, roles } = login;
  const session = await logIn(rest, login).catch(async (error: unknown) => {
    if (!(error instanceof Problem && error.code === "CREDENTIALS_INVALID")) throw error;
    const name = names[email.split("@")[0] ?? ""] ?? email;
    await rest.post("/v1/accounts", { key: `seed-${email}`, body: { email, password, name } });
    return await logIn(rest, login);
  });
  if ([...session.account.roles].sort().join() === [...roles].sort().join()) return;
  await rest.put(`/v1/accounts/${session.account.accountId}/roles`, { token: operatorToken, body: { roles } });
}

async function ensureEvent(
  rest: Rest,
  { slug, ...event }: NewEvent,
  token: string,
  onStep: (what: string) => void,
): Promise<SeededEvent> {
  const found = await rest.get<{ events: SeededEvent[] }>(`/v1/events?q=${encodeURIComponent(event.name)}`);
  const there = found.events.find(({ name }) => name === event.name);
  if (there) return there;
  onStep(`${event.name}, ${event.venue.city}`);
  const key = `seed-${slug}-${event.startsAt.slice(0, 10)}`;
  const { eventId } = await rest.post<SeededEvent>("/v1/organiser/events", { token, key, body: event });
  return await rest.post<SeededEvent>(`/v1/organiser/events/${eventId}/publish`, { token, key: `${key}-publish` });
}
