// Alerts and dashboards against what the stack really emits: a real Prometheus scrapes a shop in which things go well and wrong, and
// every expression must parse, evaluate, and ask only for series that are there.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "@onsale/backing/ports";
import { booksScheduleId, reconcileScheduleId } from "@onsale/workflows/contract";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { chart, helm, ofKind, render, withoutHelm } from "../charts/chart.js";
import { publishEvent, request, signUp, untilStatus } from "./rest.js";
import { openShop, type Shop } from "./shop.js";

const hasPrometheus = spawnSync("prometheus", ["--version"]).status === 0;
const missing = !hasPrometheus
  ? "there is no prometheus on PATH: node tools/kube/install-checks.mjs brings it where there is apt"
  : helm
    ? undefined
    : withoutHelm;

interface Target {
  readonly datasource?: unknown;
  readonly expr: string;
}
interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets?: readonly Target[] }[];
  readonly templating: { readonly list: readonly { readonly type: string; readonly definition?: string }[] };
}

let shop: Shop;
let prometheus: ChildProcess;
let prometheusUrl: string;
let said = "";
const folder = mkdtempSync(join(tmpdir(), "onsale-metrics-"));

/** What Prometheus answers; throws with its own words. */
async function ask<Data>(path: string, query: Readonly<Record<string, string>> = {}): Promise<Data> {
  const response = await fetch(`${prometheusUrl}${path}?${new URLSearchParams(query)}`);
  const answer = (await response.json()) as { status: string; data: Data; error?: string };
  if (answer.status !== "success") throw new Error(`${JSON.stringify(query)}: ${answer.error}`);
  return answer.data;
}

/** As Grafana fills them in. */
const filled = (expr: string) =>
  expr.replaceAll("$__rate_interval", "30s").replaceAll("$__range", "5m").replaceAll("$service", ".+");

function dashboardQueries(): (readonly [where: string, expr: string])[] {
  const files = readdirSync(join(chart, "files/dashboards"));
  expect(files.length).toBeGreaterThanOrEqual(3);
  return files.flatMap((file) => {
    const { panels, templating } = JSON.parse(readFileSync(join(chart, "files/dashboards", file), "utf8")) as Dashboard;
    const variables = templating.list.flatMap(
      ({ definition }) => /^label_values\((.+), \w+\)$/.exec(definition ?? "")?.[1] ?? [],
    );
    return [
      ...panels.flatMap(({ title, targets }) =>
        (targets ?? []).map(({ expr }) => [`${file}: ${title}`, filled(expr)] as const),
      ),
      ...variables.map((expr) => [`${file}: a variable`, expr] as const),
    ];
  });
}

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
}
const rules: { groups: { rules: Rule[] }[] } = missing
  ? { groups: [] }
  : ofKind(render("values-large.yaml").manifests, "PrometheusRule")[0].spec;
const ruleQueries = () =>
  rules.groups.flatMap((group) => group.rules.map(({ alert, record, expr }) => [alert ?? record ?? "", expr] as const));

/** `name{matchers}` of everything that an expression asks for. */
function selectorsOf(expr: string): string[] {
  const found = expr.matchAll(/(?<![\w:"])([a-zA-Z_][\w:]*)\s*(\{[^}]*\})?(?!\s*\(|[\w:])/g);
  const names = /^(onsale[_:]|nodejs_|process_|temporal_|up$|stripe_)/;
  return [...found].flatMap(([, name = "", matchers = ""]) => (names.test(name) ? [name + matchers] : []));
}

beforeAll(async () => {
  if (missing) return;
  const temporalMetrics = `127.0.0.1:${await freePort()}`;
  shop = await openShop({
    settings: {
      worker: { TEMPORAL_METRICS_LISTEN: temporalMetrics, BOOKS_SETTLED_SECONDS: "0" },
      gateway: { RATE_LIMITS: "true", RATE_WEBHOOKS: "20/60" },
    },
  });
  const port = await freePort();
  prometheusUrl = `http://127.0.0.1:${port}`;
  const jobs = Object.entries(shop.stack.opsUrls).map(([name, url]) => [name, new URL(url).host] as const);
  writeFileSync(join(folder, "rules.yaml"), stringify(rules));
  writeFileSync(
    join(folder, "prometheus.yaml"),
    stringify({
      global: { scrape_interval: "1s", evaluation_interval: "1s" },
      rule_files: ["rules.yaml"],
      scrape_configs: [...jobs, ["worker-temporal", temporalMetrics] as const].map(([name, host]) => ({
        job_name: name,
        static_configs: [{ targets: [host], labels: { namespace: "shop" } }],
      })),
    }),
  );
  prometheus = spawn(
    "prometheus",
    [
      `--config.file=${join(folder, "prometheus.yaml")}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--log.level=warn",
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  prometheus.stderr?.on("data", (chunk) => {
    said += chunk;
  });
  // Every process is found, before anything happens that must be seen to happen.
  await untilNone(async () => {
    const { activeTargets } = await ask<{ activeTargets: { labels: { job: string }; health: string }[] }>(
      "/api/v1/targets",
    );
    expect(activeTargets.length).toBe(jobs.length + 1);
    return activeTargets.filter(({ health }) => health !== "up").map(({ labels }) => labels.job);
  });
  await traffic();
});

afterAll(async () => {
  prometheus?.kill();
  await shop?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A small sale: won, lost, paid, declined, given back, watched; then a part is away, and somebody sends too much. */
async function traffic(): Promise<void> {
  const forged = `t=${Math.floor(Date.now() / 1000)},v1=${createHmac("sha256", "nobody").update("x").digest("hex")}`;
  const forge = (count: number) =>
    Promise.all(
      Array.from({ length: count }, () =>
        request(shop.url, "POST", "/v1/webhooks/stripe", { body: {}, headers: { "stripe-signature": forged } }),
      ),
    );
  await forge(2);
  const [buyer, rival] = await Promise.all([signUp(shop.url), signUp(shop.url)]);
  const eventId = await publishEvent(shop.organiser, { rows: 1, seatsPerRow: 20 });
  const watching = new AbortController();
  const live = await fetch(`${shop.url}/v1/events/${eventId}/seats/stream`, {
    headers: { accept: "text/event-stream" },
    signal: watching.signal,
  });
  expect(live.status).toBe(200);
  watchingNow = watching;
  const won = await buyer.hold(eventId, ["A-A-1", "A-A-2"]);
  expect((await rival.hold(eventId, ["A-A-2"])).status).toBe(409);
  expect((await rival.hold(eventId, { section: "A", quantity: 2 })).status).toBe(201);
  expect((await buyer.pay(won.body.checkoutId, "pm_card_chargeDeclined")).body.status).toBe("declined");
  expect((await buyer.pay(won.body.checkoutId)).body.status).toBe("completed");
  await shop.operator.ask("POST", `/v1/orders/${won.body.checkoutId}/refund`, { key: randomUUID(), body: {} });
  const given = await rival.hold(eventId, ["A-A-19"]);
  await rival.cancel(given.body.checkoutId);
  expect((await fetch(shop.stack.storefrontUrl)).status).toBe(200);
  await shop.temporal.schedule.getHandle(reconcileScheduleId(shop.taskQueue)).trigger();
  await shop.temporal.workflow.execute("settleLatePayment", {
    taskQueue: shop.taskQueue,
    workflowId: `late-payment-${randomUUID()}`,
    args: [{ checkoutId: "chk_none" }],
  });

  await shop.temporal.schedule.getHandle(booksScheduleId(shop.taskQueue)).trigger();

  // Code that the worker does not have: its task fails, as one of ours with a bug would.
  const broken = await shop.temporal.workflow.start("noSuchWorkflow", {
    taskQueue: shop.taskQueue,
    workflowId: `broken-${randomUUID()}`,
  });
  // The ticket service is away while a buyer pays; then it is back, and all is well.
  const late = await buyer.hold(eventId, ["A-A-17"]);
  const ticket = shop.stack.processes.ticket;
  await ticket?.kill9();
  expect((await buyer.ask("GET", "/v1/tickets")).status).toBe(503);
  const paying = buyer.pay(late.body.checkoutId);
  // Prometheus sees an increase only of what it has seen before.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect((await buyer.ask("GET", "/v1/tickets")).status).toBe(503);
  await ticket?.restart();
  await paying;
  await untilStatus(buyer, late.body.checkoutId, ["completed"]);
  expect((await forge(25)).some(({ status }) => status === 429)).toBe(true);
  await broken.terminate("the test has seen it fail");
}
let watchingNow: AbortController | undefined;

describe.skipIf(missing)(`alerts and dashboards${missing ? ` (skipped: ${missing})` : ""}`, () => {
  it("ask only for series that the stack emits", async () => {
    const asked = new Map<string, string>();
    for (const [where, expr] of [...ruleQueries(), ...dashboardQueries()])
      for (const selector of selectorsOf(expr)) asked.set(selector, where);
    expect(asked.size).toBeGreaterThan(60);
    await untilNone(async () => {
      const absent: string[] = [];
      for (const [selector, where] of asked) {
        const series = await ask<unknown[]>("/api/v1/series", { "match[]": selector });
        if (series.length === 0) absent.push(`${selector} (${where})`);
      }
      return absent;
    });
  });

  it("evaluate: each rule is healthy, each panel's query is answered", async () => {
    await untilNone(async () => {
      const { groups } = await ask<{ groups: { rules: { name: string; health: string; lastError?: string }[] }[] }>(
        "/api/v1/rules",
      );
      const all = groups.flatMap((group) => group.rules);
      expect(all.length).toBe(ruleQueries().length);
      return all.filter(({ health }) => health !== "ok").map(({ name, lastError }) => `${name}: ${lastError}`);
    });
    const empty: string[] = [];
    for (const [where, expr] of dashboardQueries()) {
      const { result } = await ask<{ result: unknown[] }>("/api/v1/query", { query: expr });
      if (result.length === 0) empty.push(`${where}: ${expr}`);
    }
    expect(empty).toEqual([]);
    watchingNow?.abort();
  });

  it("count what has happened, by the words that the runbook uses", async () => {
    const value = async (query: string) => {
      const { result } = await ask<{ result: { value: [number, string] }[] }>("/api/v1/query", { query });
      return Number(result[0]?.value[1] ?? Number.NaN);
    };
    expect(await value('sum(onsale_holds_total{outcome="held"})')).toBeGreaterThanOrEqual(3);
    expect(await value('sum(onsale_holds_total{outcome="SEAT_TAKEN"})')).toBeGreaterThanOrEqual(1);
    const ended = (outcome: string) =>
      value(`sum(onsale_workflow_seconds_count{type="checkout",outcome="${outcome}"})`);
    // The last of it may not have been scraped yet.
    const ends = async () => [await ended("completed"), await ended("cancelled"), await ended("failed")];
    await expect.poll(ends).toEqual([2, 1, 0]);
    await expect.poll(() => value('sum(onsale_workflow_seconds_count{type="refund",outcome="completed"})')).toBe(1);
    expect(await value('sum(onsale_stripe_webhooks_total{outcome="forged"})')).toBeGreaterThan(0);
    // Asked of Temporal every half minute, which had other things to do at first.
    await untilNone(async () => ((await value("max(onsale_overdue_checkouts)")) === 0 ? [] : ["not counted yet"]), 45);
    expect(await value('onsale:error_ratio{slo="checkouts",window="5m"}')).toBe(0);
    expect(await value('onsale:error_ratio{slo="api",window="5m"}')).toBeGreaterThan(0);
  });
});

/** Looks until nothing is amiss any more: scrapes and rules come by the second. */
async function untilNone(look: () => Promise<string[]>, seconds = 30): Promise<void> {
  let amiss = ["nothing was looked at"];
  for (const giveUpAt = Date.now() + seconds * 1_000; amiss.length > 0 && Date.now() < giveUpAt; ) {
    amiss = await look().catch((error: unknown) => [String(error)]);
    if (amiss.length > 0) await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
  expect(amiss, said).toEqual([]);
}
