// The pages' language: English in the first file, others loaded when wanted; what a text needs is put into it by name.
import { useMemo, useSyncExternalStore } from "react";
import { english, type Messages } from "./messages/en.js";
import { fill, type Values } from "./messages/fill.js";

export const languages = { en: "English", de: "Deutsch", fr: "Français" } as const;
export type Language = keyof typeof languages;
export type MessageKey = keyof Messages;

const chosenKey = "onsale.language";
const isLanguage = (text: string | null | undefined): text is Language =>
  text != null && Object.hasOwn(languages, text);

interface Speech {
  readonly language: Language;
  /** For Intl: the browser's own variant, as en-GB, when it is of this language. */
  readonly locale: string;
  readonly messages: Messages;
}

const localeOf = (language: Language) => navigator.languages.find((tag) => tag.split("-")[0] === language) ?? language;
let speech: Speech = { language: "en", locale: localeOf("en"), messages: english };
const listeners = new Set<() => void>();

const loaders: Record<Language, () => Promise<Messages>> = {
  en: async () => english,
  de: async () => (await import("./messages/de.js")).german,
  fr: async () => (await import("./messages/fr.js")).french,
};

export async function speak(language: Language): Promise<void> {
  speech = { language, locale: localeOf(language), messages: await loaders[language]() };
  document.documentElement.lang = language;
  for (const listener of listeners) listener();
}

export async function chooseLanguage(language: Language): Promise<void> {
  localStorage.setItem(chosenKey, language);
  await speak(language);
}

/** What was chosen before, or what the browser prefers. */
export function preferredLanguage(): Language {
  const chosen = localStorage.getItem(chosenKey);
  if (isLanguage(chosen)) return chosen;
  return navigator.languages.map((tag) => tag.split("-")[0]).find(isLanguage) ?? "en";
}

export interface Text {
  readonly language: Language;
  readonly locale: string;
  (key: MessageKey, values?: Values): string;
}

export function useText(): Text {
  const spoken = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => speech,
  );
  // The same function as long as the language is the same: effects and memos may depend on it.
  return useMemo(() => {
    const { language, locale, messages } = spoken;
    const say = (key: MessageKey, values: Values = {}) => fill(messages[key], values, locale);
    return Object.assign(say, { language, locale });
  }, [spoken]);
}
