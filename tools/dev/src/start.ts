// npm start: the servers, the services, the seed, one table; then logs until Ctrl-C, and everything stopped in order.
import { createWriteStream, mkdirSync, rmSync, type WriteStream } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Backing, startBacking } from "@onsale/backing/backing";
import { messageOf, type StartedProcess } from "@onsale/backing/child-process";
import { isFree, portFrom } from "@onsale/backing/ports";
import { programInWords, programsPassedOver, type ServerName } from "@onsale/backing/programs";
import { paints, renderLine } from "./log-line.js";
import { claimFolder, leaveFolder, noteReady, parentOf, readRunning } from "./running.js";
import { keptSecrets } from "./secrets.js";
import { logins, type SeededEvent, seed } from "./seed.js";
import { operator, type Stack, startStack } from "./stack.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const usage = `npm start -- [options]

  --fresh          throws away the data of earlier starts (.data/) first
  --port PORT      of the REST API; without it, 8080 or the next free one
  --no-seed        no demo accounts and events
  --quiet          after the start, shows warnings and errors only

TEMPORAL_ADDRESS, REDIS_URL, MONGODB_URI and STRIPE_SECRET_KEY in the environment replace the embedded part.
With the real Stripe, set STRIPE_PUBLISHABLE_KEY too: the shop's pages need it. Other settings that it passes on: OTEL_* (traces), PAYLOAD_ENCRYPTION_KEYS, LOG_LEVEL, HOLD_TTL_SECONDS, MONGODB_DATABASE, TEMPORAL_NAMESPACE, TEMPORAL_TLS, TEMPORAL_TLS_*, TEMPORAL_API_KEY, TEMPORAL_API_KEY_FILE, STRIPE_WEBHOOK_SECRET.
`;
const firstRestartMs = 500;
const slowestRestartMs = 30_000;
const steadyAfterMs = 60_000;

class Refusal extends Error {}
class Stopped extends Error {}

export async function run(args: readonly string[]): Promise<void> {
  try {
    const options = readOptions(args);
    if (options === undefined) return void process.stdout.write(usage);
    await runStack(options);
  } catch (error) {
    process.stderr.write(`\n${error instanceof Refusal ? error.message : messageOf(error)}\n`);
    process.exit(1);
  }
}

interface Options {
  readonly fresh: boolean;
  readonly port: number | undefined;
  readonly seed: boolean;
  readonly quiet: boolean;
}

function readOptions(args: readonly string[]): Options | undefined {
  try {
    const { values } = parseArgs({
      args: args.filter((arg) => arg !== "--"),
      options: {
        fresh: { type: "boolean", default: false },
        port: { type: "string" },
        "no-seed": { type: "boolean", default: false },
        quiet: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return undefined;
    const port = values.port === undefined ? undefined : Number(values.port);
    if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536))
      throw new Error(`--port must be a port number, not ${values.port}`);
    return { fresh: values.fresh, port, seed: !values["no-seed"], quiet: values.quiet };
  } catch (error) {
    throw new Refusal(`${messageOf(error)}\n\n${usage}`);
  }
}

async function runStack(options: Options): Promise<void> {
  const { env } = process;
  const startedAt = Date.now();
  const paint = paints(process.stdout.isTTY === true && !env["NO_COLOR"]);
  // The reader may go before we do; the parts are stopped all the same.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  const say = (text: string) => process.stdout.write(`${text}\n`);
  const seconds = () => `${((Date.now() - startedAt) / 1000).toFixed(1)} s`;

  const dataDir = env["ONSALE_DATA_DIR"] ?? join(root, ".data");
  claim(dataDir, options.fresh);

  // ---- logs: in files in full, on the terminal as far as they are wanted
  const logDir = join(dataDir, "logs");
  rmSync(logDir, { recursive: true, force: true });
  mkdirSync(logDir, { recursive: true });
  const files = new Map<string, WriteStream>();
  let chatty = false;
  const onLine = (source: string, line: string) => {
    let file = files.get(source);
    if (file === undefined) {
      file = createWriteStream(join(logDir, `${source}.log`)).on("error", () => undefined);
      files.set(source, file);
    }
    file.write(`${line}\n`);
    if (chatty || /"level":"(?:error|fatal)"/.test(line)) say(renderLine(source, line, paint));
  };

  // ---- stopping: once, in order, whatever asks for it
  let backing: Backing | undefined;
  let stack: Stack | undefined;
  let stopping: Promise<void> | undefined;
  let starting: Promise<unknown> = Promise.resolve();
  const stop = (why: string, code: number): Promise<void> => (stopping ??= stopAll(why, code));
  async function stopAll(why: string, code: number): Promise<void> {
    say(`\n${why}: stopping …`);
    chatty = false;
    // A part in the middle of its start is let finish; one that hangs is ended by the kernel when we exit.
    await Promise.race([
      starting.catch(() => undefined),
      new Promise((resolve) => setTimeout(resolve, 15_000).unref()),
    ]);
    await stack?.stop();
    await backing?.stop();
    leaveFolder(dataDir);
    say("Stopped.");
    process.exit(code);
  }
  const impatient = { since: 0 };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => {
      // npm passes on the Ctrl-C that the terminal sent to us as well: only a later one is a second one.
      if (impatient.since === 0) impatient.since = Date.now();
      else if (Date.now() - impatient.since > 1_000) process.exit(1); // the kernel ends all parts with us
      void stop(signal === "SIGINT" ? "Ctrl-C" : signal, 0);
    });
  watchNpm(() => void stop("npm, which ran this, is gone", 1));
  const unlessStopping = () => {
    if (stopping !== undefined) throw new Stopped();
  };

  // ---- a part that dies is started again
  let up = false;
  const failures = new Map<string, { count: number; at: number }>();
  const restart = (name: string, partOf: () => StartedProcess | undefined) => async (how: string) => {
    if (!up) return; // a start that fails says so itself
    for (let reason = how; stopping === undefined; ) {
      const before = failures.get(name);
      const count = before !== undefined && Date.now() - before.at < steadyAfterMs ? before.count + 1 : 0;
      failures.set(name, { count, at: Date.now() });
      const wait = Math.min(slowestRestartMs, firstRestartMs * 2 ** count);
      say(paint.red(`${name}: ${reason}. Starting it again in ${wait / 1000} s.`));
      await new Promise((resolve) => setTimeout(resolve, wait));
      if (stopping !== undefined) return;
      try {
        await partOf()?.restart();
        say(paint.green(`${name} is back.`));
        return;
      } catch (error) {
        reason = messageOf(error).split("\n")[0] ?? "it did not start";
      }
    }
  };

  // ---- the start itself
  const phase = async <Result>(work: Promise<Result>): Promise<Result> => {
    starting = work;
    const result = await work;
    unlessStopping();
    return result;
  };
  try {
    const given = ["TEMPORAL_ADDRESS", "REDIS_URL", "MONGODB_URI"].filter((name) => env[name]);
    say(
      `Starting Temporal, Valkey and the MongoDB-protocol server${given.length > 0 ? ` (${given.join(", ")} given)` : ""} …`,
    );
    const gatewayPort = await gatewayPortFrom(options.port);
    const temporalUi = env["TEMPORAL_ADDRESS"] ? undefined : await portFrom(8233);
    const codec = temporalUi === undefined ? undefined : await portFrom(8088);
    await phase(
      startBacking({
        dataDir,
        env,
        ports: temporalUi === undefined ? {} : { temporalUi },
        temporalCodecUrl: codec === undefined ? undefined : `http://127.0.0.1:${codec}`,
        onLine,
        onUnexpectedExit: (name, how) => void restart(name, () => backing?.processes[name])(how),
      }).then((started) => {
        backing = started;
      }),
    );
    if (backing === undefined) throw new Error("The servers did not start.");
    const servers: Backing = backing;
    say(`  ready after ${seconds()}`);

    say(`Starting the services${env["STRIPE_SECRET_KEY"] ? " (with the real Stripe)" : " and stripe-sim"} …`);
    const stripeSim = await portFrom(12_111);
    await phase(
      startStack({
        backing: servers,
        secrets: keptSecrets(dataDir),
        stripeDataDir: join(dataDir, "stripe-sim"),
        temporalUiUrl: servers.temporalUiUrl,
        codec: codec === undefined ? undefined : { port: codec, origins: originsOf(servers.temporalUiUrl) },
        env,
        ports: { gateway: gatewayPort, stripeSim },
        onLine,
        onUnexpectedExit: (name, how) => void restart(name, () => stack?.processes[name])(how),
      }).then((started) => {
        stack = started;
      }),
    );
    if (stack === undefined) throw new Error("The services did not start.");
    const services: Stack = stack;
    say(`  ready after ${seconds()}`);

    let events: SeededEvent[] = [];
    if (options.seed) {
      say("Looking after the demo accounts and events …");
      events = await phase(seed(services.gatewayUrl, operator, (what) => say(`  making ${what}`)));
      say(`  ready after ${seconds()}`);
    }
    const namespace = env["TEMPORAL_NAMESPACE"] ?? "default";
    noteReady(dataDir, {
      gatewayUrl: services.gatewayUrl,
      stripeUrl: services.stripeUrl,
      temporalUiUrl: servers.temporalUiUrl,
      temporalNamespace: namespace,
    });
    say(table({ services, servers, namespace, events, seeded: options.seed, paint }));
    chatty = !options.quiet;
    up = true;
    for (const [name, part] of Object.entries({ ...servers.processes, ...services.processes }))
      if (part.pid === undefined) void restart(name, () => part)("it ended while the others started");
  } catch (error) {
    if (error instanceof Stopped) return await new Promise(() => undefined); // stopAll ends the process
    say(`\n${paint.red("The start failed.")} ${messageOf(error)}`);
    await stop("Cleaning up", 1);
  }
}

/** A page is the same under both names of this machine, but browsers tell them apart. */
function originsOf(url: string | undefined): string[] {
  return url === undefined ? [] : [url, url.replace("//127.0.0.1:", "//localhost:")];
}

function claim(dataDir: string, fresh: boolean): void {
  const refuse = () => {
    const other = readRunning(dataDir);
    const where = other?.gatewayUrl ? ` at ${other.gatewayUrl}` : "";
    return new Refusal(
      `onsale is running from this folder already (process ${other?.pid}${where}). Stop that one first (Ctrl-C, or kill ${other?.pid}).`,
    );
  };
  if (readRunning(dataDir)) throw refuse();
  if (fresh) rmSync(dataDir, { recursive: true, force: true });
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  if (!claimFolder(dataDir)) throw refuse();
}

async function gatewayPortFrom(wished: number | undefined): Promise<number> {
  if (wished === undefined) return await portFrom(8080);
  if (await isFree(wished)) return wished;
  throw new Refusal(`Port ${wished} is in use on 127.0.0.1. Choose another with --port, or leave it out.`);
}

/** npm does not always pass signals on, and its own end reaches nobody: when it goes, we go. */
function watchNpm(gone: () => void): void {
  if (!process.env["npm_lifecycle_event"]) return;
  const parent = process.ppid;
  const grandparent = parentOf(parent); // npm itself, when a shell is in between
  const watch = setInterval(() => {
    if (process.ppid === parent && parentOf(parent) === grandparent) return;
    clearInterval(watch);
    gone();
  }, 1_000);
  watch.unref();
}

interface TableFacts {
  readonly services: Stack;
  readonly servers: Backing;
  readonly namespace: string;
  readonly events: readonly SeededEvent[];
  readonly seeded: boolean;
  readonly paint: ReturnType<typeof paints>;
}

function table({ services, servers, namespace, events, seeded, paint }: TableFacts): string {
  const { gatewayUrl, storefrontUrl, stripeUrl } = services;
  const ui = servers.temporalUiUrl;
  const origin = (name: ServerName, setting: string) =>
    paint.dim(`(${servers.processes[name] ? programInWords(name) : `yours, by ${setting}`})`);
  const rows: [string, string][] = [
    ["Shop", storefrontUrl],
    ["REST API", gatewayUrl],
    ["API documentation", `${gatewayUrl}/docs`],
    [
      "Checkouts (Temporal Web UI)",
      ui ? `${ui}/namespaces/${namespace}/workflows` : "your own Temporal's (set TEMPORAL_UI_URL to show it)",
    ],
    [
      "Stripe",
      stripeUrl
        ? `${stripeUrl} (stripe-sim)`
        : `the real one; \`stripe listen --forward-to ${gatewayUrl}/v1/webhooks/stripe\` brings its webhooks (set STRIPE_WEBHOOK_SECRET to what it prints)`,
    ],
    ["Valkey", `${withoutPassword(servers.redisUrl)}  ${origin("valkey", "REDIS_URL")}`],
    ["MongoDB protocol", `${withoutPassword(servers.mongodbUri)}  ${origin("mongodb", "MONGODB_URI")}`],
    ["Temporal", `${servers.temporalAddress}  ${origin("temporal", "TEMPORAL_ADDRESS")}`],
    ...programsPassedOver().map((sentence): [string, string] => ["Not used", sentence]),
  ];
  const people: [string, string][] = seeded
    ? [operator, ...logins].map(({ email, password }) => [email, password])
    : [[operator.email, operator.password]];
  const shows: [string, string][] = events.map((event) => {
    const sale = Date.parse(event.onSaleAt) > Date.now() ? `on sale from ${event.onSaleAt.slice(0, 10)}` : "on sale";
    return [
      event.eventId,
      `${event.name}, ${event.venue.city}: ${event.capacity.toLocaleString("en")} places, ${event.currency}, ${sale}`,
    ];
  });
  const sections = [
    ["", rows],
    ["Demo logins (e-mail, password)", people],
    ["Events", shows],
  ] as const;
  const width = Math.max(...[...rows, ...people, ...shows].map(([left]) => left.length));
  const rule = paint.dim("─".repeat(100));
  const lines = sections.flatMap(([title, entries]) =>
    entries.length === 0
      ? []
      : [
          ...(title ? ["", paint.bold(title)] : []),
          ...entries.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
        ],
  );
  const hint = `${paint.dim("Another terminal:")} npm run demo   ${paint.dim("Stop:")} Ctrl-C   ${paint.dim("Logs in full:")} .data/logs/`;
  return ["", rule, ...lines, "", hint, rule].join("\n");
}

function withoutPassword(url: string): string {
  return url.replace(/\/\/[^@/]*@/, "//…@");
}
