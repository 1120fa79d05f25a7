// The frame of every page: header, content, footer, and where the keyboard goes after a change of page.
import { type ReactNode, useEffect, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { useSession } from "../session.js";
import { chooseLanguage, type Language, languages, useText } from "../text.js";

export function Frame({ children }: { children: ReactNode }) {
  const text = useText();
  const session = useSession();
  return (
    <>
      <a
        href="#content"
        className="sr-only rounded bg-accent px-4 py-2 text-on-accent focus:not-sr-only focus:absolute focus:z-50"
      >
        {text("skip")}
      </a>
      <header className="border-b border-line bg-paper">
        <nav
          aria-label={text("brand")}
          className="mx-auto flex min-h-16 max-w-6xl flex-wrap items-center gap-x-3 gap-y-1 px-3 py-2 sm:gap-x-5 sm:px-4"
        >
          <Link
            href="/"
            className="mr-auto flex min-h-11 items-center gap-2 text-xl font-extrabold tracking-tight no-underline"
          >
            <img src="/icon.svg" alt="" width="28" height="28" />
            <span className={session.kind === "in" ? "sr-only sm:not-sr-only" : ""}>{text("brand")}</span>
          </Link>
          {session.kind === "in" ? (
            <>
              <NavLink to="/tickets">{text("navTickets")}</NavLink>
              <NavLink to="/orders">{text("navOrders")}</NavLink>
              <NavLink to="/account">{text("navAccount")}</NavLink>
            </>
          ) : session.kind === "out" ? (
            <>
              <NavLink to="/login">{text("logIn")}</NavLink>
              <NavLink to="/signup">{text("signUp")}</NavLink>
            </>
          ) : (
            <span className="inline-block min-h-11 w-40" />
          )}
        </nav>
      </header>
      <main id="content" className="mx-auto max-w-6xl px-4 py-6">
        {children}
      </main>
      <footer className="mx-auto flex max-w-6xl flex-wrap items-center gap-4 border-t border-line px-4 py-6 text-sm text-soft">
        <Appearance />
      </footer>
    </>
  );
}

function NavLink({ to, children }: { to: string; children: ReactNode }) {
  const [location] = useLocation();
  const here = location.startsWith(to);
  return (
    <Link
      href={to}
      aria-current={here ? "page" : undefined}
      className={`inline-flex min-h-11 items-center text-sm font-semibold no-underline hover:text-accent ${here ? "text-accent" : ""}`}
    >
      {children}
    </Link>
  );
}

const themeKey = "onsale.theme";
const themes = ["system", "light", "dark"] as const;

export function applyTheme(): void {
  const theme = localStorage.getItem(themeKey);
  if (theme === "light" || theme === "dark") document.documentElement.dataset["theme"] = theme;
  else delete document.documentElement.dataset["theme"];
}

function Appearance() {
  const text = useText();
  const [theme, setTheme] = useState(localStorage.getItem(themeKey) ?? "system");
  const names = { system: text("themeSystem"), light: text("themeLight"), dark: text("themeDark") };
  return (
    <>
      <label className="flex items-center gap-2">
        {text("language")}
        <select
          className="min-h-11 rounded-lg border border-line bg-paper px-2 text-ink"
          value={text.language}
          onChange={(change) => void chooseLanguage(change.target.value as Language)}
        >
          {Object.entries(languages).map(([code, name]) => (
            <option key={code} value={code} lang={code}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label className="flex items-center gap-2">
        {text("theme")}
        <select
          className="min-h-11 rounded-lg border border-line bg-paper px-2 text-ink"
          value={theme}
          onChange={(change) => {
            localStorage.setItem(themeKey, change.target.value);
            setTheme(change.target.value);
            applyTheme();
          }}
        >
          {themes.map((name) => (
            <option key={name} value={name}>
              {names[name]}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}

/** The page's heading. It takes the focus when the page is entered, so that a screen reader starts there. */
export function Title({ children, page }: { children: ReactNode; page: string }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${page} · onsale`;
  }, [page]);
  useEffect(() => {
    if (document.activeElement === document.body || document.activeElement === null)
      heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <h1 ref={heading} tabIndex={-1} className="text-2xl font-extrabold tracking-tight outline-none sm:text-3xl">
      {children}
    </h1>
  );
}
