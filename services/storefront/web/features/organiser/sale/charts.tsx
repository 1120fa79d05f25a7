// Small charts, drawn as SVG, each with its numbers in a table for those who can't or won't look.
import { type ReactNode, useId } from "react";
import { useOrganiserText } from "../organiser-text.js";

export interface ChartPoint {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly value: number;
}

export interface ChartProps {
  readonly title: string;
  readonly points: readonly ChartPoint[];
  readonly kind: "bars" | "line";
  readonly show: (value: number) => string;
  readonly showTime: (at: number) => string;
}

const height = 100;

/** A round number at or above the highest value: 1, 2 or 5 with zeros. */
export function roundAbove(value: number): number {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= value) ?? 10;
  return step * power;
}

export function TimeChart({ title, points, kind, show, showTime }: ChartProps) {
  const text = useOrganiserText();
  const id = useId();
  const highest = roundAbove(Math.max(0, ...points.map(({ value }) => value)));
  const width = Math.max(1, points.length);
  const y = (value: number) => height - (value / highest) * height;
  const first = points[0];
  const last = points.at(-1);
  const top = points.reduce((best, point) => (point.value > best.value ? point : best), first ?? { at: 0, value: 0 });
  const line = points.map(({ value }, at) => `${at === 0 ? "M" : "L"}${at + 0.5} ${y(value)}`).join(" ");
  return (
    <figure aria-labelledby={id} className="grid gap-2">
      <figcaption id={id} className="font-bold">
        {title}
      </figcaption>
      {first && last ? (
        <>
          <div className="grid grid-cols-[auto_1fr] gap-x-2 text-xs text-soft">
            <div aria-hidden className="flex flex-col items-end justify-between tabular-nums">
              <span>{show(highest)}</span>
              <span>{show(0)}</span>
            </div>
            <svg
              role="img"
              aria-label={text("chartSummary", {
                title,
                from: showTime(first.at),
                to: showTime(last.at),
                top: show(top.value),
                when: showTime(top.at),
              })}
              viewBox={`0 0 ${width} ${height}`}
              preserveAspectRatio="none"
              className="h-36 w-full overflow-visible border-b border-line"
            >
              {[0, height / 2].map((level) => (
                <path
                  key={level}
                  d={`M0 ${level} H${width}`}
                  className="stroke-line"
                  vectorEffect="non-scaling-stroke"
                />
              ))}
              {kind === "bars" ? (
                points.map(({ at, value }, index) => (
                  <rect
                    key={at}
                    x={index + 0.1}
                    width={0.8}
                    y={y(value)}
                    height={height - y(value)}
                    className="fill-accent"
                  />
                ))
              ) : (
                <>
                  <path d={`${line} V${height} H0.5 Z`} className="fill-accent opacity-15" />
                  <path
                    d={points.length === 1 ? `M0 ${y(first.value)} H1` : line}
                    className="fill-none stroke-accent"
                    strokeWidth={2}
                    vectorEffect="non-scaling-stroke"
                  />
                </>
              )}
            </svg>
            <span />
            <div aria-hidden className="mt-1 flex justify-between gap-2">
              <span>{showTime(first.at)}</span>
              <span className="text-right">{showTime(last.at)}</span>
            </div>
          </div>
          <AsTable label={title}>
            <thead>
              <tr>
                <th scope="col" className="py-1 text-left">
                  {text("chartTime")}
                </th>
                <th scope="col" className="text-right">
                  {title}
                </th>
              </tr>
            </thead>
            <tbody>
              {points.map(({ at, value }) => (
                <tr key={at} className="border-t border-line">
                  <td className="py-1">{showTime(at)}</td>
                  <td className="text-right tabular-nums">{show(value)}</td>
                </tr>
              ))}
            </tbody>
          </AsTable>
        </>
      ) : (
        <p className="text-soft">{text("chartEmpty")}</p>
      )}
    </figure>
  );
}

function AsTable({ label, children }: { label: string; children: ReactNode }) {
  const text = useOrganiserText();
  return (
    <details>
      <summary className="min-h-11 py-2 text-sm font-semibold">{text("chartTable")}</summary>
      <section
        aria-label={`${label}: ${text("chartTable")}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and the keyboard must reach it
        tabIndex={0}
        className="max-h-64 overflow-auto rounded-lg border border-line px-3"
      >
        <table className="w-full text-sm">{children}</table>
      </section>
    </details>
  );
}

export interface Share {
  readonly key: string;
  readonly label: string;
  readonly count: number;
  readonly look: keyof typeof fills;
}

const fills = {
  good: "fill-good",
  warn: "fill-warn",
  accent: "fill-accent",
  soft: "fill-soft",
  line: "fill-edge",
} as const;
const dots = { good: "bg-good", warn: "bg-warn", accent: "bg-accent", soft: "bg-soft", line: "bg-edge" } as const;

/** Parts of a whole as one bar, with their numbers below, which say all that the bar does. */
export function Shares({ shares, show }: { shares: readonly Share[]; show: (count: number) => string }) {
  const all = Math.max(
    1,
    shares.reduce((sum, { count }) => sum + count, 0),
  );
  let from = 0;
  return (
    <>
      <svg
        aria-hidden
        viewBox="0 0 100 3"
        preserveAspectRatio="none"
        className="h-3 w-full overflow-hidden rounded-full bg-wash"
      >
        {shares.map(({ key, count, look }) => {
          const x = from;
          from += (100 * count) / all;
          return <rect key={key} x={x} width={(100 * count) / all} height="3" className={fills[look]} />;
        })}
      </svg>
      <dl className="mt-3 grid grid-cols-2 gap-3 sm:grid-cols-4">
        {shares.map(({ key, label, count, look }) => (
          <div key={key} className="grid content-between">
            <dt className="flex items-center gap-2 text-sm text-soft">
              <span aria-hidden className={`inline-block size-3 shrink-0 rounded-full ${dots[look]}`} />
              {label}
            </dt>
            <dd className="text-xl font-bold tabular-nums">{show(count)}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

/** How much of it: a bar beside a number that says the same. */
export function Bar({ part, whole }: { part: number; whole: number }) {
  return (
    <svg
      aria-hidden
      viewBox="0 0 100 4"
      preserveAspectRatio="none"
      className="h-2 w-full overflow-hidden rounded-full bg-wash"
    >
      <rect width={whole > 0 ? (100 * part) / whole : 0} height="4" className="fill-accent" />
    </svg>
  );
}
