// Tickets that were looked at are kept in this browser, to be shown without a connection; logging out throws them away.
import { ApiError, type Ticket } from "../../api/client.js";

const kept = "onsale.tickets";
const all = "/kept/tickets";
const addressOf = (name: string) => `/kept/tickets/${encodeURIComponent(name)}`;

async function read<T>(address: string): Promise<T | undefined> {
  const found = await (await caches.open(kept)).match(address);
  return found ? ((await found.json()) as T) : undefined;
}
const write = async (address: string, content: unknown): Promise<void> =>
  (await caches.open(kept)).put(address, new Response(JSON.stringify(content)));

/** What the shop answers, and what it answered last while it can't be reached. */
async function orKept<T>(address: string, ask: () => Promise<T>): Promise<T> {
  try {
    const fresh = await ask();
    await write(address, fresh).catch(() => undefined); // a full disk must not hide a ticket
    return fresh;
  } catch (error) {
    const old = error instanceof ApiError && error.retryable ? await read<T>(address) : undefined;
    if (old === undefined) throw error;
    return old;
  }
}

export const ticketOrKept = (ticketId: string, ask: () => Promise<Ticket>) => orKept(addressOf(ticketId), ask);
export const firstTicketsOrKept = <Page>(ask: () => Promise<Page>) => orKept(all, ask);
