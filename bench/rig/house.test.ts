import { describe, expect, it } from "vitest";
import { blocksOf, requestsOf, seatIdsOf, seatsOfSection, sectionsOf, splitHouse } from "./house.js";
import { readAnswer, writeCommand } from "./resp-client.js";

const house = { seats: 1_003, sections: 4 };

describe("the house", () => {
  it("has all of its seats, once each", () => {
    expect([0, 1, 2, 3].map((section) => seatsOfSection(house, section))).toEqual([251, 251, 251, 250]);
    const drawn = sectionsOf(house, "T").flatMap(({ rows }) => rows.map(({ seatCount }) => seatCount));
    expect(drawn.reduce((all, row) => all + row)).toBe(1_003);
    const seats = blocksOf(house, 1).flatMap(seatIdsOf);
    expect(new Set(seats).size).toBe(1_003);
    for (const block of blocksOf(house, 8)) expect(block.first + block.length - 1).toBeLessThanOrEqual(50);
  });

  it("gives losers taken seats, winners free ones that nobody else asks for, in the same share each time", () => {
    const wanted = requestsOf({ house, seatsPerHold: 2, losers: 0.9, count: 1_000, seed: 1 });
    expect(wanted.filter(({ loses }) => loses)).toHaveLength(900);
    const taken = new Set(splitHouse(house, 2).taken.flatMap(seatIdsOf));
    const won = wanted.filter(({ loses }) => !loses).flatMap(({ block }) => seatIdsOf(block));
    expect(new Set(won).size).toBe(200);
    expect(won.some((seat) => taken.has(seat))).toBe(false);
    for (const { block, loses } of wanted)
      if (loses) expect(seatIdsOf(block).every((seat) => taken.has(seat))).toBe(true);
    const hot = requestsOf({ house, seatsPerHold: 2, losers: 0.9, hotBlocks: 3, count: 1_000, seed: 1 });
    expect(new Set(hot.filter(({ loses }) => loses).map(({ block }) => seatIdsOf(block)[0])).size).toBe(3);
    expect(() => requestsOf({ house, seatsPerHold: 8, losers: 0, count: 1_000, seed: 1 })).toThrow("too few");
  });
});

describe("the plain client of Valkey", () => {
  it("reads whole answers only, and their first words", () => {
    const held = Buffer.from("*3\r\n$4\r\nheld\r\n:17\r\n$-1\r\n+OK\r\n");
    expect(readAnswer(held)).toEqual({ length: held.length - 5, word: "held" });
    for (let cut = 0; cut < held.length - 5; cut++)
      expect(readAnswer(held.subarray(0, cut)), String(cut)).toBeUndefined();
    expect(readAnswer(Buffer.from("-NOSCRIPT no\r\n"))?.word).toBe("error: NOSCRIPT no");
    expect(writeCommand(["GET", "ä"]).toString()).toBe("*2\r\n$3\r\nGET\r\n$2\r\nä\r\n");
  });
});
