// Renders the chart for tests: helm, if it is here, and what it makes of values, as objects.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const chart = join(root, "charts/onsale");
export const kubeVersion = "1.34.4";
export const valuesFiles = ["values-demo.yaml", "values-small.yaml", "values-large.yaml"] as const;

const built = join(root, ".cache/go/bin/helm");
const onPath = spawnSync("helm", ["version"], { stdio: "ignore" }).status === 0;
/** The program, or undefined: then its tests are skipped, and say so. */
export const helm = existsSync(built) ? built : onPath ? "helm" : undefined;
export const withoutHelm = "there is no helm: node tools/kube/install-checks.mjs builds it, where there is Go";

// biome-ignore lint/suspicious/noExplicitAny: manifests of every kind; each test looks at what it knows
export type Manifest = any;

export interface Rendered {
  /** Empty when helm refused. */
  readonly manifests: readonly Manifest[];
  /** What helm said, when it refused. */
  readonly refusal: string;
}

/** `helm template` with a values file of the chart, if one is named, and settings on top. */
export function render(file: string | undefined, set: readonly string[] = [], more: readonly string[] = []): Rendered {
  const args = ["template", "onsale", chart, "--namespace", "shop", "--kube-version", kubeVersion];
  if (file) args.push("--values", join(chart, file));
  for (const one of set) args.push(one.startsWith("json:") ? "--set-json" : "--set", one.replace(/^json:/, ""));
  const { status, stdout, stderr } = spawnSync(helm ?? "helm", [...args, ...more], {
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) return { manifests: [], refusal: stderr };
  const manifests = parseAllDocuments(stdout).flatMap((document) => {
    if (document.errors.length > 0) throw new Error(`not YAML: ${document.errors[0]?.message}`);
    return document.toJS() ?? [];
  });
  return { manifests, refusal: "" };
}

export function lint(file: string): string {
  return execFileSync(
    helm ?? "helm",
    ["lint", "--strict", "--kube-version", kubeVersion, "-f", join(chart, file), chart],
    {
      encoding: "utf8",
      stdio: "pipe",
    },
  );
}

export const ofKind = (manifests: readonly Manifest[], ...kinds: string[]): Manifest[] =>
  manifests.filter(({ kind }) => kinds.includes(kind));

/** Everything that becomes a pod: its name, its spec and its labels. */
export function podsOf(
  manifests: readonly Manifest[],
): { name: string; kind: string; spec: Manifest; labels: Record<string, string> }[] {
  return manifests.flatMap((manifest) => {
    const { kind, metadata, spec } = manifest;
    if (kind === "Pod") return [{ name: metadata.name, kind, spec, labels: metadata.labels }];
    const template = kind === "CronJob" ? spec.jobTemplate.spec.template : spec?.template;
    if (!template?.spec?.containers) return [];
    return [{ name: metadata.name, kind, spec: template.spec, labels: template.metadata.labels }];
  });
}

/** Python packages that install-checks.mjs brought, or why there are none. */
export function chartTools(): { readonly python: string; readonly folder: string } | { readonly missing: string } {
  const folder = join(root, ".cache/py/charts");
  try {
    const { python } = JSON.parse(readFileSync(join(folder, "onsale.json"), "utf8")) as { python: string };
    return { python, folder };
  } catch {
    return { missing: "kubernetes-validate and hadolint are not installed: node tools/kube/install-checks.mjs" };
  }
}
