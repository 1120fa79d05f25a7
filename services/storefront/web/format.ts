// Money and dates as people read them: in their language, and at the place of the event.
import { digitsToShow, minorPerUnit } from "@onsale/kit/currencies";
import { serverNow } from "./api/server-clock.js";

/** The amount is in minor units. Signs, symbols and grouping are the browser's, digits ours: browsers differ in them. */
export function money(amount: number, currency: string, language: string): string {
  return withDigits(amount, digitsToShow(amount, currency), currency, language);
}

/** Without ".00", where that is so: for ranges and filters. */
export function roundMoney(amount: number, currency: string, language: string): string {
  const isWhole = amount % minorPerUnit(currency) === 0;
  return withDigits(amount, isWhole ? 0 : digitsToShow(amount, currency), currency, language);
}

function withDigits(amount: number, digits: number, currency: string, language: string): string {
  return new Intl.NumberFormat(language, {
    style: "currency",
    currency,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(amount / minorPerUnit(currency));
}

export const wholeNumber = (value: number, language: string): string => new Intl.NumberFormat(language).format(value);

export function dateAndTime(iso: string, timeZone: string, language: string): string {
  return new Intl.DateTimeFormat(language, {
    weekday: "short",
    day: "numeric",
    month: "long",
    year: "numeric",
    hour: "numeric",
    minute: "2-digit",
    timeZone,
    timeZoneName: "short",
  }).format(new Date(iso));
}

export function dayParts(
  iso: string,
  timeZone: string,
  language: string,
): { day: string; month: string; year: string } {
  const date = new Date(iso);
  const part = (options: Intl.DateTimeFormatOptions) =>
    new Intl.DateTimeFormat(language, { ...options, timeZone }).format(date);
  return {
    day: part({ day: "numeric" }).replace(/\D/g, ""),
    month: part({ month: "short" }),
    year: part({ year: "numeric" }).replace(/\D/g, ""),
  };
}

/** "4:07" or "2 d 3:04:05": until then by the server's clock; never below zero. */
export function timeLeft(untilMs: number): { readonly seconds: number; readonly text: string } {
  const seconds = Math.max(0, Math.ceil((untilMs - serverNow()) / 1000));
  const two = (value: number) => String(value).padStart(2, "0");
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor((seconds % 86_400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = two(seconds % 60);
  if (days > 0) return { seconds, text: `${days} d ${hours}:${two(minutes)}:${rest}` };
  if (hours > 0) return { seconds, text: `${hours}:${two(minutes)}:${rest}` };
  return { seconds, text: `${minutes}:${rest}` };
}
