// A hall from a file: CSV (one line a row of seats) or JSON (as the API takes it), with the line of everything that is wrong. Pure.
import { type CsvRecord, readCsv } from "./csv.js";
import { type JsonNode, readJson } from "./json-lines.js";
import {
  emptyRow,
  emptySection,
  type Fault,
  faultKeys,
  formOf,
  type NewSection,
  type RowForm,
  readLayout,
  type SectionForm,
  writeNumbers,
} from "./layout-form.js";

export interface ImportFault {
  /** From 1; undefined: the file as a whole. */
  readonly line: number | undefined;
  /** The column or field, by its name in the file. */
  readonly field: string | undefined;
  readonly key: string;
  readonly values?: Fault["values"];
}

export type Imported =
  | { readonly ok: true; readonly sections: readonly SectionForm[]; readonly tiers: readonly string[] }
  | { readonly ok: false; readonly faults: readonly ImportFault[] };

export const importKeys = {
  empty: "importEmpty",
  quoteOpen: "importQuoteOpen",
  afterQuote: "importAfterQuote",
  strayQuote: "importStrayQuote",
  unknownColumn: "importUnknownColumn",
  noColumn: "importNoColumn",
  cells: "importCells",
  differs: "importDiffers",
  rowAndCapacity: "importRowAndCapacity",
  focalTwice: "importFocalTwice",
  syntax: "importSyntax",
  ends: "importEnds",
  keyTwice: "importKeyTwice",
  list: "importListOfSections",
  unknownField: "importUnknownField",
  text: "importText",
  number: "importNumber",
  numbers: "importNumbers",
  object: "importObject",
} as const;

const mostFaults = 50;

/** A file that begins with a bracket is JSON, any other CSV. */
export function importLayout(file: string): Imported {
  const text = file.replace(/^\ufeff/, "");
  if (text.trim() === "") return refused([{ line: undefined, field: undefined, key: importKeys.empty }]);
  return /^\s*[[{]/.test(text) ? importJson(text) : importCsv(text);
}

const refused = (faults: readonly ImportFault[]): Imported => ({ ok: false, faults: faults.slice(0, mostFaults) });

/** The lines of what was read, by JSON Pointer into the event. */
type Lines = Map<string, number>;

function judged(sections: readonly SectionForm[], lines: Lines, names: Readonly<Record<string, string>>): Imported {
  const tiers = [...new Set(sections.map(({ tier }) => tier))].filter((tier) => tier !== "");
  const { faults } = readLayout(sections, tiers);
  if (faults.length === 0) return { ok: true, sections, tiers };
  return refused(
    faults
      .map(({ at, key, values }): ImportFault => {
        const field = at.split("/").at(-1) ?? "";
        const shown = at === "/sections" ? undefined : (names[field] ?? field);
        return { line: lineOf(at, lines), field: shown, key, ...(values ? { values } : {}) };
      })
      .sort((a, b) => (a.line ?? 0) - (b.line ?? 0)),
  );
}

function lineOf(at: string, lines: Lines): number | undefined {
  for (let pointer = at; pointer !== ""; pointer = pointer.slice(0, pointer.lastIndexOf("/"))) {
    const line = lines.get(pointer);
    if (line !== undefined) return line;
  }
  return undefined;
}

// ---- CSV

export const csvColumns = [
  "section",
  "name",
  "tier",
  "row",
  "seats",
  "first",
  "gaps",
  "accessible",
  "companion",
  "blocked",
  "focal",
  "capacity",
] as const;
type Column = (typeof csvColumns)[number];
const isColumn = (name: string): name is Column => (csvColumns as readonly string[]).includes(name);

const columnOf: Readonly<Record<string, Column>> = { id: "section", label: "row", rows: "row" };

function importCsv(text: string): Imported {
  const read = readCsv(text);
  if (!read.ok) {
    const keys = {
      "quote open": importKeys.quoteOpen,
      "after quote": importKeys.afterQuote,
      "stray quote": importKeys.strayQuote,
    } as const;
    return refused([{ line: read.line, field: undefined, key: keys[read.reason] }]);
  }
  const [head, ...records] = read.records;
  const faults: ImportFault[] = [];
  const columns = (head?.cells ?? []).map((cell) => cell.toLowerCase());
  for (const [at, name] of columns.entries()) {
    if (!isColumn(name)) faults.push({ line: head?.line, field: name, key: importKeys.unknownColumn });
    else if (columns.indexOf(name) < at) faults.push({ line: head?.line, field: name, key: faultKeys.twice });
  }
  for (const name of ["section", "tier"] as const)
    if (!columns.includes(name)) faults.push({ line: head?.line, field: name, key: importKeys.noColumn });
  if (!columns.includes("capacity"))
    for (const name of ["row", "seats"] as const)
      if (!columns.includes(name)) faults.push({ line: head?.line, field: name, key: importKeys.noColumn });
  if (faults.length === 0 && records.length === 0)
    faults.push({ line: undefined, field: undefined, key: importKeys.empty });
  if (faults.length > 0) return refused(faults);

  const lines: Lines = new Map();
  const sections: SectionForm[] = [];
  const places = new Map<string, number>();
  for (const record of records) {
    const { line, cells } = record;
    if (cells.length !== columns.length) {
      const values = { found: cells.length, wanted: columns.length };
      faults.push({ line, field: undefined, key: importKeys.cells, values });
      continue;
    }
    addRecord(record, (name) => cells[columns.indexOf(name)] ?? "", sections, places, lines, faults);
  }
  if (faults.length > 0) {
    // What could not be read tells nothing of the rest of the hall, but faults of other lines are worth telling at once.
    const more = judged(sections, lines, columnOf);
    const all = more.ok ? faults : [...faults, ...more.faults.filter(({ line }) => line !== undefined)];
    return refused(all.sort((a, b) => (a.line ?? 0) - (b.line ?? 0)));
  }
  return judged(sections, lines, columnOf);
}

function addRecord(
  { line }: CsvRecord,
  cell: (name: Column) => string,
  sections: SectionForm[],
  places: Map<string, number>,
  lines: Lines,
  faults: ImportFault[],
): void {
  const id = cell("section");
  if (id === "") return void faults.push({ line, field: "section", key: faultKeys.missing });
  const capacity = cell("capacity");
  let at = places.get(id);
  if (at === undefined) {
    at = sections.length;
    places.set(id, at);
    lines.set(`/sections/${at}`, line);
    const kind = capacity === "" ? "rows" : "places";
    sections.push({ ...emptySection, id, name: cell("name") || id, tier: cell("tier"), kind, capacity });
    if (kind === "places") {
      for (const name of ["row", "seats", "first", "gaps", "accessible", "companion", "blocked", "focal"] as const)
        if (cell(name) !== "") return void faults.push({ line, field: name, key: importKeys.rowAndCapacity });
      return;
    }
  } else {
    const known = sections[at] as SectionForm;
    const first = lines.get(`/sections/${at}`) ?? 1;
    for (const name of ["name", "tier"] as const)
      if (cell(name) !== "" && cell(name) !== known[name])
        faults.push({ line, field: name, key: importKeys.differs, values: { line: first } });
    if (capacity !== "" || known.kind === "places")
      return void faults.push({ line, field: "capacity", key: importKeys.rowAndCapacity });
  }
  const section = sections[at] as SectionForm;
  const row: RowForm = {
    label: cell("row"),
    seats: cell("seats"),
    first: cell("first"),
    gaps: cell("gaps"),
    accessible: cell("accessible"),
    companion: cell("companion"),
    blocked: cell("blocked"),
  };
  lines.set(`/sections/${at}/rows/${section.rows.length}`, line);
  const focalSeat = cell("focal");
  if (focalSeat !== "") {
    if (section.focalSeat !== "") faults.push({ line, field: "focal", key: importKeys.focalTwice });
    for (const part of ["row", "seat"]) lines.set(`/sections/${at}/focalPoint/${part}`, line);
  }
  sections[at] = {
    ...section,
    rows: [...section.rows, row],
    ...(focalSeat === "" ? {} : { focalRow: row.label, focalSeat }),
  };
}

// ---- JSON

function importJson(text: string): Imported {
  const read = readJson(text);
  if (!read.ok) {
    const { line, reason, found } = read;
    if (reason === "key twice") return refused([{ line, field: found, key: importKeys.keyTwice }]);
    if (found === "") return refused([{ line, field: undefined, key: importKeys.ends }]);
    return refused([{ line, field: undefined, key: importKeys.syntax, values: { found } }]);
  }
  const top = read.node.kind === "object" ? read.node.entries.get("sections") : read.node;
  if (top?.kind !== "array")
    return refused([{ line: (top ?? read.node).line, field: undefined, key: importKeys.list }]);
  const faults: ImportFault[] = [];
  const lines: Lines = new Map();
  const sections = top.items.map((item, at) => sectionFrom(item, `/sections/${at}`, lines, faults));
  if (faults.length > 0) return refused(faults);
  return judged(sections, lines, {});
}

function fieldsOf(
  node: JsonNode,
  known: readonly string[],
  at: string,
  lines: Lines,
  faults: ImportFault[],
): ReadonlyMap<string, JsonNode> {
  lines.set(at, node.line);
  if (node.kind !== "object") {
    faults.push({ line: node.line, field: at.split("/").at(-1), key: importKeys.object });
    return new Map();
  }
  for (const [name, { line }] of node.entries) {
    lines.set(`${at}/${name}`, line);
    if (!known.includes(name)) faults.push({ line, field: name, key: importKeys.unknownField });
  }
  return node.entries;
}

function textFrom(fields: ReadonlyMap<string, JsonNode>, name: string, faults: ImportFault[]): string {
  const node = fields.get(name);
  if (!node) return "";
  if (node.kind === "string") return node.value.trim();
  faults.push({ line: node.line, field: name, key: importKeys.text });
  return "";
}

function wholeFrom(fields: ReadonlyMap<string, JsonNode>, name: string, faults: ImportFault[]): string {
  const node = fields.get(name);
  if (!node) return "";
  if (node.kind === "number" && Number.isSafeInteger(node.value)) return String(node.value);
  faults.push({ line: node.line, field: name, key: importKeys.number });
  return "";
}

function numbersFrom(fields: ReadonlyMap<string, JsonNode>, name: string, faults: ImportFault[]): string {
  const node = fields.get(name);
  if (!node) return "";
  const numbers = node.kind === "array" ? node.items : [];
  const wrong = node.kind === "array" ? numbers.find((item) => !isSeatNumber(item)) : node;
  if (wrong) {
    faults.push({ line: wrong.line, field: name, key: importKeys.numbers });
    return "";
  }
  const values = numbers.flatMap((item) => (item.kind === "number" ? [item.value] : []));
  if (new Set(values).size < values.length) faults.push({ line: node.line, field: name, key: faultKeys.repeated });
  return writeNumbers(values);
}

const isSeatNumber = (node: JsonNode): boolean =>
  node.kind === "number" && Number.isInteger(node.value) && node.value >= 1 && node.value <= 9_999;

function sectionFrom(node: JsonNode, at: string, lines: Lines, faults: ImportFault[]): SectionForm {
  const known = ["id", "name", "tier", "rows", "capacity", "focalPoint"];
  const fields = fieldsOf(node, known, at, lines, faults);
  const head = {
    ...emptySection,
    id: textFrom(fields, "id", faults),
    name: textFrom(fields, "name", faults),
    tier: textFrom(fields, "tier", faults),
  };
  const rows = fields.get("rows");
  if (fields.has("capacity")) {
    if (rows) faults.push({ line: rows.line, field: "rows", key: importKeys.rowAndCapacity });
    return { ...head, kind: "places", capacity: wholeFrom(fields, "capacity", faults) };
  }
  const focal = fields.get("focalPoint");
  const point = focal ? fieldsOf(focal, ["row", "seat"], `${at}/focalPoint`, lines, faults) : new Map();
  const whole = {
    ...head,
    focalRow: textFrom(point, "row", faults),
    focalSeat: wholeFrom(point, "seat", faults),
  };
  if (!rows) return whole;
  if (rows.kind === "object") return { ...whole, rows: equalRows(rows, `${at}/rows`, lines, faults) };
  if (rows.kind !== "array") {
    faults.push({ line: rows.line, field: "rows", key: importKeys.list });
    return whole;
  }
  return {
    ...whole,
    rows: rows.items.map((item, rank): RowForm => {
      const names = ["label", "seats", "first", "gaps", "accessible", "companion", "blocked"];
      const row = fieldsOf(item, names, `${at}/rows/${rank}`, lines, faults);
      return {
        label: textFrom(row, "label", faults),
        seats: wholeFrom(row, "seats", faults),
        first: wholeFrom(row, "first", faults),
        gaps: numbersFrom(row, "gaps", faults),
        accessible: numbersFrom(row, "accessible", faults),
        companion: numbersFrom(row, "companion", faults),
        blocked: numbersFrom(row, "blocked", faults),
      };
    }),
  };
}

/** { count, seats, … }: so many rows alike. */
function equalRows(node: JsonNode, at: string, lines: Lines, faults: ImportFault[]): readonly RowForm[] {
  const names = ["count", "seats", "first", "gaps", "accessible", "companion", "blocked"];
  const fields = fieldsOf(node, names, at, lines, faults);
  const [count, seats, first] = ["count", "seats", "first"].map((name) => wholeFrom(fields, name, faults));
  const gaps = numbersFrom(fields, "gaps", faults);
  if (!count || Number(count) < 1 || Number(count) > 1_000) {
    faults.push({ line: node.line, field: "count", key: faultKeys.whole, values: { least: 1, most: 1_000 } });
    return [];
  }
  const seatsNamed = (name: "accessible" | "companion" | "blocked"): string[] => {
    const list = fields.get(name);
    if (!list) return [];
    const items = list.kind === "array" ? list.items : [list];
    return items.flatMap((item) => {
      if (list.kind === "array" && item.kind === "string" && /^[A-Z]{1,4}-[1-9]\d{0,3}$/.test(item.value))
        return [item.value];
      faults.push({ line: item.line, field: name, key: faultKeys.list });
      return [];
    });
  };
  const section: NewSection = {
    id: "",
    name: "",
    tier: "",
    rows: {
      count: Number(count),
      seats: 1,
      accessible: seatsNamed("accessible"),
      companion: seatsNamed("companion"),
      blocked: seatsNamed("blocked"),
    },
  };
  return formOf(section).rows.map((row) => ({ ...emptyRow, ...row, seats: seats ?? "", first: first ?? "", gaps }));
}
