import { describe, expect, it } from "vitest";
import { encodeEvent, shownChange, withRuns } from "./live-seats.js";

const version = { epoch: 3, version: 1_795_502_345_124 };

describe("events as they are sent", () => {
  it("are lines of the event stream format, and the same wrapped as one chunk of HTTP", () => {
    const { plain, chunk } = encodeEvent("changes", version, { text: "é\n\n" });
    expect(plain.toString()).toBe('event: changes\nid: 3-1795502345124\ndata: {"text":"é\\n\\n"}\n\n');
    expect(chunk.toString()).toBe(`${plain.length.toString(16)}\r\n${plain}\r\n`);
    expect(encodeEvent("wait", undefined, {}).plain.toString()).toBe("event: wait\ndata: {}\n\n");
  });

  it("count a run's start from the first seat, where the inventory counts from the run before", () => {
    const change = { version, runs: [4, 2, 1, 0, 1, 2, 10, 3, 0], states: Buffer.alloc(0), places: [] };
    expect(shownChange(change)).toEqual({ version: "3-1795502345124", changes: "4:2:1,6:1:2,17:3:0" });
  });

  it("put runs into a map without touching the one that they come from", () => {
    const before = Buffer.from([0b11_10_01_00, 0]);
    expect([...withRuns(before, [1, 2, 3, 1, 2, 1])]).toEqual([0b11_11_11_00, 0b00_00_01_01]);
    expect([...before]).toEqual([0b11_10_01_00, 0]);
  });
});
