// An ingress controller just large enough for `npm run test:k8s` where the cluster has none: reads a namespace's Ingress objects from the
// Kubernetes API, and passes requests on by host and path prefix. Runs in a pod; a new connection for each request.
import { readFileSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

const { SHOP_NAMESPACE: namespace, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
const token = () => readFileSync("/var/run/secrets/kubernetes.io/serviceaccount/token", "utf8").trim();
let rules = [];

async function learn() {
  const path = `/apis/networking.k8s.io/v1/namespaces/${namespace}/ingresses`;
  const response = await fetch(`https://${host}:${port}${path}`, { headers: { authorization: `Bearer ${token()}` } });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  const { items } = await response.json();
  rules = items
    .flatMap(({ spec }) => spec.rules ?? [])
    .flatMap((rule) => rule.http.paths.map(({ path, backend }) => ({ host: rule.host, path, ...backend.service })))
    .sort((one, other) => other.path.length - one.path.length);
}

function backendOf({ headers, url = "/" }) {
  const asked = (headers.host ?? "").split(":")[0];
  const path = url.split("?")[0];
  return rules.find(
    (rule) => rule.host === asked && (path === rule.path || path.startsWith(`${rule.path.replace(/\/$/, "")}/`)),
  );
}

const server = createServer((incoming, answer) => {
  if (incoming.url === "/ingress-healthz") return answer.end("ok\n");
  const backend = backendOf(incoming);
  if (backend === undefined) return answer.writeHead(404).end("no Ingress has a rule for this\n");
  const onward = httpRequest(
    {
      host: `${backend.name}.${namespace}.svc.cluster.local`,
      port: 8080, // the chart's only named port, "http"
      method: incoming.method,
      path: incoming.url,
      headers: { ...incoming.headers, connection: "close", "x-forwarded-for": incoming.socket.remoteAddress },
      agent: false,
    },
    (response) => {
      answer.writeHead(response.statusCode, response.headers);
      response.pipe(answer);
    },
  );
  onward.on("error", (error) => {
    if (answer.headersSent) return answer.destroy();
    answer.writeHead(502, { "content-type": "text/plain" }).end(`bad gateway: ${error.code ?? error.message}\n`);
  });
  answer.on("close", () => onward.destroy());
  incoming.pipe(onward);
});
server.listen(8080, "0.0.0.0");
process.on("SIGTERM", () => process.exit(0));
for (;;) {
  await learn().catch((error) => process.stdout.write(`${error.message}\n`));
  await pause(rules.length > 0 ? 5_000 : 500);
}
