// The frame of every page: header, content, footer, and where the keyboard goes after a change of page.
import { type ReactNode, useEffect, useLayoutEffect, useRef, useSyncExternalStore } from "react";
import { Link, useLocation } from "wouter";
import { useSession } from "../session.js";
import { chooseLanguage, type Language, languages, useText } from "../text.js";

/** What had the focus when the page was left: the new one may take it from there, and from nowhere else. */
let leftFrom: Element | null = null;
/** The first page is the browser's affair: its keyboard begins above everything, at the link that skips to the content. */
let isFirstPage = true;

/** A new page begins at its top; going back returns to where one was, which the browser does by itself. */
function useFreshStart(): void {
  const [page] = useLocation();
  const shown = useRef(page);
  const isBack = useRef(false);
  useEffect(() => {
    const back = () => {
      isBack.current = true;
    };
    addEventListener("popstate", back);
    return () => removeEventListener("popstate", back);
  }, []);
  useLayoutEffect(() => {
    if (shown.current === page) return;
    shown.current = page;
    isFirstPage = false;
    if (!isBack.current) scrollTo(0, 0);
    isBack.current = false;
  }, [page]);
  if (shown.current !== page) leftFrom = document.activeElement;
}

/** `strip`: what has to be seen on every page. */
export function Frame({ children, strip }: { children: ReactNode; strip: ReactNode }) {
  const text = useText();
  const session = useSession();
  useFreshStart();
  const organises =
    session.kind === "in" && session.account.roles.some((role) => role === "organiser" || role === "operator");
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
          className="mx-auto flex min-h-16 max-w-6xl flex-wrap items-center justify-end gap-x-3 gap-y-1 px-3 py-2 sm:gap-x-5 sm:px-4"
        >
          <Link
            href="/"
            className="mr-auto flex min-h-11 items-center gap-2 text-xl font-extrabold tracking-tight no-underline"
          >
            <img src="/icon.svg" alt="" width="28" height="28" />
            <span className={session.kind === "in" && !organises ? "sr-only sm:not-sr-only" : ""}>{text("brand")}</span>
          </Link>
          {session.kind === "in" ? (
            <>
              {organises ? <NavLink to="/organiser">{text("organiserNav")}</NavLink> : undefined}
              {/* Where all of them don't fit beside each other, these are a line of their own. */}
              <span className={`flex justify-end gap-x-3 sm:gap-x-5 ${organises ? "max-sm:basis-full" : ""}`}>
                <NavLink to="/tickets">{text("navTickets")}</NavLink>
                <NavLink to="/orders">{text("navOrders")}</NavLink>
                <NavLink to="/account">{text("navAccount")}</NavLink>
              </span>
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
      <ConnectionStrip />
      {strip}
      <main id="content" className="mx-auto max-w-6xl px-4 py-6">
        {children}
      </main>
      <footer className="mx-auto max-w-6xl px-4 text-sm text-soft">
        <div className="flex flex-wrap items-center gap-4 border-t border-line py-6">
          <Appearance />
        </div>
      </footer>
    </>
  );
}

/** What loads without a connection loads for ever: this says why. */
function ConnectionStrip() {
  const text = useText();
  const online = useSyncExternalStore(
    (listener) => {
      for (const name of ["online", "offline"]) addEventListener(name, listener);
      return () => {
        for (const name of ["online", "offline"]) removeEventListener(name, listener);
      };
    },
    () => navigator.onLine,
  );
  return (
    <p
      role="status"
      className={online ? "sr-only" : "no-print bg-warn px-4 py-2 text-center text-sm font-semibold text-paper"}
    >
      {online ? "" : text("offlineStrip")}
    </p>
  );
}

function NavLink({ to, children }: { to: string; children: ReactNode }) {
  const [location] = useLocation();
  const here = location.startsWith(to);
  return (
    <Link
      href={to}
      aria-current={here ? "page" : undefined}
      className={`inline-flex min-h-11 items-center text-sm font-semibold underline-offset-8 hover:text-accent ${here ? "text-accent underline decoration-2" : "no-underline"}`}
    >
      {children}
    </Link>
  );
}

const themeKey = "onsale.theme";
const themes = ["system", "light", "dark"] as const;

const themeListeners = new Set<() => void>();
const chosenTheme = () => localStorage.getItem(themeKey) ?? "system";

export function applyTheme(): void {
  const theme = localStorage.getItem(themeKey);
  if (theme === "light" || theme === "dark") document.documentElement.dataset["theme"] = theme;
  else delete document.documentElement.dataset["theme"];
}

/** What is looked at now, for frames of others that can't see the page's colours. */
export const isDark = (): boolean => {
  const theme = document.documentElement.dataset["theme"];
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};

/** Choosing the language and the theme; at the foot of each page and on the account's. */
export function Appearance() {
  const text = useText();
  const theme = useSyncExternalStore((listener) => {
    themeListeners.add(listener);
    return () => themeListeners.delete(listener);
  }, chosenTheme);
  const names = { system: text("themeSystem"), light: text("themeLight"), dark: text("themeDark") };
  return (
    <>
      <label className="flex flex-wrap items-center gap-2">
        {text("language")}
        <select
          className="min-h-11 rounded-lg border border-edge bg-paper px-2 text-ink"
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
      <label className="flex flex-wrap items-center gap-2">
        {text("theme")}
        <select
          className="min-h-11 rounded-lg border border-edge bg-paper px-2 text-ink"
          value={theme}
          onChange={(change) => {
            localStorage.setItem(themeKey, change.target.value);
            applyTheme();
            for (const listener of themeListeners) listener();
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
    if (isFirstPage) return;
    const focused = document.activeElement;
    if (focused === document.body || focused === null || focused === leftFrom)
      heading.current?.focus({ preventScroll: true });
    leftFrom = null;
  }, []);
  return (
    <h1 ref={heading} tabIndex={-1} className="text-2xl font-extrabold tracking-tight outline-none sm:text-3xl">
      {children}
    </h1>
  );
}
