// The two pages for people: approving a payment (3-D Secure), and typing a card on stripe-sim's own origin. No scripts.
import { createHash } from "node:crypto";

const style = `
:root { color-scheme: light dark; --line: light-dark(#d5d8e0, #3a3f4b); --ink: light-dark(#1a1f36, #eceef4);
  --soft: light-dark(#5b6478, #a6adbd); --paper: light-dark(#fff, #171a21); --back: light-dark(#f2f4f8, #0d0f14);
  --strong: light-dark(#1d4ed8, #6d95ff); --on-strong: light-dark(#fff, #0b1020); --bad: light-dark(#b42318, #ff8f85); }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--back);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 26rem; padding: 1.5rem; border: 1px solid var(--line); border-radius: .75rem;
  background: var(--paper); }
h1 { margin: 0 0 .5rem; font-size: 1.25rem; line-height: 1.3; }
p { margin: 0 0 1rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); font-size: .875rem; }
.amount { font-size: 1.75rem; font-weight: 600; margin-bottom: .25rem; }
.problem { color: var(--bad); font-weight: 600; }
label { display: block; margin-bottom: 1rem; font-weight: 600; }
input { display: block; width: 100%; margin-top: .25rem; padding: .625rem .75rem; border: 1px solid var(--line);
  border-radius: .5rem; background: transparent; color: inherit; font: inherit; font-weight: 400; }
.row { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
button { display: block; width: 100%; min-height: 3rem; margin-top: .75rem; border: 1px solid var(--line);
  border-radius: .5rem; background: transparent; color: inherit; font: inherit; font-weight: 600; cursor: pointer; }
button.main { border-color: var(--strong); background: var(--strong); color: var(--on-strong); }
:focus-visible { outline: 3px solid var(--strong); outline-offset: 2px; }
a { color: var(--strong); }
table { width: 100%; border-collapse: collapse; font-size: .875rem; margin-top: .5rem; }
td { padding: .25rem 0; border-top: 1px solid var(--line); }
td:first-child { font-family: ui-monospace, monospace; padding-right: .75rem; white-space: nowrap; }
summary { cursor: pointer; }
details { margin-top: 1.25rem; }
`;

const styleHash = createHash("sha256").update(style).digest("base64");

/** Nothing is loaded from anywhere and no script runs; the form may lead to the shop, wherever it is. */
export const pageHeaders: Readonly<Record<string, string>> = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": `default-src 'none'; style-src 'sha256-${styleHash}'; form-action 'self' http: https:; base-uri 'none'`,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
}

export function messagePage(
  title: string,
  text: string,
  link?: { readonly href: string; readonly text: string },
): string {
  const back = link === undefined ? "" : `<p><a href="${escaped(link.href)}">${escaped(link.text)}</a></p>`;
  return page(title, `<h1>${escaped(title)}</h1>\n<p>${escaped(text)}</p>\n${back}`);
}

export interface Approval {
  /** "$49.50" */
  readonly amount: string;
  readonly description: string | undefined;
  /** "Visa ending in 3184" */
  readonly card: string;
}

export function approvalPage({ amount, description, card }: Approval): string {
  return page(
    "Approve this payment",
    `<h1>Approve this payment</h1>
<p class="soft">This page stands for your bank. It is a simulation: no money moves.</p>
<p class="amount">${escaped(amount)}</p>
<p>${description === undefined ? "" : `${escaped(description)}<br>`}<span class="soft">${escaped(card)}</span></p>
<form method="post">
<button class="main" name="outcome" value="approve">Approve</button>
<button name="outcome" value="fail">Refuse</button>
</form>`,
  );
}

export interface CardForm {
  readonly returnUrl: string;
  readonly problem?: string;
}

const hints: readonly (readonly [number: string, text: string])[] = [
  ["4242 4242 4242 4242", "is accepted"],
  ["4000 0027 6000 3184", "asks you to approve first"],
  ["4000 0000 0000 0002", "is declined"],
  ["4000 0000 0000 9995", "has insufficient funds"],
  ["4000 0084 0000 1629", "asks you to approve, then is declined"],
];

/** What was typed is never shown again: after a mistake the form comes back empty. */
export function cardPage({ returnUrl, problem }: CardForm): string {
  return page(
    "Pay by card",
    `<h1>Pay by card</h1>
<p class="soft">This page stands for Stripe. It is a simulation: use test cards only.</p>
${problem === undefined ? "" : `<p class="problem" role="alert">${escaped(problem)}</p>`}
<form method="post" action="/card" autocomplete="on">
<input type="hidden" name="return_url" value="${escaped(returnUrl)}">
<label>Card number
<input name="number" inputmode="numeric" autocomplete="cc-number" required maxlength="23" placeholder="4242 4242 4242 4242" autofocus></label>
<div class="row">
<label>Expires
<input name="expiry" inputmode="numeric" autocomplete="cc-exp" required maxlength="7" placeholder="MM / YY"></label>
<label>Security code
<input name="cvc" inputmode="numeric" autocomplete="cc-csc" required maxlength="4" placeholder="123"></label>
</div>
<button class="main">Use this card</button>
</form>
<details>
<summary>Test cards</summary>
<table>
${hints.map(([number, text]) => `<tr><td>${number}</td><td>${text}</td></tr>`).join("\n")}
</table>
<p class="soft">Any expiry in the future and any three digits will do.</p>
</details>`,
  );
}

/** Where the card page may lead: a web address, nothing that a browser would run. */
export function safeReturnUrl(text: string | undefined): string | undefined {
  if (text === undefined || text.length > 2048 || !URL.canParse(text)) return undefined;
  const { protocol, username, href } = new URL(text);
  return (protocol === "https:" || protocol === "http:") && username === "" ? href : undefined;
}

/** "MM/YY", "MM / YYYY" or "MMYY". */
export function readExpiry(text: string): { readonly month: number; readonly year: number } | undefined {
  const found = /^\s*(\d{1,2})\s*[/\- ]\s*(\d{4}|\d{2})\s*$/.exec(text) ?? /^\s*(\d{2})(\d{2})\s*$/.exec(text);
  return found === null ? undefined : { month: Number(found[1]), year: Number(found[2]) };
}

/** `url` with more query parameters. */
export function withParams(url: string, params: Readonly<Record<string, string>>): string {
  const result = new URL(url);
  for (const [name, value] of Object.entries(params)) result.searchParams.set(name, value);
  return result.href;
}
