// What a question finds out: tables, goals with what was reached, and how they are shown on a terminal and in Markdown.
import { cpus, release, totalmem } from "node:os";

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface Goal {
  readonly goal: string;
  readonly figure: string;
  readonly reached: boolean;
}

export interface Findings {
  readonly tables: readonly Table[];
  readonly goals: readonly Goal[];
  /** What a reader must know to read the tables rightly. */
  readonly notes: readonly string[];
  /** Why there is nothing, when the question could not be asked here. */
  readonly skipped?: string;
}

export interface Result extends Findings {
  readonly question: string;
  readonly title: string;
  /** ISO 8601. */
  readonly at: string;
  readonly command: string;
  readonly machine: string;
  readonly seconds: number;
}

export function describeMachine(more: readonly string[]): string {
  const processors = cpus();
  const gib = Math.round(totalmem() / 1024 ** 3);
  const model = (processors[0]?.model ?? "unknown processor").trim();
  return [
    `${processors.length} cores (${model})`,
    `${gib} GiB`,
    `Linux ${release().split("-")[0]}`,
    `Node ${process.versions.node}`,
    ...more,
  ].join(", ");
}

const verdict = ({ reached }: Goal) => (reached ? "reached" : "NOT reached");

export function onTerminal({ title, tables, goals, notes, skipped, seconds }: Result): string {
  const lines = [`── ${title} `.padEnd(100, "─")];
  if (skipped !== undefined) lines.push(`skipped: ${skipped}`);
  for (const { title: what, columns, rows } of tables) {
    const widths = columns.map((column, at) => Math.max(column.length, ...rows.map((row) => (row[at] ?? "").length)));
    const line = (cells: readonly string[]) =>
      cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join("  ");
    lines.push("", what, line(columns), line(widths.map((width) => "-".repeat(width))), ...rows.map(line));
  }
  if (goals.length > 0) lines.push("");
  for (const goal of goals) lines.push(`${verdict(goal).padEnd(12)} ${goal.goal}: ${goal.figure}`);
  for (const note of notes) lines.push(`note: ${note}`);
  return [...lines, `(${seconds.toFixed(0)} s)`, ""].join("\n");
}

export function inMarkdown({ tables, goals, notes, skipped, at, command, machine }: Result): string {
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const lines = [`\`${command}\`, ${at.slice(0, 16).replace("T", " ")} UTC, on ${machine}.`];
  if (skipped !== undefined) lines.push("", `Skipped: ${skipped}`);
  if (goals.length > 0)
    lines.push(
      "",
      row(["goal", "measured", ""]),
      row(["---", "---", "---"]),
      ...goals.map((goal) => row([goal.goal, goal.figure, goal.reached ? "reached" : "**not reached**"])),
    );
  for (const { title, columns, rows } of tables)
    lines.push(
      "",
      `${title}:`,
      "",
      row(columns),
      row(columns.map((_, place) => (place === 0 ? "---" : "--:"))),
      ...rows.map(row),
    );
  if (notes.length > 0) lines.push("", ...notes.map((note) => `- ${note}`));
  return lines.join("\n");
}

/** Puts a text between the two comments that carry its name; throws where they are missing. */
export function fillIn(document: string, name: string, text: string): string {
  const [begin, end] = [`<!-- ${name}: written by npm run bench -- --write -->`, `<!-- /${name} -->`];
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`bench/README.md has no place for ${name}: "${begin}" … "${end}"`);
  return `${document.slice(0, from + begin.length)}\n\n${text}\n\n${document.slice(to)}`;
}
