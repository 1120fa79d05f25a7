// Puts values into a message. Pure.

export type Values = Readonly<Record<string, string | number>>;

/** "{name}" is replaced by that value; "{count|one seat|# seats}" by the form for the count, with # as the number. */
export function fill(message: string, values: Values, locale: string): string {
  return message.replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (_, name: string, one?: string, many?: string) => {
    const value = values[name] ?? "";
    if (one === undefined || many === undefined) return String(value);
    const form = new Intl.PluralRules(locale).select(Number(value)) === "one" ? one : many;
    return form.replace("#", new Intl.NumberFormat(locale).format(Number(value)));
  });
}
