import { describe, expect, it } from "vitest";
import { duty, forsaken, isCaretaker, type Roster, type RosterWorker, takesOver } from "./builds.js";

/** "a2 b1-" is two workers of build a that stay, and one of b that leaves; "b1x": it has left. */
function workers(text: string): RosterWorker[] {
  return text
    .split(" ")
    .filter((part) => part !== "")
    .flatMap((part) => {
      const [, buildId = "", count, sign = ""] = /^([a-z])(\d)([-x]?)$/.exec(part) ?? [];
      const state = ({ "": "staying", "-": "leaving", x: "left" } as const)[sign as "" | "-" | "x"];
      return Array.from({ length: Number(count) }, (_, at) => ({
        name: `${part}-${at}`,
        buildId,
        state,
        ...(state !== "staying" && { toldAtMs: 1_000 }),
      }));
    });
}
const roster = (current: string | undefined, text: string, chosenAtMs?: number): Roster => ({
  current,
  chosenAtMs,
  workers: workers(text),
});
/** Who has it after each look, while workers come and go. */
function course(start: string | undefined, looks: readonly string[]): (string | undefined)[] {
  let current = start;
  return looks.map((look) => {
    const taking = ["a", "b", "c"].filter((build) => takesOver(roster(current, look), build));
    expect(taking.length, `${look}: ${taking}`).toBeLessThanOrEqual(1);
    current = taking[0] ?? current;
    return current;
  });
}

describe("the build that takes new workflows", () => {
  it("is the first one that there is", () => {
    expect(course(undefined, ["a1", "a2"])).toEqual(["a", "a"]);
  });

  it("is the new one in an upgrade, once the old one's workers are told to go", () => {
    expect(course("a", ["a1", "a1 b1", "b1 a1-", "b1 a1x", "b1"])).toEqual(["a", "a", "b", "b", "b"]);
    expect(course("a", ["a2 b1", "a1 b1 a1-", "a1 b2 a1-", "b2 a2-"])).toEqual(["a", "a", "b", "b"]);
  });

  it("is the old one again after a rollback, whether the upgrade had ended or not", () => {
    expect(course("b", ["b2 a1", "b1 a1 b1-", "b1 a2 b1-", "a2 b2-"])).toEqual(["b", "b", "a", "a"]);
    expect(course("a", ["a1 b2 a1-", "a1 b1 b1- a1-", "a2 b1 b1- a1-", "a2 b2- a1-"])).toEqual(["b", "b", "a", "a"]);
  });

  it("never is one that hardly comes up beside the current one", () => {
    expect(course("a", ["a1", "a1 b1", "a1", "a1 b1", "a1"])).toEqual(["a", "a", "a", "a", "a"]);
  });

  it("stays the same while two have as many, whoever restarts", () => {
    expect(course("a", ["a2 b2", "a2 b1", "a2 b2"])).toEqual(["a", "a", "a"]);
  });

  it("is any that stays when nobody works for it any more, the strongest first", () => {
    expect(course("a", ["b1 a1x"])).toEqual(["b"]);
    expect(course("a", ["b1 c2"])).toEqual(["c"]);
    expect(course("a", ["b2- c1"])).toEqual(["c"]);
  });

  it("stays the last one when all go", () => {
    expect(course("a", ["a1-", "a1- b1-", "b1-", ""])).toEqual(["a", "a", "a", "a"]);
  });

  it("is a person's choice while anybody works for it who was not told to go since", () => {
    // The old build's workers were told to go at 1,000, and then it was chosen: they are what the person counts on.
    expect(takesOver(roster("a", "a1- b3", 2_000), "b")).toBe(false);
    expect(takesOver(roster("a", "a1x b3", 2_000), "b")).toBe(true);
    expect(takesOver(roster("a", "b3", 2_000), "b")).toBe(true);
    // Chosen first, told to go later: a roll-out has replaced it.
    expect(takesOver(roster("a", "a1- b3", 500), "b")).toBe(true);
    expect(takesOver(roster("a", "a1 b3", 500), "b")).toBe(false);
  });
});

describe("a worker that was told to go", () => {
  it("is spared where others of the current build stay", () => {
    expect(duty(roster("a", "a1 a1-"), "a", 5)).toBe("spared");
  });

  it("waits for the build that takes over, however little it has to do", () => {
    expect(duty(roster("b", "a1 b1-"), "b", 0)).toBe("awaiting");
  });

  it("works on for the workflows of its build, as the last one of all too", () => {
    for (const [current, seen] of [
      ["b", "b1 a1-"],
      ["a", "a1-"],
      ["a", "a1- b1-"],
      [undefined, "a1-"],
    ] as const) {
      expect(duty(roster(current, seen), "a", 1), seen).toBe("busy");
      expect(duty(roster(current, seen), "a", 0), seen).toBe("done");
    }
  });
});

describe("what others left behind", () => {
  it("is that of builds for which nobody works, leaving or not", () => {
    expect(forsaken(roster("c", "c1 b1- a1x"), ["a", "b", "c", "d"])).toEqual(["a", "d"]);
  });

  it("never is the current build's own, which waits for its workers or for another build", () => {
    expect(forsaken(roster("a", ""), ["a"])).toEqual([]);
  });

  it("is looked after by one worker, of the current build, that stays", () => {
    const seen = roster("b", "a1 b2 b1-");
    expect(seen.workers.filter(({ name }) => isCaretaker(seen, name)).map(({ name }) => name)).toEqual(["b2-0"]);
    expect(isCaretaker(roster("b", "a1 b1-"), "b1--0")).toBe(false);
  });
});
