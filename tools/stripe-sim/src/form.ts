// Decodes form-encoded bodies and queries as Stripe reads them: a[b][c]=1, a[]=1, a[0]=1.

export type FormValue = string | FormValue[] | FormTree;
export interface FormTree {
  [name: string]: FormValue;
}

export type FormResult =
  | { readonly ok: true; readonly tree: FormTree }
  | { readonly ok: false; readonly problem: string };

const maxPairs = 1_000;
const maxDepth = 8;

/** An empty tree without a prototype, so that a parameter named __proto__ is a parameter like any other. */
export function emptyTree(): FormTree {
  return Object.create(null) as FormTree;
}

export function isTree(value: FormValue | undefined): value is FormTree {
  return typeof value === "object" && !Array.isArray(value);
}

/** Later pairs of the same name win, as with Stripe. Several sources (query, body) are read as one. */
export function parseForm(...sources: readonly string[]): FormResult {
  const tree = emptyTree();
  let pairs = 0;
  for (const source of sources) {
    for (const pair of source.split("&")) {
      if (pair === "") continue;
      pairs += 1;
      if (pairs > maxPairs) return { ok: false, problem: `A request may have up to ${maxPairs} parameters.` };
      const at = pair.indexOf("=");
      const name = decode(at < 0 ? pair : pair.slice(0, at));
      const value = at < 0 ? "" : decode(pair.slice(at + 1));
      if (name === undefined || value === undefined)
        return { ok: false, problem: "The request's parameters are not valid form encoding in UTF-8." };
      const path = splitName(name);
      if (path.length > maxDepth) return { ok: false, problem: `Parameters may be nested ${maxDepth} levels deep.` };
      if (!put(tree, path, value)) return { ok: false, problem: `The parameter ${name} contradicts another one.` };
    }
  }
  return { ok: true, tree };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}

/** "a[b][]" is a, b and an append (""); a name with unbalanced brackets is one plain name. */
function splitName(name: string): string[] {
  const at = name.indexOf("[");
  if (at <= 0 || !name.endsWith("]")) return [name];
  const inner = name.slice(at + 1, -1).split("][");
  return inner.some((part) => /[[\]]/.test(part)) ? [name] : [name.slice(0, at), ...inner];
}

function put(tree: FormTree, path: readonly string[], value: string): boolean {
  let place: FormTree | FormValue[] = tree;
  for (const [index, part] of path.entries()) {
    const last = index === path.length - 1;
    if (Array.isArray(place)) {
      if (part !== "") return false;
      if (last) {
        place.push(value);
        return true;
      }
      const child = containerFor(path[index + 1]);
      place.push(child);
      place = child;
      continue;
    }
    if (last) {
      if (part === "" && index > 0) return false;
      if (typeof place[part] === "object") return false;
      place[part] = value;
      return true;
    }
    const next: FormValue = place[part] ?? containerFor(path[index + 1]);
    place[part] = next;
    if (typeof next === "string") return false;
    place = next;
  }
  return false;
}

function containerFor(nextPart: string | undefined): FormTree | FormValue[] {
  return nextPart === "" ? [] : emptyTree();
}
