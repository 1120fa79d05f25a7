// Time that runs out, by the server's clock. Digits of one width in a box of fixed size: nothing moves but the digits.
import { useEffect, useState } from "react";
import { timeLeft } from "../format.js";

export function useTimeLeft(untilMs: number): { readonly seconds: number; readonly text: string } {
  const [left, setLeft] = useState(() => timeLeft(untilMs));
  useEffect(() => {
    const update = () => setLeft(timeLeft(untilMs));
    update();
    const timer = setInterval(update, 250);
    return () => clearInterval(timer);
  }, [untilMs]);
  return left;
}

export function Countdown({ untilMs, className = "" }: { untilMs: number; className?: string }) {
  const { text } = useTimeLeft(untilMs);
  return (
    <span role="timer" className={`inline-block min-w-[5ch] whitespace-nowrap tabular-nums ${className}`}>
      {text}
    </span>
  );
}
