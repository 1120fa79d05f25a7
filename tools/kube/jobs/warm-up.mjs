// Job: looks at the seats of every event that is on sale or will be soon, so that inventory draws them in Valkey before the crowd comes.
import { fileURLToPath } from "node:url";

/** Answers how many events were looked at. Throws when one of them can't be. */
export async function warmUp(shopUrl, hoursAhead, say) {
  const until = Date.now() + hoursAhead * 60 * 60 * 1000;
  // What is over draws no crowd.
  const from = new Date(Date.now() - 24 * 60 * 60 * 1000).toISOString().slice(0, 10);
  let warmed = 0;
  for (let cursor = ""; ; ) {
    const page = await patiently(() =>
      get(`${shopUrl}/v1/events?limit=100&from=${from}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`),
    );
    const { events, nextCursor } = JSON.parse(page);
    for (const { eventId, name, onSaleAt } of events) {
      if (Date.parse(onSaleAt) > until) continue;
      await patiently(() => get(`${shopUrl}/v1/events/${eventId}/seats/state`));
      say(`${eventId} (${name}): its seats are drawn`);
      warmed += 1;
    }
    if (!nextCursor) return warmed;
    cursor = nextCursor;
  }
}

async function get(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(20_000) });
  const body = await response.text();
  if (!response.ok) throw new Error(`GET ${url}: ${response.status} ${body.slice(0, 300)}`);
  return body;
}

/** The shop may be starting, and a large hall takes a moment to draw. */
async function patiently(work) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= 60) throw error;
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const say = (line) => process.stdout.write(`${line}\n`);
  const count = await warmUp(process.env["SHOP_URL"], Number(process.env["HOURS_AHEAD"] ?? 48), say);
  say(`${count} event(s) on sale now or soon`);
}
