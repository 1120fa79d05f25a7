// A labelled input; what is wrong with it is said beside it, also to a screen reader.
import {
  type InputHTMLAttributes,
  type ReactNode,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
  useEffect,
  useId,
  useRef,
} from "react";

const box = "min-h-11 w-full rounded-lg border border-edge bg-paper px-3 py-2 text-ink placeholder:text-soft";

export function Field({
  label,
  hint,
  problem,
  className = "",
  ...rest
}: InputHTMLAttributes<HTMLInputElement> & { label: string; hint?: string | undefined; problem?: string | undefined }) {
  const id = useId();
  const told = problem ?? hint;
  const input = useRef<HTMLInputElement>(null);
  // Whoever sent the form is led to what has to be mended.
  useEffect(() => {
    if (problem) input.current?.focus();
  }, [problem]);
  return (
    <div className={className}>
      <label htmlFor={id} className="mb-1 block text-sm font-semibold">
        {label}
      </label>
      <input
        ref={input}
        id={id}
        className={box}
        aria-invalid={problem ? true : undefined}
        aria-describedby={told ? `${id}-told` : undefined}
        {...rest}
      />
      {told ? (
        <p id={`${id}-told`} className={`mt-1 text-sm ${problem ? "text-accent" : "text-soft"}`}>
          {told}
        </p>
      ) : undefined}
    </div>
  );
}

/** For text of several lines. */
export function Paragraphs({
  label,
  hint,
  ...rest
}: TextareaHTMLAttributes<HTMLTextAreaElement> & { label: string; hint?: string }) {
  const id = useId();
  return (
    <div>
      <label htmlFor={id} className="mb-1 block text-sm font-semibold">
        {label}
      </label>
      <textarea id={id} className={box} rows={8} aria-describedby={hint ? `${id}-told` : undefined} {...rest} />
      {hint ? (
        <p id={`${id}-told`} className="mt-1 text-sm text-soft">
          {hint}
        </p>
      ) : undefined}
    </div>
  );
}

export function Choice({
  label,
  children,
  className = "",
  ...rest
}: SelectHTMLAttributes<HTMLSelectElement> & { label: string; children: ReactNode }) {
  const id = useId();
  return (
    <div className={className}>
      <label htmlFor={id} className="mb-1 block text-sm font-semibold">
        {label}
      </label>
      <select id={id} className={box} {...rest}>
        {children}
      </select>
    </div>
  );
}

export function Check({
  label,
  checked,
  onChange,
}: {
  label: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
}) {
  return (
    <label className="flex min-h-11 items-center gap-3 text-sm">
      <input
        type="checkbox"
        className="size-5 shrink-0"
        checked={checked}
        onChange={(change) => onChange(change.target.checked)}
      />
      {label}
    </label>
  );
}
