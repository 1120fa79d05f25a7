// The alerts, as Prometheus's own tool reads them; and that each is explained in the runbook.
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, vi } from "vitest";
import { stringify } from "yaml";
import { helm, ofKind, render, root, withoutHelm } from "./chart.js";

// helm and its like are programs of their own, which may have to wait for a busy machine.
vi.setConfig({ testTimeout: 60_000 });

interface Rule {
  readonly alert?: string;
  readonly annotations?: { readonly summary: string; readonly runbook_url: string };
  readonly labels?: { readonly severity?: string };
}
const spec: { groups: { rules: Rule[] }[] } | undefined = helm
  ? ofKind(render("values-large.yaml").manifests, "PrometheusRule")[0].spec
  : undefined;
const alerts = spec?.groups.flatMap(({ rules }) => rules.filter(({ alert }) => alert !== undefined)) ?? [];
const names = [...new Set(alerts.map(({ alert }) => alert ?? ""))].sort();

const hasPromtool = spawnSync("promtool", ["--version"]).status === 0;
const missing = !helm
  ? withoutHelm
  : hasPromtool
    ? undefined
    : "there is no promtool on PATH: node tools/kube/install-checks.mjs brings it where there is apt";

const folder = mkdtempSync(join(tmpdir(), "onsale-alerts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(missing)(`the alerts${missing ? ` (skipped: ${missing})` : ""}`, () => {
  const promtool = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync("promtool", args, { cwd: folder, encoding: "utf8" });
    expect(status, stdout + stderr).toBe(0);
  };

  it("fire when they should, and not when they should not", () => {
    writeFileSync(join(folder, "rules.yaml"), stringify(spec));
    copyFileSync(join(root, "test/charts/alerts.promtool.yaml"), join(folder, "alerts.promtool.yaml"));
    promtool("check", "rules", "rules.yaml");
    promtool("test", "rules", "alerts.promtool.yaml");
  });
});

describe.skipIf(!helm)(`the runbook${helm ? "" : ` (skipped: ${withoutHelm})`}`, () => {
  const text = readFileSync(join(root, "docs/RUNBOOK.md"), "utf8");
  const sections = new Map(
    text
      .split(/^### /m)
      .slice(1)
      .map((section) => [/^\w+/.exec(section)?.[0] ?? "", section.split(/^##? /m)[0] ?? ""]),
  );

  it("has a section for each alert, and none for an alert that is not there", () => {
    expect(names.length).toBeGreaterThan(15);
    expect([...sections.keys()].filter((name) => name.startsWith("Onsale")).sort()).toEqual(names);
  });

  it.each(names)("%s: what it means, where to look, what to do, and when it is over", (name) => {
    const section = sections.get(name) ?? "";
    for (const part of ["**Means.**", "**Look.**", "**Do.**", "**Over**"]) expect(section, part).toContain(part);
  });

  it("is where each alert's annotation points", () => {
    for (const { alert = "", annotations, labels } of alerts) {
      expect(annotations?.runbook_url).toBe(`docs/RUNBOOK.md#${alert.toLowerCase()}`);
      expect(annotations?.summary).toMatch(/\S.*\.$/);
      expect(["page", "ticket"]).toContain(labels?.severity);
    }
  });
});
