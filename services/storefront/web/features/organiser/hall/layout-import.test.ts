import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readCsv } from "./csv.js";
import { type JsonNode, readJson } from "./json-lines.js";
import { readLayout } from "./layout-form.js";
import { type Imported, importLayout } from "./layout-import.js";

const lines = (...all: string[]) => all.join("\n");
const faultsOf = (read: Imported) =>
  read.ok ? [] : read.faults.map(({ line, field, key }) => [line, field, key].filter((part) => part !== undefined));

describe("a hall from CSV", () => {
  const file = lines(
    "section,name,tier,row,seats,first,gaps,accessible,companion,blocked,focal,capacity",
    "A,Stalls,front,A,20,,10,1,2,,,",
    'A,,,B,22,3,,,,"3, 4",12,',
    "",
    "GA,Floor,floor,,,,,,,,,300",
  );

  it("has its sections, rows and seats", () => {
    const read = importLayout(file);
    expect(read).toMatchObject({ ok: true, tiers: ["front", "floor"] });
    const { sections, seats } = readLayout(read.ok ? read.sections : [], ["front", "floor"]);
    expect(seats).toBe(19 + 22 + 300);
    expect(sections).toEqual([
      {
        id: "A",
        name: "Stalls",
        tier: "front",
        focalPoint: { row: "B", seat: 12 },
        rows: [
          { label: "A", seats: 20, gaps: [10], accessible: [1], companion: [2] },
          { label: "B", seats: 22, first: 3, blocked: [3, 4] },
        ],
      },
      { id: "GA", name: "Floor", tier: "floor", capacity: 300 },
    ]);
  });

  it("is the same with semicolons or tabs, with a byte-order mark and with the line ends of Windows", () => {
    const hall = (text: string) => {
      const read = importLayout(text);
      return readLayout(read.ok ? read.sections : [], ["front", "floor"]);
    };
    for (const separator of [";", "\t"])
      expect(hall(`\ufeff${file.replaceAll(",", separator).replaceAll("\n", "\r\n")}`)).toEqual(hall(file));
  });

  it.each([
    [["section,tier,row,seats", "A,t,A,10", "A,t,,12"], [[3, "row", "faultMissing"]]],
    [
      ["section,tier,row,seats", "A,t,A,10", "A,t,B,", "A,t,C,many"],
      [
        [3, "seats", "faultMissing"],
        [4, "seats", "faultWhole"],
      ],
    ],
    [["section,tier,row,seats", "A,t,A,10", "A,t,A,10"], [[3, "row", "faultTwice"]]],
    [["section,tier,row,seats", "A,t,A,10", "A,t,B"], [[3, "importCells"]]],
    [["section,tier,row,seats", "A,t,A,10", "", ",t,B,10"], [[4, "section", "faultMissing"]]],
    [["section,tier,row,seats", "a,t,A,10"], [[2, "section", "faultSectionId"]]],
    [["section,tier,row,seats", "A,,A,10"], [[2, "tier", "faultMissing"]]],
    [["section,tier,row,seats", "A,t,A,10", "A,u,B,10"], [[3, "tier", "importDiffers"]]],
    [
      ["section,tier,row,seats,gaps", "A,t,A,10,11", "A,t,B,10,1-"],
      [
        [2, "gaps", "faultOutside"],
        [3, "gaps", "faultList"],
      ],
    ],
    [["section,tier,row,seats,focal", "A,t,A,10,5", "A,t,B,10,6"], [[3, "focal", "importFocalTwice"]]],
    [["section,tier,row,seats,focal", "A,t,A,10,50"], [[2, "seat", "faultWhole"]]],
    [["section,tier,row,seats,capacity", "A,t,A,10,100"], [[2, "row", "importRowAndCapacity"]]],
    [["section,tier,capacity", "A,t,10", "A,t,10"], [[3, "capacity", "importRowAndCapacity"]]],
    [
      ["section,tier,row,chairs", "A,t,A,10"],
      [
        [1, "chairs", "importUnknownColumn"],
        [1, "seats", "importNoColumn"],
      ],
    ],
    [["section,tier,row,seats", 'A,t,"A,10', "A,t,B,10"], [[2, "importQuoteOpen"]]],
    [["section,tier,row,seats", 'A,t,"A"x,10'], [[2, "importAfterQuote"]]],
    [["section,tier,row,seats", 'A,t,A"x,10'], [[2, "importStrayQuote"]]],
    [["section,tier,row,seats"], [["importEmpty"]]],
    [[""], [["importEmpty"]]],
  ])("%j is refused with its line", (file, expected) => {
    expect(faultsOf(importLayout(lines(...file)))).toEqual(expected);
  });

  it("counts the lines inside of quoted cells", () => {
    const file = lines("section,name,tier,row,seats", 'A,"Stalls', 'of the hall",t,A,10', "A,,t,,10");
    expect(faultsOf(importLayout(file))).toEqual([[4, "row", "faultMissing"]]);
  });

  it("tells of more than 60,000 places at once, and never of more than 50 faults", () => {
    const rows = Array.from({ length: 31 }, (_, at) => `A,t,${at + 1},2000`);
    expect(faultsOf(importLayout(lines("section,tier,row,seats", ...rows)))).toEqual([["faultTooMany"]]);
    const bad = Array.from({ length: 80 }, () => "A,t,,x");
    expect(faultsOf(importLayout(lines("section,tier,row,seats", ...bad)))).toHaveLength(50);
  });
});

describe("CSV", () => {
  const cell = fc
    .string({ unit: fc.constantFrom("a", "B", "7", " ", ",", ";", '"', "\n", "é") })
    .map((text) => text.trim());
  it("gives back what was written, each record with its line", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(cell, cell, cell), { minLength: 1, maxLength: 8 }), (records) => {
        const kept = records.filter((record) => record.some((text) => text !== ""));
        const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
        const file = ["x,y,z", ...kept.map((record) => record.map(quoted).join(","))].join("\n");
        const read = readCsv(file);
        expect(read.ok && read.records.slice(1).map(({ cells }) => cells)).toEqual(kept);
        let line = 2;
        const begins = kept.map((record) => {
          const began = line;
          line += 1 + record.join("").split("\n").length - 1;
          return began;
        });
        expect(read.ok && read.records.slice(1).map((record) => record.line)).toEqual(begins);
      }),
    );
  });

  it("is read to the end, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("a", ",", '"', "\n", "\r", " ") }), (file) => {
        const read = readCsv(file);
        const last = file.split(/\r\n|\r|\n/).length;
        for (const { line } of read.ok ? read.records : [read]) {
          expect(line).toBeGreaterThanOrEqual(1);
          expect(line).toBeLessThanOrEqual(last);
        }
      }),
    );
  });
});

describe("a hall from JSON", () => {
  it("is what the API takes: rows one by one, equal rows, places", () => {
    const sections = [
      {
        id: "A",
        name: "Stalls",
        tier: "t",
        focalPoint: { row: "B", seat: 3 },
        rows: [
          { label: "A", seats: 8, gaps: [4] },
          { label: "B", seats: 8 },
        ],
      },
      { id: "B", name: "Circle", tier: "u", rows: { count: 28, seats: 10, accessible: ["AB-1"], blocked: ["A-2"] } },
      { id: "GA", name: "Floor", tier: "t", capacity: 50 },
    ];
    for (const file of [JSON.stringify(sections), JSON.stringify({ name: "An event", sections }, undefined, 2)]) {
      const read = importLayout(file);
      expect(read).toMatchObject({ ok: true, tiers: ["t", "u"] });
      const layout = readLayout(read.ok ? read.sections : [], ["t", "u"]);
      expect(layout.faults).toEqual([]);
      expect(layout.seats).toBe(7 + 8 + 280 + 50);
      expect(layout.sections[0]).toEqual(sections[0]);
      expect(layout.sections[1]).toMatchObject({
        rows: expect.arrayContaining([{ label: "AB", seats: 10, accessible: [1] }]),
      });
      expect(layout.sections[2]).toEqual(sections[2]);
    }
  });

  it.each([
    [
      ["[", '  {"id": "A", "name": "Stalls", "tier": "t", "rows": [', '    {"seats": 10}', "  ]}", "]"],
      [[3, "label", "faultMissing"]],
    ],
    [
      ["[", '  {"id": "A", "name": "S", "tier": "t",', '   "rows": [{"label": "A", "seats": "10"}]}]'],
      [[3, "seats", "importNumber"]],
    ],
    [
      [
        "[",
        '  {"id": "A", "name": "S", "tier": "t",',
        '   "rows": [{"label": "A", "seats": 10,',
        '     "gaps": [1,',
        "        40]}]}]",
      ],
      [[4, "gaps", "faultOutside"]],
    ],
    [
      ["[", '  {"id": "A", "name": "S", "tier": "t", "rows": [],', '   "colour": "red"}]'],
      [[3, "colour", "importUnknownField"]],
    ],
    [
      ["[", '  {"id": "A", "name": "S", "tier": "t", "capacity": 10,', '   "rows": []}]'],
      [[3, "rows", "importRowAndCapacity"]],
    ],
    [
      ["[", '  {"id": "A", "name": "S", "tier": "t", "rows":', '   {"count": 2, "seats": 10, "blocked": ["A1"]}}]'],
      [[3, "blocked", "faultList"]],
    ],
    [["[", '  {"id": "A",', '   "id": "B"}]'], [[3, "id", "importKeyTwice"]]],
    [["[", '  {"id": "A"', '   "name": "B"}]'], [[3, "importSyntax"]]],
    [["[", '  {"id": "A"'], [[2, "importEnds"]]],
    [["{", '  "section": []}'], [[1, "importListOfSections"]]],
    [["[", "  7]"], [[2, "0", "importObject"]]],
  ])("%j is refused with its line", (file, expected) => {
    expect(faultsOf(importLayout(lines(...file)))).toEqual(expected);
  });
});

describe("JSON", () => {
  const plain = (node: JsonNode): unknown => {
    if (node.kind === "array") return node.items.map(plain);
    if (node.kind === "object") return Object.fromEntries([...node.entries].map(([key, value]) => [key, plain(value)]));
    return node.value;
  };

  it("is read as everybody reads it", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(0, 2), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        const read = readJson(text);
        expect(read.ok).toBe(true);
        expect(read.ok && plain(read.node)).toEqual(JSON.parse(text));
      }),
    );
  });

  it("is refused where everybody refuses it", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'[]{},:"1-.eu\\ tr\n') }), (text) => {
        const parses = (() => {
          try {
            JSON.parse(text);
            return true;
          } catch {
            return false;
          }
        })();
        const read = readJson(text);
        if (!parses || read.ok) expect(read.ok).toBe(parses);
        else expect(read.reason).toBe("key twice");
      }),
      { numRuns: 1_000 },
    );
  });

  it("does not go deeper than a layout can be", () => {
    expect(readJson("[".repeat(100_000))).toMatchObject({ ok: false, reason: "syntax" });
  });
});
