// The words of the organiser's pages, loaded with them and not before; the shop's own words are there, too.
import { use, useMemo } from "react";
import { fill, type Values } from "../../messages/fill.js";
import { teachRefusals } from "../../refusal-text.js";
import { type Language, type MessageKey, type Text, useText } from "../../text.js";
import { type OrganiserMessages, organiserEnglish } from "./messages/en.js";
import { organiserRefusal } from "./organiser-refusals.js";

export type OrganiserKey = keyof OrganiserMessages;

const loaders: Record<Language, () => Promise<OrganiserMessages>> = {
  en: async () => organiserEnglish,
  de: async () => (await import("./messages/de.js")).organiserGerman,
  fr: async () => (await import("./messages/fr.js")).organiserFrench,
};
const loading = new Map<Language, Promise<OrganiserMessages>>();
const loaded = new Map<Language, OrganiserMessages>();

// Refusals that only organisers meet are said in these words, on whatever page they come up.
teachRefusals((text, error) => {
  const found = organiserRefusal(error, text.language);
  return found && fill((loaded.get(text.language) ?? organiserEnglish)[found.key], found.values, text.locale);
});

export function messagesOf(language: Language): Promise<OrganiserMessages> {
  let messages = loading.get(language);
  if (!messages) {
    // Without a connection in English, and asked for again with the next page.
    messages = loaders[language]().then(
      (there) => {
        loaded.set(language, there);
        return there;
      },
      () => {
        setTimeout(() => loading.delete(language), 5_000);
        return organiserEnglish;
      },
    );
    loading.set(language, messages);
  }
  return messages;
}

export interface OrganiserText {
  readonly language: Language;
  readonly locale: string;
  (key: OrganiserKey | MessageKey, values?: Values): string;
}

const isOrganisers = (key: string): key is OrganiserKey => Object.hasOwn(organiserEnglish, key);

export function useOrganiserText(): OrganiserText {
  const text: Text = useText();
  const messages = use(messagesOf(text.language));
  return useMemo(() => {
    const say = (key: OrganiserKey | MessageKey, values: Values = {}) =>
      isOrganisers(key) ? fill(messages[key], values, text.locale) : text(key as MessageKey, values);
    return Object.assign(say, { language: text.language, locale: text.locale });
  }, [text, messages]);
}

/** A fault's words, by the key that the pure readers gave it: the end of a sentence that begins with the field's name. */
export const faultText = (text: OrganiserText, key: string, values: Values = {}): string =>
  isOrganisers(key) ? text(key, values) : key;

/** The same below its field, where the name stands already. */
export const capital = (told: string): string => told.charAt(0).toUpperCase() + told.slice(1);
