// vitest's globalSetup: one throw-away backing for the whole run, whichever of its projects asks.
import type {} from "vitest";
import type { TestProject } from "vitest/node";
import { type Backing, startBacking } from "./backing.js";

export interface ProvidedBacking {
  readonly redisUrl: string;
  readonly mongodbUri: string;
  readonly temporalAddress: string;
}

declare module "vitest" {
  export interface ProvidedContext {
    backing: ProvidedBacking;
  }
}

// Each project loads this file afresh, in the same process: what they share can't be a variable of the module.
const shared = globalThis as typeof globalThis & { onsaleBacking?: { users: number; backing: Promise<Backing> } };

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  shared.onsaleBacking ??= { users: 0, backing: startBacking({ env: process.env }) };
  const running = shared.onsaleBacking;
  running.users += 1;
  const { redisUrl, mongodbUri, temporalAddress } = await running.backing;
  project.provide("backing", { redisUrl, mongodbUri, temporalAddress });
  return async () => {
    running.users -= 1;
    if (running.users > 0) return;
    delete shared.onsaleBacking;
    await (await running.backing).stop();
  };
}
