// A hall from a file or from what was pasted; what is wrong with it is told line by line, and it can be mended in place.
import { useId, useState } from "react";
import { Button } from "../../../ui/button.js";
import { Notice } from "../../../ui/notice.js";
import { faultText, type OrganiserText, useOrganiserText } from "../organiser-text.js";
import { csvColumns, type Imported, type ImportFault, importLayout } from "./layout-import.js";

const mostBytes = 4 * 1024 * 1024;

const example = `section,name,tier,row,seats,accessible,capacity
A,Stalls,front,A,20,1 20,
A,,,B,22,,
GA,Floor,standard,,,,300`;

/** "line 17: row is missing" */
function lineText(text: OrganiserText, { line, field, key, values }: ImportFault): string {
  const what = [field, faultText(text, key, values)].filter(Boolean).join(" ");
  return line === undefined ? what : text("importLine", { line, what });
}

export function HallImport({ onRead }: { onRead: (read: Extract<Imported, { ok: true }>) => void }) {
  const text = useOrganiserText();
  const id = useId();
  const [typed, setTyped] = useState("");
  const [faults, setFaults] = useState<readonly ImportFault[]>([]);
  const [tooLarge, setTooLarge] = useState(false);
  const read = (file: string) => {
    const imported = importLayout(file);
    setFaults(imported.ok ? [] : imported.faults);
    if (imported.ok) onRead(imported);
  };
  const choose = async (file: File | undefined) => {
    if (!file) return;
    setTooLarge(file.size > mostBytes);
    if (file.size > mostBytes) return;
    const content = await file.text();
    setTyped(content);
    read(content);
  };
  return (
    <div className="grid gap-3">
      <div>
        <label htmlFor={`${id}-file`} className="mb-1 block text-sm font-semibold">
          {text("importFile")}
        </label>
        <input
          id={`${id}-file`}
          type="file"
          accept=".csv,.tsv,.txt,.json,text/csv,application/json"
          className="block w-full rounded-lg border border-edge bg-paper p-2 text-sm file:mr-3 file:min-h-9 file:rounded-lg file:border file:border-line file:bg-wash file:px-3 file:text-ink"
          onChange={(change) => void choose(change.target.files?.[0])}
        />
      </div>
      <div>
        <label htmlFor={`${id}-text`} className="mb-1 block text-sm font-semibold">
          {text("importPaste")}
        </label>
        <textarea
          id={`${id}-text`}
          rows={8}
          spellCheck={false}
          className="w-full rounded-lg border border-edge bg-paper px-3 py-2 font-mono text-sm whitespace-pre text-ink"
          value={typed}
          placeholder={example}
          aria-invalid={faults.length > 0 ? true : undefined}
          aria-describedby={faults.length > 0 ? `${id}-faults` : undefined}
          onChange={(change) => setTyped(change.target.value)}
        />
      </div>
      {tooLarge ? <Notice tone="bad" title={text("importTooLarge")} live /> : undefined}
      {faults.length > 0 ? (
        <Notice tone="bad" title={text("importFaults", { count: faults.length })} live>
          <ul id={`${id}-faults`} className="list-disc pl-5">
            {faults.map((fault) => {
              const told = lineText(text, fault);
              return <li key={told}>{told}</li>;
            })}
          </ul>
        </Notice>
      ) : undefined}
      <Button className="justify-self-start" disabled={typed.trim() === ""} onClick={() => read(typed)}>
        {text("importRead")}
      </Button>
      <details className="text-sm">
        <summary className="min-h-11 py-2 font-semibold">{text("importHow")}</summary>
        <p className="text-soft">{text("importHowCsv", { columns: csvColumns.join(", ") })}</p>
        <section
          aria-label={text("importExample")}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and the keyboard must reach it
          tabIndex={0}
          className="my-2 overflow-x-auto rounded-lg bg-wash p-3"
        >
          <pre>{example}</pre>
        </section>
        <p className="text-soft">{text("importHowJson")}</p>
      </details>
    </div>
  );
}
