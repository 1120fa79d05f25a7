// Builds of the worker that replace each other, on a real Temporal: sales go on, whichever way it goes, and every checkout ends.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { buildsOf, type Installation, openInstallation } from "./installation.js";
import { type Handle, look, openStage, pay, type Stage, until } from "./stage.js";

let stage: Stage;
let shop: Installation;
beforeEach(async () => {
  stage = await openStage({ worker: false });
  shop = openInstallation(stage);
}, 120_000);
afterEach(() => stage.close());

async function hold(): Promise<Handle> {
  const handle = await stage.startCheckout(stage.newCheckout());
  await until(async () => (await look(handle)).status === "held");
  return handle;
}
/** A checkout of now, from its start to its tickets, on this build alone. */
async function sellsOn(build: string): Promise<void> {
  const handle = await stage.startCheckout(stage.newCheckout());
  expect((await pay(handle)).status).toBe("completed");
  expect(await buildsOf(handle)).toEqual([build]);
}
async function paysOn(handle: Handle, ...builds: string[]): Promise<void> {
  expect((await pay(handle)).status).toBe("completed");
  expect(await buildsOf(handle)).toEqual(builds);
}

describe("a roll-out", () => {
  it("forth, back and forth again: sales go on at once with what was rolled out, and what was held before ends where it began", async () => {
    const first = await shop.startPod("one");
    await shop.untilCurrent("one");
    const heldFirst = await hold();

    const second = await shop.startPod("two");
    const firstGoes = first.tellToGo();
    await shop.untilCurrent("two");
    await sellsOn("two");
    const heldSecond = await hold();

    const third = await shop.startPod("one"); // helm rollback
    const secondGoes = second.tellToGo();
    await shop.untilCurrent("one");
    await sellsOn("one");
    const heldThird = await hold();
    // The build that it went back from stays for what it began.
    await until(() => secondGoes.output().includes("busy"));
    await paysOn(heldSecond, "two");
    expect(await secondGoes.exited).toBe(0);

    const fourth = await shop.startPod("two");
    const thirdGoes = third.tellToGo();
    await shop.untilCurrent("two");
    await sellsOn("two");
    await paysOn(heldThird, "one");
    await paysOn(heldFirst, "one");
    expect(await firstGoes.exited).toBe(0);
    expect(await thirdGoes.exited).toBe(0);

    await shop.startPod("one"); // and a rollback of that
    const fourthGoes = fourth.tellToGo();
    await shop.untilCurrent("one");
    await sellsOn("one");
    expect(await fourthGoes.exited).toBe(0);
  }, 240_000);

  it("that is taken back halfway changes nothing, and one that a pod of the old build restarts in goes on", async () => {
    const olds = [await shop.startPod("one"), await shop.startPod("one")];
    await shop.untilCurrent("one");
    const half = await shop.startPod("two");
    const oldGoes = olds[0]?.tellToGo();
    await until(() => oldGoes?.output().includes("others of this build stay"));
    expect(await shop.current()).toBe("one");
    const halfGoes = half.tellToGo();
    await shop.startPod("one");
    expect(await halfGoes.exited).toBe(0);
    expect(await shop.current()).toBe("one");
    await sellsOn("one");
    await oldGoes?.exited;
  }, 120_000);

  it("in which all of the old build's pods end at once, and several of the new one are there: one of them takes over", async () => {
    const old = await shop.startPod("one");
    await shop.untilCurrent("one");
    const held = await hold();
    await Promise.all([shop.startPod("two"), shop.startPod("two"), shop.startPod("two")]);
    await old.stop(); // without a preStop
    const begun = await stage.startCheckout(stage.newCheckout());
    await shop.untilCurrent("two");
    await paysOn(begun, "two");
    expect(await shop.current()).toBe("two");
    await paysOn(held, "one", "two");
  }, 180_000);
});

describe("a build without workers", () => {
  it("has its workflows moved to the current one by one worker of it, which counts them", async () => {
    const old = await shop.startPod("one");
    await shop.untilCurrent("one");
    const held = [await hold(), await hold()];
    await old.stop();
    const others = [await shop.startPod("two"), await shop.startPod("two")];
    await shop.untilCurrent("two");
    const movedBy = async () => {
      const texts = await Promise.all(others.map((pod) => pod.metrics()));
      return texts.map((text) => Number(/^onsale_workflows_moved_total\{.*"moved".*\} (\d+)$/m.exec(text)?.[1]));
    };
    await until(async () => (await movedBy()).includes(2), 90_000);
    for (const handle of held) await paysOn(handle, "one", "two");
    expect((await movedBy()).sort()).toEqual([0, 2]);
  }, 180_000);

  it("that a person has chosen is left for one that has some, and one whose pods are about to go is not", async () => {
    const old = await shop.startPod("one");
    await shop.untilCurrent("one");
    const held = await hold();
    const oldGoes = old.tellToGo();
    const fresh = await shop.startPod("two");
    await shop.untilCurrent("two");
    await shop.choose("one");
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    expect(await shop.current()).toBe("one");
    await sellsOn("one");
    await until(async () => /^onsale_current_build_workers\{.*\} 1$/m.test(await fresh.metrics()));
    await old.stop();
    await shop.untilCurrent("two");
    await sellsOn("two");
    await paysOn(held, "one", "two");
    await oldGoes.exited;
  }, 180_000);
});
