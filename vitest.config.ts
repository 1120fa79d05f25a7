import { defineConfig } from "vitest/config";

// Three kinds of test. unit: pure, beside the code. component (*.it.ts): one part against the real stores, which
// tools/backing starts on free ports. e2e: the whole stack.
const conditions = ["onsale-source", "module", "node", "development|production"];
const ofNode = conditions.filter((name) => name !== "module");
// What comes to pass on a busy machine comes late; vitest would wait for a second.
const expect = { poll: { timeout: 20_000, interval: 50 } };
const shared = {
  resolve: { conditions },
  // Node is told of these too, and shall load what it loads in production: builds for bundlers ("module") are not for it.
  ssr: { resolve: { conditions: ofNode, externalConditions: ofNode } },
};

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        ...shared,
        test: {
          name: "unit",
          sequence: { groupOrder: 0 },
          include: [
            "kit/src/**/*.test.ts",
            "services/*/src/**/*.test.ts",
            "services/*/web/**/*.test.{ts,tsx}",
            "workflows/src/**/*.test.ts",
            "tools/*/src/**/*.test.ts",
            "bench/rig/**/*.test.ts",
            "test/*.test.ts",
            "test/charts/*.test.ts",
          ],
          expect,
          // Some start a process; on a busy machine that takes its time.
          testTimeout: 30_000,
        },
      },
      {
        ...shared,
        test: {
          name: "component",
          // They wait for timeouts, deadlines and other processes more than they work.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
          include: [
            "services/*/test/**/*.it.ts",
            "workflows/test/**/*.it.ts",
            "tools/*/test/**/*.it.ts",
            "bench/test/**/*.it.ts",
          ],
          globalSetup: ["tools/backing/src/vitest-setup.ts"],
          expect,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        ...shared,
        test: {
          name: "e2e",
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
          include: ["test/e2e/**/*.it.ts", "test/browser/**/*.it.ts", "test/chaos/**/*.it.ts"],
          globalSetup: ["tools/backing/src/vitest-setup.ts"],
          expect,
          testTimeout: 240_000,
          hookTimeout: 240_000,
        },
      },
    ],
  },
});
