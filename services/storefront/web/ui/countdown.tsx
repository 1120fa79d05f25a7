// Time that runs out, by the server's clock. Digits of one width in a box of fixed size: nothing moves but the digits.
import { useEffect, useState } from "react";
import { timeLeft } from "../format.js";

export function useTimeLeft(untilMs: number): { readonly seconds: number; readonly text: string } {
  const [left, setLeft] = useState(() => timeLeft(untilMs));
  useEffect(() => {
    // The same second is the same object: nothing is drawn again for it.
    const update = () =>
      setLeft((before) => {
        const now = timeLeft(untilMs);
        return now.text === before.text ? before : now;
      });
    update();
    const timer = setInterval(update, 250);
    return () => clearInterval(timer);
  }, [untilMs]);
  return left;
}

/** Whether this time has come, by the server's clock. Draws anew only when it comes. */
export function useIsPast(atMs: number): boolean {
  const [isPast, setIsPast] = useState(() => timeLeft(atMs).seconds === 0);
  useEffect(() => {
    const update = () => setIsPast(timeLeft(atMs).seconds === 0);
    update();
    const timer = setInterval(update, 250);
    return () => clearInterval(timer);
  }, [atMs]);
  return isPast;
}

export function Countdown({ untilMs, className = "" }: { untilMs: number; className?: string }) {
  const { text } = useTimeLeft(untilMs);
  return (
    <span role="timer" className={`inline-block min-w-[5ch] whitespace-nowrap tabular-nums ${className}`}>
      {text}
    </span>
  );
}
