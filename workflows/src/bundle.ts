// Bundles the workflows' code ahead of time: `node workflows/dist/bundle.js` writes dist/workflow-bundle.js.
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { bundleWorkflowCode } from "@temporalio/worker";

export const bundlePath = fileURLToPath(new URL("../dist/workflow-bundle.js", import.meta.url));

/** From the sources beside this file: compiled ones in dist, TypeScript itself under a test. */
export async function bundleWorkflows(entry?: string): Promise<string> {
  const suffix = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const workflowsPath = entry ?? fileURLToPath(new URL(`workflows/index.${suffix}`, import.meta.url));
  const { code } = await bundleWorkflowCode({
    workflowsPath,
    workflowInterceptorModules: ["count-ends", "trace-calls"].map((name) =>
      fileURLToPath(new URL(`workflows/${name}.${suffix}`, import.meta.url)),
    ),
    logger: quiet,
    webpackConfigHook: (config) => ({
      ...config,
      resolve: {
        ...config.resolve,
        ...(suffix === "ts" && { conditionNames: ["onsale-source", "..."] }),
      },
    }),
  });
  return code;
}

/** Names a build by its workflows' code: two builds with equal code replay each other's histories. */
export const hashOf = (code: string): string => createHash("sha256").update(code).digest("hex").slice(0, 16);

const nothing = () => undefined;
const quiet = {
  log: nothing,
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: (message: string) => void process.stderr.write(`${message}\n`),
  error: (message: string) => void process.stderr.write(`${message}\n`),
};

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeFile(bundlePath, await bundleWorkflows());
