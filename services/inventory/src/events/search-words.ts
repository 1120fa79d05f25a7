// The words that events are found by. Pure.

// ---- how events are found

/** Lower case, without accents, words only: "Café del Mar!" → "cafe del mar". */
export function searchWords(text: string): string[] {
  return (
    text
      .normalize("NFKD")
      .replace(/\p{M}/gu, "")
      .toLowerCase()
      .replace(/ß/g, "ss")
      .match(/[\p{L}\p{N}]+/gu) ?? []
  );
}
