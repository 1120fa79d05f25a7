// What the chart makes of its values files: valid for Kubernetes, hardened, wired exactly as the services call each other.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { accountSettings } from "@onsale/account/config";
import { codecSettings } from "@onsale/codec/config";
import { gatewaySettings } from "@onsale/gateway/config";
import { inventorySettings } from "@onsale/inventory/config";
import { processSettings, readConfig } from "@onsale/kit/config";
import { readRedisUrl } from "@onsale/kit/redis-url";
import { paymentSettings } from "@onsale/payment/config";
import { storefrontSettings } from "@onsale/storefront/config";
import { ticketSettings } from "@onsale/ticket/config";
import { workerSettings } from "@onsale/workflows/config";
import { describe, expect, it, vi } from "vitest";
import { parseAllDocuments } from "yaml";
import type { z } from "zod";
import {
  chart,
  chartTools,
  helm,
  lint,
  type Manifest,
  ofKind,
  podsOf,
  type Rendered,
  render,
  root,
  valuesFiles,
  withoutHelm,
} from "./chart.js";

// helm and its like are programs of their own, which may have to wait for a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const cached = new Map<string, Rendered>();
/** Rendered once: each costs a second. */
function rendered(file: string): readonly Manifest[] {
  const found = cached.get(file) ?? render(file);
  cached.set(file, found);
  expect(found.refusal).toBe("");
  return found.manifests;
}
const serviceNames = ["account", "codec", "gateway", "inventory", "payment", "storefront", "ticket", "worker"];
const component = (manifest: Manifest): string => manifest.metadata.labels["app.kubernetes.io/component"];

const settingsOf = (manifests: readonly Manifest[], name: string) =>
  ofKind(manifests, "ConfigMap").find((one) => component(one) === name).data;

describe.skipIf(!helm)(`the chart's manifests${helm ? "" : ` (skipped: ${withoutHelm})`}`, () => {
  it.each(valuesFiles)("%s passes helm lint", (file) => {
    expect(lint(file)).toContain("0 chart(s) failed");
  });

  it.each(valuesFiles)("%s has a unique, short enough name for everything", (file) => {
    const names = rendered(file).map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
    expect(names.filter((name) => (name.split("/")[1] ?? "").length > 63)).toEqual([]);
  });

  it("runs every service with all that belongs to it", () => {
    const manifests = rendered("values-small.yaml");
    for (const kind of [
      "Deployment",
      "Service",
      "HorizontalPodAutoscaler",
      "PodDisruptionBudget",
      "ServiceAccount",
      "ConfigMap",
    ])
      for (const name of serviceNames)
        if (kind !== "HorizontalPodAutoscaler" || name !== "codec")
          expect(ofKind(manifests, kind).map(component), `${kind} of ${name}`).toContain(name);
    for (const deployment of ofKind(manifests, "Deployment")) {
      const { spec, metadata } = deployment;
      expect(spec.replicas, `${metadata.name}: its autoscaler decides`).toBe(
        component(deployment) === "codec" ? 1 : undefined,
      );
      expect(spec.strategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 });
    }
  });

  it("leaves the number of pods to an autoscaler where null takes back what a values file says", () => {
    const { manifests, refusal } = render("values-demo.yaml", [
      "services.gateway.replicas=null",
      "services.gateway.autoscaling.enabled=true",
      "services.gateway.autoscaling.min=1",
    ]);
    expect(refusal).toBe("");
    const gateway = ofKind(manifests, "Deployment").find((one) => component(one) === "gateway");
    expect(gateway.spec.replicas).toBeUndefined();
    expect(ofKind(manifests, "HorizontalPodAutoscaler").map(component)).toEqual(["gateway"]);
  });

  it("runs nothing but its services and Jobs where the dependencies are given by address", () => {
    expect(ofKind(rendered("values-small.yaml"), "StatefulSet", "Secret", "PersistentVolumeClaim")).toEqual([]);
    expect(ofKind(rendered("values-demo.yaml"), "StatefulSet").map(component).sort()).toEqual([
      "mongodb",
      "stripe-sim",
      "temporal",
      "valkey",
    ]);
  });

  it.each(valuesFiles)("%s asks of each pod what the restricted Pod Security Standard does, and more", (file) => {
    const pods = podsOf(rendered(file));
    expect(pods.length).toBeGreaterThan(8);
    for (const { name, spec } of pods) {
      expect(spec.securityContext, name).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: "RuntimeDefault" },
      });
      expect(spec.securityContext.runAsUser, name).toBeGreaterThan(0);
      for (const forbidden of ["hostNetwork", "hostPID", "hostIPC"]) expect(spec[forbidden], name).toBeUndefined();
      expect(spec.enableServiceLinks, name).toBe(false);
      for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
        expect(container.securityContext, `${name}/${container.name}`).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        });
        expect(container.resources.limits.memory, `${name}/${container.name}`).toBeTruthy();
        expect(container.resources.requests.cpu, `${name}/${container.name}`).toBeTruthy();
      }
      for (const volume of spec.volumes ?? [])
        expect(
          Object.keys(volume).filter((key) => !["name", "emptyDir", "secret"].includes(key)),
          name,
        ).toEqual([]);
    }
  });

  it.each(valuesFiles)("%s gives a token to the Jobs that use the Kubernetes API, and to nothing else", (file) => {
    const withToken = podsOf(rendered(file)).filter(({ spec }) => spec.automountServiceAccountToken !== false);
    for (const { labels, name } of withToken)
      expect(["certificates", "on-sale"], name).toContain(labels["app.kubernetes.io/component"]);
    for (const account of ofKind(rendered(file), "ServiceAccount"))
      expect(account.automountServiceAccountToken).toBe(false);
  });

  it.each(valuesFiles)("%s lets pods drain within the time that they have", (file) => {
    for (const { spec, metadata } of ofKind(rendered(file), "Deployment")) {
      const pod = spec.template.spec;
      const env = ofKind(rendered(file), "ConfigMap").find((map) => map.metadata.name === metadata.name).data;
      const before = Number(pod.containers[0].lifecycle?.preStop?.sleep?.seconds ?? env.DRAIN_SECONDS ?? 0);
      expect(before + Number(env.SHUTDOWN_GRACE_SECONDS), metadata.name).toBeLessThan(
        pod.terminationGracePeriodSeconds,
      );
      expect(pod.containers[0].lifecycle?.preStop, metadata.name).toBeDefined();
      for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"])
        expect(pod.containers[0][probe], `${metadata.name} ${probe}`).toBeDefined();
    }
  });

  it.each(valuesFiles)(
    "%s rolls the worker only after pods that have stood for a while, and never drains one that hangs",
    (file) => {
      for (const deployment of ofKind(rendered(file), "Deployment")) {
        const [container] = deployment.spec.template.spec.containers;
        const isWorker = component(deployment) === "worker";
        const { WORKER_STEADY_SECONDS: steady } = settingsOf(rendered(file), component(deployment));
        expect(deployment.spec.minReadySeconds?.toString(), component(deployment)).toBe(steady);
        expect(steady === undefined, component(deployment)).toBe(!isWorker);
        const grace = container.livenessProbe.terminationGracePeriodSeconds;
        if (isWorker) expect(grace).toBeLessThan(deployment.spec.template.spec.terminationGracePeriodSeconds);
        else expect(grace, component(deployment)).toBeUndefined();
        if (isWorker) expect(container.env.map(({ name }: { name: string }) => name)).toContain("POD_NAME");
      }
      const unversioned = render(file, ["workerVersioning.enabled=false"]).manifests;
      const [worker] = ofKind(unversioned, "Deployment").filter((one) => component(one) === "worker");
      expect(worker.spec.minReadySeconds).toBeUndefined();
      expect(worker.spec.template.spec.containers[0].livenessProbe.terminationGracePeriodSeconds).toBeUndefined();
    },
  );

  it("asks gRPC services for their health in their own protocol", () => {
    for (const deployment of ofKind(rendered("values-small.yaml"), "Deployment")) {
      const [container] = deployment.spec.template.spec.containers;
      const isGrpc = ["account", "inventory", "payment", "ticket"].includes(component(deployment));
      expect(container.readinessProbe.grpc?.port, component(deployment)).toBe(isGrpc ? 7001 : undefined);
    }
  });

  it.each(valuesFiles)("%s gives each service settings that it understands, and all that it needs", (file) => {
    const shapes: Record<string, z.ZodRawShape> = {
      account: accountSettings,
      gateway: gatewaySettings,
      inventory: inventorySettings,
      payment: paymentSettings,
      ticket: ticketSettings,
      worker: workerSettings,
      storefront: storefrontSettings,
      codec: codecSettings,
    };
    // Read by the worker's preStop (tools/kube/jobs/drain-worker.mjs), not by the worker; and by the tracing library itself.
    const notItsOwn = ["DRAIN_SECONDS", "SETTLE_SECONDS", "UNREACHABLE_SECONDS", "POD_NAME"];
    const ofTracing = /^OTEL_(EXPORTER_OTLP_ENDPOINT|EXPORTER_OTLP_HEADERS|TRACES_SAMPLER_ARG)$/;
    for (const deployment of ofKind(rendered(file), "Deployment")) {
      const name = component(deployment);
      const shape = { ...processSettings, ...shapes[name] };
      const data = ofKind(rendered(file), "ConfigMap").find((map) => map.metadata.name === `onsale-${name}`).data;
      const env: Record<string, string> = { ...data };
      for (const { name: variable, valueFrom } of deployment.spec.template.spec.containers[0].env)
        if (!valueFrom.secretKeyRef?.optional) env[variable] = stand(variable);
      const unknown = Object.keys(env).filter(
        (variable) => !(variable in shape) && !notItsOwn.includes(variable) && !ofTracing.test(variable),
      );
      expect(unknown, name).toEqual([]);
      expect(() => readConfig(shape, env), name).not.toThrow();
      if (name !== "storefront")
        expect(env["GRPC_SHARED_SECRET"] ?? env["GRPC_TLS_CA"], `${name} trusts anyone`).toBeTruthy();
    }
  });

  it("keeps every secret out of what it renders, the demo's public ones aside", () => {
    for (const file of ["values-small.yaml", "values-large.yaml"]) {
      const secretNames = /SECRET|PASSWORD|MONGODB_URI|REDIS_URL|STRIPE_SECRET_KEY/;
      for (const { metadata, data } of ofKind(rendered(file), "ConfigMap"))
        expect(
          Object.keys(data).filter((key) => secretNames.test(key)),
          metadata.name,
        ).toEqual([]);
      for (const { name, spec } of podsOf(rendered(file)))
        for (const container of [...spec.containers, ...(spec.initContainers ?? [])])
          for (const entry of container.env ?? [])
            if (secretNames.test(entry.name)) expect(entry.value, `${name} ${entry.name}`).toBeUndefined();
    }
  });

  it("gives each service its own secrets only", () => {
    const keysOf = (name: string) =>
      ofKind(rendered("values-small.yaml"), "Deployment")
        .find((one) => component(one) === name)
        .spec.template.spec.containers[0].env.flatMap((entry: Manifest) => entry.valueFrom?.secretKeyRef?.key ?? [])
        .sort();
    expect(keysOf("gateway")).toEqual([
      "grpc-shared-secret",
      "idempotency-secret",
      "payload-encryption-keys",
      "redis-url",
    ]);
    expect(keysOf("storefront")).toEqual([]);
    expect(keysOf("codec")).toEqual(["grpc-shared-secret", "payload-encryption-keys"]);
    expect(keysOf("inventory")).toEqual(["access-code-secret", "grpc-shared-secret", "mongodb-uri", "redis-url"]);
    expect(keysOf("ticket")).toEqual([
      "grpc-shared-secret",
      "mongodb-uri",
      "ticket-key-secret",
      "ticket-key-secret-previous",
    ]);
    expect(keysOf("worker")).toEqual(["grpc-shared-secret", "payload-encryption-keys"]);
    expect(keysOf("payment")).toEqual([
      "grpc-shared-secret",
      "mongodb-uri",
      "redis-url",
      "stripe-secret-key",
      "stripe-webhook-secret",
    ]);
  });

  it("rolls the pods of a service whose settings change, and of no other", () => {
    const sums = (manifests: readonly Manifest[]) =>
      Object.fromEntries(
        ofKind(manifests, "Deployment").map((one) => [
          component(one),
          JSON.stringify(one.spec.template.metadata.annotations),
        ]),
      );
    const before = sums(rendered("values-small.yaml"));
    const after = sums(render("values-small.yaml", ["services.inventory.config.HOLD_TTL_SECONDS=240"]).manifests);
    expect(Object.keys(before).filter((name) => before[name] !== after[name])).toEqual(["inventory"]);
    const renewed = sums(render("values-small.yaml", ["secrets.generation=2"]).manifests);
    expect(
      Object.keys(before)
        .filter((name) => before[name] !== renewed[name])
        .sort(),
    ).toEqual(serviceNames);
  });

  it("trusts authorities of one's own where a Secret has them", () => {
    const { manifests, refusal } = render("values-small.yaml", ["pods.caSecret=our-authorities"]);
    expect(refusal).toBe("");
    const told = podsOf(manifests).filter(({ spec }) =>
      spec.containers[0].env.some(({ value }: Manifest) => value === "/authorities/ca.crt"),
    );
    expect(told.map(({ name }) => name).sort()).toEqual(
      [...serviceNames, "migrate-mongodb", "migrate-temporal"].map((name) => `onsale-${name}`).sort(),
    );
    for (const { spec, name } of told)
      expect(spec.volumes, name).toContainEqual({
        name: "authorities",
        secret: { secretName: "our-authorities", defaultMode: 288 },
      });
  });

  it("takes images only from those that tools/kube/images.mjs builds", async () => {
    const { serviceNames: built } = (await import(new URL("../../tools/kube/images.mjs", import.meta.url).href)) as {
      serviceNames(): string[];
    };
    const known = new Set([...built(), "temporal", "valkey", "mongodb"].map((name) => `onsale/${name}:0.1.0`));
    for (const file of valuesFiles)
      for (const { name, spec } of podsOf(rendered(file)))
        for (const { image } of [...spec.containers, ...(spec.initContainers ?? [])])
          expect(known.has(image), `${name}: ${image}`).toBe(true);
  });
});

describe.skipIf(!helm)("who may talk to whom", () => {
  /** "caller → callee:port" of every ingress rule that names pods of ours. */
  function edges(file: string): string[] {
    return ofKind(rendered(file), "NetworkPolicy").flatMap(({ spec }) =>
      (spec.ingress ?? []).flatMap((rule: Manifest) =>
        rule.from.flatMap((peer: Manifest) => {
          const caller = peer.podSelector?.matchLabels["app.kubernetes.io/component"] ?? "outside";
          return rule.ports.map(
            ({ port }: Manifest) =>
              `${caller} → ${spec.podSelector.matchLabels["app.kubernetes.io/component"]}:${port}`,
          );
        }),
      ),
    );
  }

  it("denies everything that no policy allows", () => {
    for (const file of valuesFiles) {
      const policies = ofKind(rendered(file), "NetworkPolicy");
      const deny = policies.find(({ metadata }) => metadata.name === "onsale-default-deny");
      expect(deny.spec).toMatchObject({ policyTypes: ["Ingress", "Egress"] });
      expect(deny.spec.podSelector.matchLabels["app.kubernetes.io/component"]).toBeUndefined();
      expect([deny.spec.ingress, deny.spec.egress]).toEqual([undefined, undefined]);
      // A rule without peers would let everyone in.
      for (const { metadata, spec } of policies)
        for (const rule of spec.ingress ?? []) expect(rule.from?.length, metadata.name).toBeGreaterThan(0);
    }
  });

  it("lets callers in as the services call each other, and nobody else", () => {
    expect(edges("values-demo.yaml").sort()).toEqual(
      [
        "outside → gateway:8080",
        "outside → storefront:8080",
        "storefront → gateway:8080",
        "test → storefront:8080",
        "codec → account:7000",
        "test → gateway:8080",
        "warm-up → gateway:8080",
        "stripe-sim → gateway:8080",
        "gateway → account:7000",
        "gateway → inventory:7000",
        "gateway → payment:7000",
        "gateway → ticket:7000",
        "worker → inventory:7000",
        "worker → payment:7000",
        "worker → ticket:7000",
        "gateway → temporal:7233",
        "worker → temporal:7233",
        "migrate-temporal → temporal:7233",
        "account → mongodb:27017",
        "inventory → mongodb:27017",
        "payment → mongodb:27017",
        "ticket → mongodb:27017",
        "migrate-mongodb → mongodb:27017",
        "gateway → valkey:6379",
        "account → valkey:6379",
        "inventory → valkey:6379",
        "payment → valkey:6379",
        "payment → stripe-sim:12111",
      ].sort(),
    );
  });

  it.each(valuesFiles)("%s has for each way in the way out at the other end", (file) => {
    const policies = ofKind(rendered(file), "NetworkPolicy");
    for (const edge of edges(file)) {
      const [caller, callee = ""] = edge.split(" → ");
      if (caller === "outside") continue;
      const [name, port] = callee.split(":");
      const out = policies
        .filter(({ spec }) => spec.podSelector.matchLabels["app.kubernetes.io/component"] === caller)
        .flatMap(({ spec }) => spec.egress ?? [])
        .some(
          (rule: Manifest) =>
            rule.ports.some((one: Manifest) => one.port === Number(port)) &&
            rule.to?.some((peer: Manifest) => peer.podSelector?.matchLabels["app.kubernetes.io/component"] === name),
        );
      expect(out, edge).toBe(true);
    }
  });
});

describe.skipIf(!helm)("the ways in", () => {
  it("lead to every route of the API, and to nothing that is for operators", () => {
    const { paths } = JSON.parse(readFileSync(join(root, "services/gateway/openapi.json"), "utf8")) as {
      paths: object;
    };
    const [ingress] = ofKind(rendered("values-small.yaml"), "Ingress");
    const forOperators = ["/healthz", "/readyz", "/metrics"];
    // What is nobody else's is a page: the gateway's own ways for operators are not behind it.
    const toGateway = ingress.spec.rules[0].http.paths.filter(
      ({ backend }: Manifest) => backend.service.name === "onsale-gateway",
    );
    const isGateways = (path: string) =>
      toGateway.some(({ path: prefix }: Manifest) => path === prefix || path.startsWith(`${prefix}/`));
    expect(Object.keys(paths).filter((path) => !isGateways(path) && !forOperators.includes(path))).toEqual([]);
    expect(forOperators.filter(isGateways)).toEqual([]);
    expect(ingress.spec.rules[0].http.paths.at(-1)).toMatchObject({
      path: "/",
      backend: { service: { name: "onsale-storefront" } },
    });
  });

  it("keep a stream open for an hour, unbuffered", () => {
    const [ingress] = ofKind(rendered("values-small.yaml"), "Ingress");
    expect(ingress.metadata.annotations).toMatchObject({
      "nginx.ingress.kubernetes.io/proxy-buffering": "off",
      "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
    });
    const [route] = ofKind(rendered("values-large.yaml"), "HTTPRoute");
    for (const rule of route.spec.rules) expect(rule.timeouts.request).toBe("0s");
  });

  it("give the codec server a host of its own", () => {
    const [ingress] = ofKind(rendered("values-small.yaml"), "Ingress");
    expect(ingress.spec.rules.map(({ host }: Manifest) => host)).toEqual(["tickets.example.com", "codec.example.com"]);
    expect(ingress.spec.tls[0].hosts).toEqual(["tickets.example.com", "codec.example.com"]);
    const routes = ofKind(rendered("values-large.yaml"), "HTTPRoute");
    expect(routes.map(({ spec }) => spec.hostnames)).toEqual([["tickets.example.com"], ["codec.example.com"]]);
  });
});

describe.skipIf(!helm)("before and after", () => {
  it("scales before a known on-sale, in UTC, and back after it", () => {
    const jobs = ofKind(rendered("values-large.yaml"), "CronJob");
    expect(jobs.map(({ spec }) => [spec.schedule, spec.timeZone])).toEqual([
      ["30 08 1 3 *", "Etc/UTC"],
      ["30 10 1 3 *", "Etc/UTC"],
    ]);
    const bounds = jobs.map(({ spec }) => {
      const env = spec.jobTemplate.spec.template.spec.containers[0].env;
      return JSON.parse(env.find(({ name }: Manifest) => name === "LOWER_BOUNDS").value);
    });
    expect(bounds[0]).toMatchObject({ "onsale-gateway": 28, "onsale-worker": 12 });
    expect(bounds[1]).toMatchObject({ "onsale-gateway": 4, "onsale-worker": 4 });
  });

  it("migrates before new pods start; in a demo, once its stores are there", () => {
    const hook = (file: string) =>
      ofKind(rendered(file), "Job")
        .filter(({ metadata }) => /migrate/.test(metadata.name))
        .map(({ metadata }) => metadata.annotations["helm.sh/hook"]);
    expect(hook("values-small.yaml")).toEqual(["pre-install,pre-upgrade", "pre-install,pre-upgrade"]);
    expect(hook("values-demo.yaml")).toEqual(["post-install,pre-upgrade", "post-install,pre-upgrade"]);
  });

  it("asks cert-manager for certificates where the cluster has it, and makes them by a Job elsewhere", () => {
    expect(ofKind(rendered("values-small.yaml"), "Certificate")).toEqual([]);
    expect(ofKind(rendered("values-small.yaml"), "Job").map(component)).toContain("certificates");
    const { manifests } = render("values-small.yaml", [], ["--api-versions", "cert-manager.io/v1"]);
    expect(ofKind(manifests, "Job").map(component)).not.toContain("certificates");
    const names = ofKind(manifests, "Certificate").map(({ spec }) => spec.secretName);
    for (const name of serviceNames.filter((one) => one !== "storefront"))
      expect(names).toContain(`onsale-${name}-tls`);
  });
});

describe.skipIf(!helm)("the ways to dependencies", () => {
  it("to Temporal go by TLS, with a certificate or a key, from all that speak to it", () => {
    const { manifests, refusal } = render("values-small.yaml", [
      "dependencies.temporal.tls.enabled=true",
      "dependencies.temporal.tls.serverName=frontend.temporal",
      "dependencies.temporal.tls.caSecret=temporal-ca",
      "dependencies.temporal.tls.clientSecret=temporal-client",
      "dependencies.temporal.apiKey=true",
    ]);
    expect(refusal).toBe("");
    const speakers = podsOf(manifests).filter(({ spec }) =>
      spec.volumes?.some(({ name }: Manifest) => name === "trusted-temporal"),
    );
    expect(speakers.map(({ labels }) => labels["app.kubernetes.io/component"]).sort()).toEqual([
      "gateway",
      "migrate-temporal",
      "worker",
    ]);
    const wanted = {
      TEMPORAL_TLS: "true",
      TEMPORAL_TLS_SERVER_NAME: "frontend.temporal",
      TEMPORAL_TLS_CA: "/trusted/temporal/ca.crt",
      TEMPORAL_TLS_CERT: "/trusted/temporal-client/tls.crt",
      TEMPORAL_TLS_KEY: "/trusted/temporal-client/tls.key",
    };
    for (const { spec, name, labels } of speakers) {
      const [container] = spec.containers;
      const env = Object.fromEntries(container.env.map((one: Manifest) => [one.name, one.value]));
      const part = labels["app.kubernetes.io/component"] ?? "";
      expect(part === "migrate-temporal" ? env : settingsOf(manifests, part), name).toMatchObject(wanted);
      expect(Object.keys(env), name).toContain("TEMPORAL_API_KEY");
      const mounts = container.volumeMounts.map(({ mountPath }: Manifest) => mountPath);
      expect(mounts, name).toEqual(expect.arrayContaining(["/trusted/temporal", "/trusted/temporal-client"]));
    }
  });

  it("to Valkey go to a cluster, and trust an authority of one's own", () => {
    const { manifests, refusal } = render("values-small.yaml", [
      "dependencies.valkey.url=rediss://a:6379\\,b:6379\\,c:6379",
      "dependencies.valkey.caSecret=valkey-ca",
    ]);
    expect(refusal).toBe("");
    for (const name of ["account", "gateway", "inventory", "payment"])
      expect(settingsOf(manifests, name), name).toMatchObject({
        REDIS_URL: "rediss://a:6379,b:6379,c:6379",
        REDIS_TLS_CA: "/trusted/valkey/ca.crt",
      });
    expect(settingsOf(manifests, "ticket").REDIS_TLS_CA).toBeUndefined();
    expect(readRedisUrl("rediss://a:6379,b:6379,c:6379")).toMatchObject({ isCluster: true, tls: true });
  });

  it("to a collector of traces lead from every process that tells of itself, if there is one", () => {
    const asked = (file: string) =>
      ofKind(rendered(file), "NetworkPolicy")
        .filter(({ spec }) =>
          spec.egress?.some((rule: Manifest) => rule.ports.some(({ port }: Manifest) => port === 4318)),
        )
        .map(component)
        .sort();
    expect(asked("values-large.yaml")).toEqual(serviceNames.filter((name) => name !== "storefront"));
    expect(asked("values-small.yaml")).toEqual([]);
    expect(settingsOf(rendered("values-large.yaml"), "worker")).toMatchObject({
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector.monitoring:4318",
      OTEL_TRACES_SAMPLER_ARG: "0.01",
    });
  });

  it("show pages where the shop, the card form and the Web UI are", () => {
    expect(settingsOf(rendered("values-small.yaml"), "gateway")).toMatchObject({
      PUBLIC_URL: "https://tickets.example.com",
      STOREFRONT_URL: "https://tickets.example.com",
      TEMPORAL_UI_URL: "https://temporal.example.com",
    });
    expect(settingsOf(rendered("values-small.yaml"), "storefront")).toMatchObject({
      STRIPE_PUBLISHABLE_KEY: "pk_test_yourOwn",
      TEMPORAL_UI_URL: "https://temporal.example.com",
    });
    expect(settingsOf(rendered("values-small.yaml"), "codec").CODEC_ORIGINS).toBe("https://temporal.example.com");
    expect(settingsOf(rendered("values-demo.yaml"), "storefront")).toMatchObject({
      GATEWAY_URL: "http://onsale-gateway:8080",
      CARD_PAGE_URL: "http://127.0.0.1:12111/card",
    });
  });
});

describe("alerts and dashboards", () => {
  it("know how often orphans are searched for, as the worker does", () => {
    const stalled = (every: string) => {
      const more = [`services.worker.config.ORPHANS_EVERY_SECONDS=${every}`];
      const { manifests } = render("values-large.yaml", more);
      expect(settingsOf(manifests, "worker")).toMatchObject({
        ORPHANS_EVERY_SECONDS: every,
        ORPHANS_AFTER_SECONDS: "900",
      });
      const [rules] = ofKind(manifests, "PrometheusRule");
      return rules.spec.groups
        .flatMap((group: Manifest) => group.rules)
        .find(({ alert }: Manifest) => alert === "OnsaleOrphansStalled")?.expr;
    };
    expect(stalled("300")).toContain("[1800s]");
    expect(stalled("3600")).toContain("[21600s]");
    expect(stalled("0")).toBeUndefined();
  });

  it("ask for metrics that the code has", () => {
    const code = ["kit/src", "services", "workflows/src"]
      .flatMap((folder) => sources(join(root, folder)))
      .map((file) => readFileSync(file, "utf8"))
      .join("\n");
    const files = [
      join(chart, "files/alerts.yaml"),
      ...readdirSync(join(chart, "files/dashboards")).map((name) => join(chart, "files/dashboards", name)),
    ];
    const asked = new Set(files.flatMap((file) => readFileSync(file, "utf8").match(/\bonsale_[a-z_]+/g) ?? []));
    expect(asked.size).toBeGreaterThan(8);
    const missing = [...asked].filter((name) => !code.includes(`"${name.replace(/_(bucket|count|sum)$/, "")}"`));
    expect(missing).toEqual([]);
  });
});

const tools = chartTools();
/** Kinds that Kubernetes itself does not know. */
const foreign = ["Certificate", "Issuer", "HTTPRoute", "ServiceMonitor", "PrometheusRule"];
describe.skipIf(!helm || "missing" in tools)(
  `against Kubernetes' own schemas${"missing" in tools ? ` (skipped: ${tools.missing})` : ""}`,
  () => {
    it("every manifest of every values file is valid, for the oldest and the newest version", {
      timeout: 120_000,
    }, () => {
      if ("missing" in tools) throw new Error(tools.missing);
      const program = `
import json, sys, kubernetes_validate
manifests, wrong = json.load(sys.stdin), []
for version in ("1.30", "1.37"):
    for manifest in manifests:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = "/".join(str(part) for part in error.path)
            wrong.append("%s %s for %s: %s: %s" % (manifest["kind"], manifest["metadata"]["name"], version, where, error.message[:300]))
print(json.dumps(wrong))
`;
      const cluster = readdirSync(join(root, "k8s"))
        .filter((name) => name.endsWith(".yaml") && name !== "metrics-adapter.yaml") // values of another chart
        .flatMap((name) => parseAllDocuments(readFileSync(join(root, "k8s", name), "utf8")).map((one) => one.toJS()));
      // Most are the same in all of them: each once.
      const texts = new Set([...valuesFiles.flatMap(rendered), ...cluster].map((manifest) => JSON.stringify(manifest)));
      const manifests = [...texts]
        .map((text) => JSON.parse(text) as Manifest)
        .filter(({ kind }) => !foreign.includes(kind));
      expect(manifests.length).toBeGreaterThan(80);
      const { status, stdout, stderr } = spawnSync(tools.python, ["-c", program], {
        input: JSON.stringify(manifests),
        env: { ...process.env, PYTHONPATH: tools.folder },
        encoding: "utf8",
      });
      expect(status, stderr).toBe(0);
      expect(JSON.parse(stdout)).toEqual([]);
    });
  },
);

const crds = join(root, ".cache/kube/crds");
const withoutCrds = existsSync(join(crds, "onsale.json"))
  ? undefined
  : "the CustomResourceDefinitions are not there: node tools/kube/install-checks.mjs fetches them, where there is Go";
describe.skipIf(!helm || "missing" in tools || withoutCrds)(
  `against the schemas of others${withoutCrds ? ` (skipped: ${withoutCrds})` : ""}`,
  () => {
    it("Certificates, Issuers, HTTPRoutes, ServiceMonitors and PrometheusRules are valid", { timeout: 60_000 }, () => {
      if ("missing" in tools) throw new Error(tools.missing);
      const program = `
import glob, json, sys, yaml
from jsonschema import Draft202012Validator

def closed(schema):
    """As the API server reads it, unknown fields refused: a field that it would drop is a mistake of ours."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
        schema["type"] = ["integer", "string"]
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    return schema

kinds, wrong, checked = {}, [], {}
for path in glob.glob(sys.argv[1] + "/*.yaml"):
    for crd in yaml.safe_load_all(open(path)):
        if crd and crd["kind"] == "CustomResourceDefinition":
            for version in crd["spec"]["versions"]:
                schema = version["schema"]["openAPIV3Schema"]
                schema["properties"]["metadata"] = {"type": "object", "additionalProperties": True}
                kinds[(crd["spec"]["group"] + "/" + version["name"], crd["spec"]["names"]["kind"])] = Draft202012Validator(closed(schema))
for manifest in json.load(sys.stdin):
    name = "%s %s" % (manifest["kind"], manifest["metadata"]["name"])
    validator = kinds.get((manifest["apiVersion"], manifest["kind"]))
    if validator is None:
        wrong.append("%s: no schema for %s" % (name, manifest["apiVersion"]))
        continue
    checked[manifest["kind"]] = checked.get(manifest["kind"], 0) + 1
    for error in validator.iter_errors(manifest):
        wrong.append("%s: %s: %s" % (name, "/".join(str(part) for part in error.path), error.message[:300]))
print(json.dumps({"wrong": wrong, "checked": checked}))
`;
      const { manifests, refusal } = render("values-large.yaml", [], ["--api-versions", "cert-manager.io/v1"]);
      expect(refusal).toBe("");
      const validate = (some: readonly Manifest[]) => {
        const { status, stdout, stderr } = spawnSync(tools.python, ["-c", program, crds], {
          input: JSON.stringify(some),
          env: { ...process.env, PYTHONPATH: tools.folder },
          encoding: "utf8",
        });
        expect(status, stderr).toBe(0);
        return JSON.parse(stdout) as { wrong: string[]; checked: Record<string, number> };
      };
      const theirs = ofKind(manifests, ...foreign);
      const { wrong, checked } = validate(theirs);
      expect(wrong).toEqual([]);
      expect(Object.keys(checked).sort()).toEqual([...foreign].sort());
      // It does refuse: a word that the operator does not know, and a number where a text is due.
      const [monitor] = ofKind(theirs, "ServiceMonitor");
      const broken = structuredClone(monitor);
      broken.spec.endpoints[0].honourLabels = true;
      broken.spec.endpoints[1].interval = 15;
      expect(validate([broken]).wrong).toHaveLength(2);
    });
  },
);

/** A value of the right shape for a setting that comes from a Secret. */
function stand(variable: string): string {
  if (variable === "MONGODB_URI") return "mongodb://db:27017";
  if (variable === "REDIS_URL") return "redis://cache:6379";
  if (variable === "PAYLOAD_ENCRYPTION_KEYS") return `first:${Buffer.alloc(32, 1).toString("base64")}`;
  return "x".repeat(40);
}

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.ts$/.test(entry.name) && !/node_modules|dist/.test(entry.parentPath))
    .map((entry) => join(entry.parentPath, entry.name));
}
