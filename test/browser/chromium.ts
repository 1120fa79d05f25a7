// A real browser for the tests: Debian's Chromium (or CHROMIUM=/path), driven by playwright-core.
import { accessSync, constants } from "node:fs";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const candidates = [
  process.env["CHROMIUM"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

/** Undefined: there is none on this machine. */
export const chromiumPath: string | undefined = candidates.find((path) => {
  if (!path) return false;
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
});

/** The reason that a skipped test gives. */
export const needsChromium =
  chromiumPath === undefined ? " (skipped: no Chromium here; install chromium or set CHROMIUM)" : "";

export const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: chromiumPath ?? "",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-dev-shm-usage",
    ],
  });

export const phone: BrowserContextOptions = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
export const desktop: BrowserContextOptions = { viewport: { width: 1280, height: 860 } };

/** A visitor with nothing stored. What goes wrong in the page is collected. */
export async function visit(browser: Browser, url: string, options: BrowserContextOptions = desktop) {
  const context = await browser.newContext({ locale: "en-GB", reducedMotion: "reduce", baseURL: url, ...options });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  const problems = watch(page);
  return { context, page, problems };
}

function watch(page: Page): string[] {
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(`exception: ${error.message}`));
  page.on("console", (message) => {
    // Chromium writes a line for each answer of 4xx and 5xx, which pages handle; a breach of the policy is another thing.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      problems.push(message.text());
  });
  return problems;
}
