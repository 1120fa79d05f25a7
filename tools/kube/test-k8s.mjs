// npm run test:k8s: shows on a real cluster (any KUBECONFIG) what the chart promises, step by step, and keeps what it printed.
//   -- --log FILE      where the output is kept, besides the terminal (docs/kubernetes-run.log)
//   -- --namespace N   of the shop (onsale-test); N-outside has the crowd. Both are made, and deleted at the end
//   -- --steps a,b     only these: install, test, codec, schemas, kill, upgrade, rollback, scale, autoscale, uninstall
//   -- --keep          leaves everything as it is at the end
// The images must be in the cluster (npm run images -- --load).
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { values: options } = parseArgs({
  args: process.argv.slice(2).filter((arg) => arg !== "--"),
  options: {
    log: { type: "string", default: "docs/kubernetes-run.log" },
    namespace: { type: "string", default: "onsale-test" },
    steps: { type: "string", default: "install,test,codec,schemas,kill,upgrade,rollback,scale,autoscale,uninstall" },
    keep: { type: "boolean", default: false },
    seconds: { type: "string", default: "120" },
  },
});
const shop = options.namespace;
const outside = `${shop}-outside`;
const release = "onsale";
const host = "shop.test";
const codecHost = "codec.shop.test";
const operator = { email: "operator@example.test", password: "seven lanterns at dusk" }; // the demo's, known to everybody
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const ownHelm = join(root, ".cache/go/bin/helm");
const helmProgram = existsSync(ownHelm) ? ownHelm : "helm";
const startedAt = Date.now();
const kept = [];
let failed = 0;

function say(line) {
  const stamped = `${((Date.now() - startedAt) / 1000).toFixed(0).padStart(5)} s  ${line}`;
  kept.push(stamped);
  process.stdout.write(`${stamped}\n`);
}
function check(what, isTrue, more = "") {
  if (!isTrue) failed += 1;
  say(`${isTrue ? "ok     " : "FAILED "}${what}${more ? `: ${more}` : ""}`);
}

/** What it printed. Throws with its last words when it fails. */
function run(program, args, { input, quiet = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, stdio: ["pipe", "pipe", "pipe"] });
    let [out, err] = ["", ""];
    child.stdout.on("data", (chunk) => {
      out += chunk;
    });
    child.stderr.on("data", (chunk) => {
      err += chunk;
    });
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(out);
      else if (quiet) resolve(undefined);
      else reject(new Error(`${program} ${args.join(" ")}: ${(err || out).trim().slice(-2_000)}`));
    });
    child.stdin.end(input ?? "");
  });
}
const kubectl = (...args) => run("kubectl", args);
const helm = (...args) => run(helmProgram, [...args, "--namespace", shop]);
const inShop = (...args) => kubectl("--namespace", shop, ...args);
const json = async (...args) => JSON.parse(await kubectl(...args, "--output", "json"));
const apply = (...objects) =>
  run("kubectl", ["apply", "--filename", "-"], {
    input: objects.map((one) => (typeof one === "string" ? one : JSON.stringify(one))).join("\n---\n"),
  });

async function until(what, met, seconds = 300) {
  for (const giveUpAt = Date.now() + seconds * 1000; Date.now() < giveUpAt; await pause(1_000))
    if (await met().catch(() => false)) return;
  throw new Error(`it did not come to this within ${seconds} s: ${what}`);
}

// ---- outside: a way in, and a crowd

const restricted = {
  runAsNonRoot: true,
  runAsUser: 1000,
  seccompProfile: { type: "RuntimeDefault" },
};
const contained = { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } };
const image = `onsale/gateway:${version}`;

async function makeOutside() {
  const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
  const scripts = Object.fromEntries(
    ["test-ingress.mjs", "test-sale.mjs"].map((name) => [name, readFileSync(join(root, "tools/kube", name), "utf8")]),
  );
  const account = { kind: "ServiceAccount", name: "ingress", namespace: outside };
  await apply(
    { apiVersion: "v1", kind: "Namespace", metadata: { name: outside, labels } },
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "scripts", namespace: outside }, data: scripts },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "ingress", namespace: outside } },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRole",
      metadata: { name: outside },
      rules: [{ apiGroups: ["networking.k8s.io"], resources: ["ingresses"], verbs: ["list"] }],
    },
    {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "ClusterRoleBinding",
      metadata: { name: outside },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: outside },
      subjects: [account],
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "ingress", namespace: outside },
      spec: { selector: { app: "ingress" }, ports: [{ port: 8080 }] },
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "ingress", namespace: outside },
      spec: {
        selector: { matchLabels: { app: "ingress" } },
        template: {
          metadata: { labels: { app: "ingress" } },
          spec: {
            serviceAccountName: "ingress",
            securityContext: restricted,
            containers: [
              {
                name: "ingress",
                image,
                command: ["node", "/scripts/test-ingress.mjs"],
                env: [
                  { name: "SHOP_NAMESPACE", value: shop },
                  { name: "NODE_EXTRA_CA_CERTS", value: "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt" },
                ],
                securityContext: contained,
                readinessProbe: { httpGet: { path: "/ingress-healthz", port: 8080 } },
                volumeMounts: [{ name: "scripts", mountPath: "/scripts" }],
              },
            ],
            volumes: [{ name: "scripts", configMap: { name: "scripts" } }],
          },
        },
      },
    },
  );
  await kubectl("--namespace", outside, "rollout", "status", "deployment/ingress", "--timeout=120s");
}

/** Starts a sale and answers what becomes of it: { during: resolves once it is running, report: resolves at its end }. */
function sale(name, { seconds, buyers = 4, slowSeconds = 0 }) {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: outside },
    spec: {
      restartPolicy: "Never",
      automountServiceAccountToken: false,
      securityContext: restricted,
      containers: [
        {
          name: "sale",
          image,
          command: ["node", "/scripts/test-sale.mjs"],
          env: Object.entries({
            SHOP_URL: `http://ingress.${outside}.svc.cluster.local:8080`,
            SHOP_HOST: host,
            BUYERS: String(buyers),
            SECONDS: String(seconds),
            SLOW_SECONDS: String(slowSeconds),
            OPERATOR_EMAIL: operator.email,
            OPERATOR_PASSWORD: operator.password,
          }).map(([key, value]) => ({ name: key, value })),
          securityContext: contained,
          volumeMounts: [{ name: "scripts", mountPath: "/scripts" }],
        },
      ],
      volumes: [{ name: "scripts", configMap: { name: "scripts" } }],
    },
  };
  const logs = () => kubectl("--namespace", outside, "logs", name);
  const phase = async () => (await json("--namespace", outside, "get", "pod", name)).status.phase;
  return {
    async begin() {
      await kubectl("--namespace", outside, "delete", "pod", name, "--ignore-not-found");
      await apply(pod);
      await until(
        "the crowd is there",
        async () => (await logs()).includes('"began"') || (await phase()) === "Failed",
        180,
      );
    },
    async end() {
      await until("the crowd has left", async () => ["Succeeded", "Failed"].includes(await phase()), seconds + 600);
      const lines = (await logs()).trim().split("\n");
      if ((await phase()) === "Failed") throw new Error(`the crowd broke down: ${lines.slice(-5).join("\n")}`);
      return JSON.parse(lines.at(-1) ?? "");
    },
  };
}

/** Every set of books: what buyers saw, who owns which seat, and what Stripe keeps. */
async function audit(report, { mayFail }) {
  const by = {};
  for (const { status } of report.checkouts) by[status] = (by[status] ?? 0) + 1;
  const total = Object.values(report.answers).reduce((sum, count) => sum + count, 0);
  say(
    `       ${total} requests: ${Object.entries(report.answers)
      .map(([kind, count]) => `${count} × ${kind}`)
      .join(", ")}`,
  );
  say(
    `       ${report.checkouts.length} checkouts: ${JSON.stringify(by)}; slowest ${Math.max(...report.checkouts.map(({ seconds }) => seconds)).toFixed(1)} s`,
  );
  const ends = ["completed", "cancelled", "expired", "refunded"];
  const open = report.checkouts.filter(({ status }) => !ends.includes(status));
  check(
    "every checkout has ended",
    open.length === 0,
    open.map(({ checkoutId, status }) => `${checkoutId} ${status}`).join(", "),
  );
  check("something was sold", (by.completed ?? 0) > 0);
  const bought = report.checkouts.filter(({ status }) => status === "completed").flatMap(({ seats }) => seats);
  check(`no seat was sold twice (${bought.length} sold)`, new Set(bought).size === bought.length);
  check(
    "the buyers' tickets are for the seats that they bought",
    JSON.stringify([...report.owned].sort()) === JSON.stringify([...bought].sort()),
    `${report.owned.length} tickets`,
  );
  check("the seat map says the same", report.totals.sold === bought.length, `${report.totals.sold} sold`);
  const ledger = JSON.parse(
    await kubectl("get", "--raw", `/api/v1/namespaces/${shop}/services/${release}-stripe-sim:12111/proxy/_sim/ledger`),
  );
  const ours = ledger.payment_intents.filter(({ metadata }) => metadata.eventId === report.eventId);
  const keeps = ours.reduce((sum, { captured, refunded }) => sum + captured - refunded, 0);
  check("Stripe keeps exactly what the tickets cost", keeps === bought.length * 4950, `${keeps} minor units`);
  check(
    "no money is left reserved",
    ours.every(({ authorized, captured, released }) => authorized === captured + released),
  );
  const kinds = {};
  for (const { kind } of report.failures) kinds[kind] = (kinds[kind] ?? 0) + 1;
  const listed = Object.entries(kinds)
    .map(([kind, count]) => `${count} × ${kind}`)
    .join(", ");
  if (mayFail)
    say(
      `       ${report.failures.length} requests failed in the middle and were sent again${listed && `: ${listed}`}; ${report.retryable} retryable refusals`,
    );
  else {
    check(
      `no request failed beyond a retryable refusal (${report.retryable} of those)`,
      report.failures.length === 0,
      listed,
    );
    for (const failure of report.failures.slice(0, 10)) say(`       ${JSON.stringify(failure)}`);
  }
}

/** Cores in use now by component, as metrics-server tells; undefined where there is none. */
async function podLoads() {
  const told = await run("kubectl", ["get", "--raw", `/apis/metrics.k8s.io/v1beta1/namespaces/${shop}/pods`], {
    quiet: true,
  });
  if (told === undefined) return undefined;
  const loads = {};
  for (const { metadata, containers } of JSON.parse(told).items) {
    const component = metadata.labels?.["app.kubernetes.io/component"] ?? "";
    for (const { usage } of containers) {
      const [, amount = "0", unit = ""] = /^(\d+)([num]?)$/.exec(usage.cpu) ?? [];
      loads[component] = (loads[component] ?? 0) + Number(amount) / ({ n: 1e9, u: 1e6, m: 1e3 }[unit] ?? 1);
    }
  }
  return loads;
}

/** Looks every fifteen seconds until the end; answers the averages in words. */
function watchLoad() {
  const seen = [];
  const timer = setInterval(
    () =>
      void podLoads().then(
        (loads) => loads && seen.push(loads),
        () => undefined,
      ),
    15_000,
  );
  return {
    async end() {
      clearInterval(timer);
      const names = [...new Set(seen.flatMap((loads) => Object.keys(loads)))].sort();
      const average = (name) => seen.reduce((sum, loads) => sum + (loads[name] ?? 0), 0) / seen.length;
      return names.map((name) => `${name} ${Math.round(average(name) * 1000)}m`).join(", ");
    },
  };
}

// ---- the steps

const settings = [
  ...["--values", "charts/onsale/values-demo.yaml"],
  ...["--set", "ingress.enabled=true", "--set", `ingress.host=${host}`, "--set", `publicUrl=http://${host}`],
  ...["--set", `services.codec.host=${codecHost}`],
  ...["--set", `tests.url=http://ingress.${outside}.svc.cluster.local:8080`, "--set", `tests.host=${host}`],
  // A crowd that signs up at once on two cores: passwords that cost less.
  ...[
    "--set-string",
    "services.account.config.ARGON2_MEMORY_KIB=1024",
    "--set-string",
    "services.account.config.ARGON2_PASSES=1",
  ],
];
const upgrade = (...more) =>
  helm("upgrade", release, "charts/onsale", ...settings, ...more, "--wait", "--timeout", "15m");
const podsOf = async (component) =>
  (await json("--namespace", shop, "get", "pods", "--selector", `app.kubernetes.io/component=${component}`)).items;
const rounds = { gateway: 0, inventory: 0, replicas: 1, build: "first", autoscales: false };
const rollouts = () => [
  ...["--set-string", `services.gateway.podAnnotations.round=${rounds.gateway}`],
  ...["--set-string", `services.inventory.podAnnotations.round=${rounds.inventory}`],
  ...["--set", `services.gateway.replicas=${rounds.autoscales ? "null" : rounds.replicas}`],
  ...["--set", `services.inventory.replicas=${rounds.replicas}`],
  ...(rounds.autoscales
    ? ["min=1", "max=3", "cpuPercent=65", "enabled=true"].flatMap((one) => [
        "--set",
        `services.gateway.autoscaling.${one}`,
      ])
    : []),
  ...["--set-string", `services.worker.config.BUILD_ID=${rounds.build}`],
];

const steps = {
  async install() {
    const namespaced = (file) =>
      readFileSync(join(root, "k8s", file), "utf8").replaceAll(/(name|namespace): onsale$/gm, `$1: ${shop}`);
    for (const name of [shop, outside])
      await until(`what a former run left in ${name} has gone`, async () => {
        const phase = ["get", "namespace", name, "--output", "jsonpath={.status.phase}"];
        return (await run("kubectl", phase, { quiet: true })) !== "Terminating";
      });
    await apply(namespaced("namespace.yaml"), namespaced("default-deny.yaml"));
    await makeOutside();
    const began = Date.now();
    await helm("install", release, "charts/onsale", ...settings, ...rollouts(), "--wait", "--timeout", "15m");
    check("helm install of the demo: everything is ready", true, `${((Date.now() - began) / 1000).toFixed(0)} s`);
    const pods = (await json("--namespace", shop, "get", "pods")).items.filter(
      ({ status }) => status.phase !== "Succeeded",
    );
    for (const { metadata, status } of pods)
      say(`       ${metadata.name}: ${status.phase}, ${status.containerStatuses[0].restartCount} restarts`);
    check("every pod passes the restricted Pod Security Standard, which the namespace enforces", pods.length >= 10);
  },

  async test() {
    const output = await helm("test", release, "--logs", "--timeout", "5m");
    for (const line of output.split("\n").filter((one) => /shop answers|pages|on sale|holds|Paid|seat map/i.test(one)))
      say(`       ${line}`);
    check(
      "helm test opens the storefront's page through the ingress",
      /The pages are at http:\/\/ingress\./.test(output),
    );
    check("helm test buys a ticket through the ingress", /Everything works/.test(output));
  },

  async codec() {
    const temporal = (...args) =>
      inShop("exec", `${release}-temporal-0`, "--", "temporal", "workflow", ...args, "--address", "127.0.0.1:7233");
    const listed = await temporal("list", "--query", 'WorkflowType = "checkout"', "--limit", "1", "--output", "json");
    const [{ execution }] = JSON.parse(listed);
    const { events } = JSON.parse(await temporal("show", "-w", execution.workflowId, "--output", "json"));
    const { payloads } = events[0].workflowExecutionStartedEventAttributes.input;
    const encoding = Buffer.from(payloads[0].metadata.encoding, "base64").toString();
    const checkoutId = execution.workflowId.replace("checkout-", "");
    const isSealed = /encrypted/.test(encoding) && !Buffer.from(payloads[0].data, "base64").includes(checkoutId);
    check("what a checkout was given is encrypted in Temporal", isSealed, encoding);
    // From outside, through the ingress: with nothing, as a buyer, as the operator.
    const program = `
const [codec, shop, operator, payloads] = JSON.parse(process.argv[1]);
const { request } = require("node:http");
const post = (host, path, body, token) => new Promise((resolve, reject) => {
  const sent = request({ host: "127.0.0.1", port: 8080, method: "POST", path, headers: { host, "content-type": "application/json",
    "idempotency-key": crypto.randomUUID(), ...(token ? { authorization: "Bearer " + token } : {}) } }, (answer) => {
    let text = ""; answer.on("data", (chunk) => { text += chunk; }); answer.on("end", () => resolve({ status: answer.statusCode, body: JSON.parse(text) })); });
  sent.on("error", reject); sent.end(JSON.stringify(body)); });
(async () => {
  const buyer = { email: crypto.randomUUID() + "@example.test", password: crypto.randomUUID() };
  await post(shop, "/v1/accounts", { ...buyer, name: "A person" });
  const token = async (who) => (await post(shop, "/v1/sessions", who)).body.accessToken;
  const answers = [await post(codec, "/decode", { payloads }), await post(codec, "/decode", { payloads }, await token(buyer)),
    await post(codec, "/decode", { payloads }, await token(operator))];
  console.log(JSON.stringify(answers));
})();`;
    const said = await kubectl(
      ...["--namespace", outside, "exec", "deployment/ingress", "--", "node", "-e", program],
      JSON.stringify([codecHost, host, operator, payloads]),
    );
    const [stranger, buyer, asOperator] = JSON.parse(said);
    check(
      "the codec server refuses who shows no token, and who is no operator",
      stranger.status === 401 && buyer.status === 403,
      `${stranger.status}, ${buyer.status}`,
    );
    const plain = Buffer.from(asOperator.body.payloads?.[0]?.data ?? "", "base64").toString();
    check(
      "the codec server shows the operator the plain text",
      asOperator.status === 200 && plain.includes(checkoutId),
    );
  },

  /** The API server's own check of kinds that others define, rules in CEL included: nothing is made. */
  async schemas() {
    const folder = join(root, ".cache/kube/crds");
    const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".yaml")) : [];
    if (files.length === 0)
      return void say("       no schemas are there (node tools/kube/install-checks.mjs): not shown");
    const made = [];
    for (const file of files) {
      const answer = await run("kubectl", ["create", "--filename", join(folder, file)], { quiet: true });
      if (answer !== undefined) made.push(file); // else it is there already, and stays
    }
    try {
      await pause(3_000);
      const rendered = await helm(
        ...["template", release, "charts/onsale", "--values", "charts/onsale/values-large.yaml"],
        ...["--api-versions", "cert-manager.io/v1", "--kube-version", "1.34.0"],
      );
      const theirs = rendered
        .split(/^---$/m)
        .filter((one) => /^kind: (Certificate|Issuer|HTTPRoute|ServiceMonitor|PrometheusRule)$/m.test(one));
      const answer = await run("kubectl", ["--namespace", shop, "apply", "--dry-run=server", "--filename", "-"], {
        input: theirs.join("\n---\n"),
      });
      const lines = answer.trim().split("\n");
      check(
        "the API server accepts what the chart makes for cert-manager, Gateway API and the Prometheus operator",
        lines.length === theirs.length,
        `${lines.length} objects`,
      );
    } finally {
      for (const file of made) await run("kubectl", ["delete", "--filename", join(folder, file)], { quiet: true });
    }
  },

  async kill() {
    const victims = [
      "gateway",
      "worker",
      "inventory",
      "payment",
      "ticket",
      "account",
      "storefront",
      "codec",
      "stripe-sim",
      "valkey",
      "mongodb",
      "temporal",
    ];
    const seconds = Math.max(Number(options.seconds), victims.length * 20);
    const crowd = sale("sale-while-killing", { seconds });
    await crowd.begin();
    for (const victim of victims) {
      const [pod] = (await podsOf(victim)).filter(({ metadata }) => !metadata.deletionTimestamp);
      await inShop("delete", "pod", pod.metadata.name, "--grace-period=0", "--force", "--wait=false");
      const at = Date.now();
      await until(`another ${victim}`, async () =>
        (await podsOf(victim)).some(
          ({ metadata, status }) =>
            metadata.uid !== pod.metadata.uid &&
            !metadata.deletionTimestamp &&
            status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True"),
        ),
      );
      say(`       ${victim} was killed; another is ready after ${((Date.now() - at) / 1000).toFixed(0)} s`);
      await pause(5_000);
    }
    await audit(await crowd.end(), { mayFail: true });
  },

  async upgrade() {
    const crowd = sale("sale-while-upgrading", { seconds: Math.max(Number(options.seconds), 240), slowSeconds: 45 });
    await crowd.begin();
    await pause(5_000);
    for (const part of ["gateway", "inventory", "worker"]) {
      if (part === "worker") rounds.build = "second";
      else rounds[part] += 1;
      const old = (await podsOf(part)).map(({ metadata }) => metadata.uid);
      const at = Date.now();
      await upgrade(...rollouts());
      say(`       ${part}: rolled after ${((Date.now() - at) / 1000).toFixed(0)} s`);
      if (part === "worker") {
        const draining = (await podsOf(part)).filter(({ metadata }) => old.includes(metadata.uid));
        say(`       ${draining.length} worker(s) of the old build work on for their checkouts`);
        await until(
          "the old build's workers have gone",
          async () => !(await podsOf(part)).some(({ metadata }) => old.includes(metadata.uid)),
          600,
        );
        say(`       the old build's workers have gone after ${((Date.now() - at) / 1000).toFixed(0)} s`);
      }
    }
    const report = await crowd.end();
    await audit(report, { mayFail: false });
    const slow = report.checkouts.filter(({ isSlow }) => isSlow);
    check(
      "checkouts that were held over a roll-out completed",
      slow.length > 0 && slow.every(({ status }) => status === "completed"),
      `${slow.length} of them`,
    );
  },

  /** Over a change of the worker's build, twice there and back, while people buy. */
  async rollback() {
    const temporal = (...args) =>
      inShop("exec", `${release}-temporal-0`, "--", "temporal", ...args, "--address", "127.0.0.1:7233");
    const current = async () =>
      /"currentVersionBuildID":\s*"([^"]*)"/i.exec(
        await temporal("worker", "deployment", "describe", "--name", "onsale-checkout", "--output", "json"),
      )?.[1];
    const before = rounds.build;
    const after = `${before}-changed`;
    const changed = () => upgrade(...rollouts(), "--set-string", `services.worker.config.BUILD_ID=${after}`);
    const back = () => helm("rollback", release, "--wait", "--timeout", "15m");
    const crowd = sale("sale-while-rolling-back", { seconds: Math.max(Number(options.seconds), 330), slowSeconds: 45 });
    await crowd.begin();
    await pause(10_000);
    for (const [what, move, build] of [
      ["an upgrade", changed, after],
      ["helm rollback", back, before],
      ["an upgrade of that", changed, after],
      ["a rollback of that", back, before],
    ]) {
      const at = Date.now();
      await move();
      const seconds = () => `${((Date.now() - at) / 1000).toFixed(0)} s`;
      say(`       ${what}: helm says success after ${seconds()}`);
      await until(`${build} takes the new checkouts`, async () => (await current()) === build, 30);
      const going = (await podsOf("worker")).filter(({ metadata }) => metadata.deletionTimestamp).length;
      check(`after ${what} the build ${build} takes the new checkouts`, true, `${seconds()}; ${going} worker(s) drain`);
      await pause(20_000);
    }
    const report = await crowd.end();
    await audit(report, { mayFail: false });
    const slow = report.checkouts.filter(({ isSlow }) => isSlow);
    check(
      "checkouts that were held over it completed",
      slow.length > 0 && slow.every(({ status }) => status === "completed"),
      `${slow.length} of them`,
    );
    await until(
      "the workers that were told to go have gone",
      async () => (await podsOf("worker")).every(({ metadata }) => !metadata.deletionTimestamp),
      600,
    );
    const open = await temporal(
      ...[
        "workflow",
        "list",
        "--query",
        'WorkflowType = "checkout" AND ExecutionStatus = "Running"',
        "--output",
        "json",
      ],
    );
    check("no checkout is left running", JSON.parse(open || "[]").length === 0);
  },

  async scale() {
    rounds.replicas = 3;
    const at = Date.now();
    await upgrade(...rollouts());
    check(
      "gateway and inventory run three times",
      (await podsOf("gateway")).length === 3 && (await podsOf("inventory")).length === 3,
      `${((Date.now() - at) / 1000).toFixed(0)} s`,
    );
    const crowd = sale("sale-on-three", { seconds: 150, buyers: 6 });
    await crowd.begin();
    const load = watchLoad();
    const report = await crowd.end();
    const used = await load.end();
    await audit(report, { mayFail: false });
    if (used) {
      const perSecond = report.checkouts.length / 150;
      say(
        `       CPU in that sale (${perSecond.toFixed(2)} checkouts/s on this machine, which runs everything): ${used}`,
      );
    }
    for (const [component, metric] of [
      ["gateway", "onsale_http_seconds_count"],
      ["inventory", "onsale_rpc_seconds_count"],
    ]) {
      const counts = [];
      for (const { metadata } of await podsOf(component)) {
        const text = await kubectl(
          "get",
          "--raw",
          `/api/v1/namespaces/${shop}/pods/${metadata.name}:9090/proxy/metrics`,
        );
        counts.push(
          text
            .split("\n")
            .filter((line) => line.startsWith(metric) && !/route="\/(readyz|healthz|metrics)"/.test(line))
            .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0),
        );
      }
      check(
        `each pod of ${component} has worked`,
        counts.every((count) => count > 0),
        counts.join(", "),
      );
    }
  },

  async autoscale() {
    if ((await podLoads()) === undefined)
      return void say("       the cluster has no metrics-server: autoscaling by CPU is not shown");
    rounds.autoscales = true;
    rounds.replicas = 1;
    await upgrade(...rollouts());
    const running = async () =>
      (await podsOf("gateway")).filter(
        ({ metadata, status }) => !metadata.deletionTimestamp && status.phase === "Running",
      ).length;
    const crowd = sale("sale-while-scaling", { seconds: 120, buyers: 6 });
    await crowd.begin();
    const at = Date.now();
    let most = 0;
    while (Date.now() - at < 110_000 && most < 2) {
      most = Math.max(most, await running());
      await pause(3_000);
    }
    check(
      "the gateway's autoscaler adds pods by CPU",
      most >= 2,
      `${most} after ${((Date.now() - at) / 1000).toFixed(0)} s`,
    );
    await audit(await crowd.end(), { mayFail: false });
  },

  async uninstall() {
    await helm("uninstall", release, "--wait", "--timeout", "15m");
    await until(
      "the pods have gone",
      async () =>
        (await json("--namespace", shop, "get", "pods")).items.every(
          ({ status }) => status.phase === "Succeeded" || status.phase === "Failed",
        ),
      600,
    );
    const kinds = (await kubectl("api-resources", "--verbs=list", "--namespaced", "--output=name"))
      .trim()
      .split("\n")
      .filter((kind) => !/events|endpoints|endpointslices|\.metrics\.k8s\.io/.test(kind));
    const left = [];
    for (const kind of kinds) {
      const found = await run("kubectl", ["--namespace", shop, "get", kind, "--output", "name"], { quiet: true });
      left.push(
        ...(found ?? "")
          .trim()
          .split("\n")
          .filter((name) => name !== ""),
      );
    }
    // The namespace's own, of Kubernetes and of k8s/.
    const own = [
      "configmap/kube-root-ca.crt",
      "serviceaccount/default",
      "networkpolicy.networking.k8s.io/default-deny",
      `pod/${release}-test`,
    ];
    const strays = left.filter((name) => !own.includes(name) && !name.startsWith("persistentvolumeclaim/"));
    check("helm uninstall leaves nothing but volumes", strays.length === 0, strays.join(", "));
    say(`       kept: ${left.filter((name) => name.startsWith("persistentvolumeclaim/")).join(", ")}`);
  },
};

async function cleanUp() {
  for (const name of [shop, outside]) await kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false");
  for (const kind of ["clusterrole", "clusterrolebinding"])
    await kubectl("delete", kind, outside, "--ignore-not-found");
}

const chosen = options.steps.split(",");
const unknown = chosen.filter((name) => steps[name] === undefined);
if (unknown.length > 0) {
  process.stderr.write(`There is no step ${unknown.join(", ")}; there are ${Object.keys(steps).join(", ")}.\n`);
  process.exit(2);
}
const nodes = await json("get", "nodes").catch((error) => {
  process.stderr.write(`No cluster answers; set KUBECONFIG. ${error.message}\n`);
  process.exit(2);
});
say(
  `onsale ${version} on Kubernetes ${nodes.items[0].status.nodeInfo.kubeletVersion}, ${nodes.items.length} node(s), ${nodes.items[0].status.capacity.cpu} CPUs`,
);
for (const name of chosen) {
  say(`── ${name}`);
  try {
    await steps[name]();
  } catch (error) {
    check(name, false, error.message);
    const pods = await run("kubectl", ["--namespace", shop, "get", "pods", "--output", "wide"], { quiet: true });
    for (const line of (pods ?? "").trim().split("\n")) say(`       ${line}`);
    break;
  }
}
for (const line of [
  "that NetworkPolicies are enforced: a matter of the cluster's network; that their edges suffice is shown only where it does",
  "spread over zones, node drains and priorities: one node",
  "certificates by cert-manager, a Gateway's own controller, and a Prometheus operator at work: only that their objects are accepted",
  "a Temporal cluster, a MongoDB replica set and a Valkey with replicas: the demo runs one of each",
  "scaling by Temporal's backlog: it needs a metrics adapter",
])
  say(`Not shown here: ${line}.`);
say(failed === 0 ? "everything as promised" : `${failed} failed`);
writeFileSync(resolve(root, options.log), `${kept.join("\n")}\n`);
if (!options.keep) await cleanUp();
process.exit(failed === 0 ? 0 : 1);
