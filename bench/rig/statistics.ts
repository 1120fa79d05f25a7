// Medians, percentiles and how numbers are written. Pure.

export function median(numbers: readonly number[]): number {
  return percentile(numbers, 50);
}

/** Between two neighbours in proportion; NaN of nothing. */
export function percentile(numbers: readonly number[], percent: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const place = ((sorted.length - 1) * percent) / 100;
  const below = Math.floor(place);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return low + (high - low) * (place - below);
}

/** The median of what each round says: a round's two sides were measured side by side, so that what disturbs one disturbs both. */
export function medianRatio(numerators: readonly number[], denominators: readonly number[]): number {
  return median(numerators.flatMap((number, at) => (denominators[at] ? [number / (denominators[at] as number)] : [])));
}

export const sum = (numbers: Iterable<number>): number => {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
};

/** Three figures that count: 12.3, 123, 1,230, 0.0123. */
export function shown(number: number): string {
  if (!Number.isFinite(number)) return "-";
  if (number === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(number))));
  return Number(number.toFixed(Math.min(digits, 6))).toLocaleString("en", { maximumFractionDigits: 6 });
}

export const times = (ratio: number): string =>
  Number.isFinite(ratio) ? `${ratio.toFixed(ratio < 10 ? 2 : 1)}×` : "-";
