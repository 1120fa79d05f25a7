// A range of numbers with a thumb for each end. Two native sliders lie on one track: each has its name, its value in words, its keys.
import { useId } from "react";

export interface RangeProps {
  readonly label: string;
  readonly fromLabel: string;
  readonly toLabel: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly from: number;
  readonly to: number;
  /** How a value is said. */
  readonly say: (value: number) => string;
  /** The whole range, as it is shown beside the label. */
  readonly told: string;
  /** `from` is never above `to`: an end that is pushed against the other one stops there. */
  readonly onChange: (from: number, to: number) => void;
}

export function Range({ label, fromLabel, toLabel, min, max, step, from, to, say, told, onChange }: RangeProps) {
  const id = useId();
  const ends = [
    { name: fromLabel, value: from, change: (value: number) => onChange(Math.min(value, to), to) },
    { name: toLabel, value: to, change: (value: number) => onChange(from, Math.max(value, from)) },
  ];
  return (
    <fieldset aria-describedby={id}>
      <legend className="float-left text-sm font-semibold">{label}</legend>
      <p id={id} className="text-right text-sm font-semibold tabular-nums">
        {told}
      </p>
      <div className="two-thumbs clear-both mt-1">
        <svg aria-hidden viewBox="0 0 100 2" preserveAspectRatio="none" className="h-1.5 w-full self-center">
          <rect width="100" height="2" className="fill-line" />
          <rect
            x={(100 * (from - min)) / (max - min)}
            width={(100 * (to - from)) / (max - min)}
            height="2"
            className="fill-accent"
          />
        </svg>
        {ends.map(({ name, value, change }) => (
          <input
            key={name}
            type="range"
            aria-label={name}
            aria-valuetext={say(value)}
            min={min}
            max={max}
            step={step}
            value={value}
            onChange={(happened) => change(Number(happened.target.value))}
          />
        ))}
      </div>
    </fieldset>
  );
}
