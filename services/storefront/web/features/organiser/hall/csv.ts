// Reads CSV (RFC 4180) strictly and remembers on which line each record begins. Comma, semicolon or tab, whichever the first line uses. Pure.

export interface CsvRecord {
  /** Of the file, from 1. */
  readonly line: number;
  readonly cells: readonly string[];
}

export type CsvRead =
  | { readonly ok: true; readonly records: readonly CsvRecord[] }
  | { readonly ok: false; readonly line: number; readonly reason: "quote open" | "after quote" | "stray quote" };

/** What separates cells: spreadsheets write a semicolon where the comma is the decimal sign. */
function separatorOf(text: string): string {
  const first = /^[^\r\n]*/.exec(text)?.[0] ?? "";
  const count = (separator: string) => first.split(separator).length;
  return [",", ";", "\t"].reduce((best, other) => (count(other) > count(best) ? other : best));
}

/** Lines without anything on them are left out. */
export function readCsv(file: string): CsvRead {
  const text = file.replace(/^\ufeff/, "");
  const separator = separatorOf(text);
  const records: CsvRecord[] = [];
  let line = 1;
  let at = 0;
  while (at < text.length) {
    const began = line;
    const cells: string[] = [];
    for (;;) {
      let cell = "";
      if (text[at] === '"') {
        const opened = line;
        at += 1;
        for (;;) {
          const sign = text[at];
          if (sign === undefined) return { ok: false, line: opened, reason: "quote open" };
          at += 1;
          if (sign !== '"') {
            if (sign === "\n" || (sign === "\r" && text[at] !== "\n")) line += 1;
            cell += sign;
          } else if (text[at] === '"') {
            cell += '"';
            at += 1;
          } else break;
        }
        const next = text[at];
        if (next !== undefined && next !== separator && next !== "\n" && next !== "\r")
          return { ok: false, line, reason: "after quote" };
      } else {
        const from = at;
        while (at < text.length && text[at] !== separator && text[at] !== "\n" && text[at] !== "\r") at += 1;
        cell = text.slice(from, at);
        if (cell.includes('"')) return { ok: false, line, reason: "stray quote" };
      }
      cells.push(cell.trim());
      if (text[at] !== separator) break;
      at += 1;
    }
    if (text[at] === "\r") at += 1;
    if (text[at] === "\n") at += 1;
    line += 1;
    if (cells.some((cell) => cell !== "")) records.push({ line: began, cells });
  }
  return { ok: true, records };
}
