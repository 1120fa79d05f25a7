// A versioned installation as a cluster runs it: pods of several builds of the worker, which are started and told to go.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { events, type Handle, type Stage, type StagedWorker, until } from "./stage.js";

const root = fileURLToPath(new URL("../../", import.meta.url));

export interface Draining {
  output(): string;
  readonly exited: Promise<number | null>;
  isRunning(): boolean;
}

/** The preStop as a process, in some haste. */
export function drain(stage: Stage, settings: Record<string, string>): Draining {
  const child = spawn(process.execPath, ["tools/kube/jobs/drain-worker.mjs"], {
    cwd: root,
    env: {
      PATH: process.env["PATH"],
      ...stage.env,
      SETTLE_SECONDS: "2",
      POLL_SECONDS: "1",
      DRAIN_SECONDS: "80",
      ...settings,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  return { output: () => output, exited, isRunning: () => child.exitCode === null && child.signalCode === null };
}

export interface Pod extends StagedWorker {
  /** As the kubelet does: the preStop, and when that has ended, the end of the worker. */
  tellToGo(): Draining;
}

export type Installation = ReturnType<typeof openInstallation>;

export function openInstallation(stage: Stage) {
  const settings = {
    DEPLOYMENT_NAME: `onsale-${randomUUID()}`,
    WORKER_VERSIONING: "true",
    WORKER_PROMOTE: "true",
    WORKER_STEADY_SECONDS: "1",
  };
  const version = { namespace: "default", deploymentName: settings.DEPLOYMENT_NAME };

  async function current(): Promise<string | undefined> {
    const described = await stage.client.workflowService.describeWorkerDeployment(version).catch(() => undefined);
    return described?.workerDeploymentInfo?.routingConfig?.currentDeploymentVersion?.buildId ?? undefined;
  }

  return {
    settings,
    current,
    untilCurrent: (buildId: string) => until(async () => (await current()) === buildId),
    choose: (buildId: string) =>
      stage.client.workflowService.setWorkerDeploymentCurrentVersion({ ...version, buildId, identity: "a person" }),
    async startPod(buildId: string): Promise<Pod> {
      const pod = { BUILD_ID: buildId, POD_NAME: `worker-${buildId}-${randomUUID().slice(0, 5)}` };
      const worker = await stage.startWorker({ ...settings, ...pod });
      return {
        ...worker,
        tellToGo() {
          const draining = drain(stage, { ...settings, ...pod });
          return {
            ...draining,
            exited: draining.exited.then(async (code) => {
              await worker.stop();
              return code;
            }),
          };
        },
      };
    },
  };
}

/** The builds that a workflow's tasks ran on, in their order. */
export async function buildsOf(handle: Handle): Promise<string[]> {
  const builds = (await events(handle)).flatMap(
    ({ workflowTaskCompletedEventAttributes: done }) => done?.deploymentVersion?.buildId ?? [],
  );
  return builds.filter((build, at) => build !== builds[at - 1]);
}
