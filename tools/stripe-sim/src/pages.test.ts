import { describe, expect, it } from "vitest";
import { approvalPage, cardPage, messagePage, readExpiry, safeReturnUrl, withParams } from "./pages.js";

describe("pages", () => {
  it("show text as text", () => {
    const evil = `"><script>alert('x')</script>&`;
    for (const page of [
      approvalPage({ amount: evil, description: evil, card: evil }),
      cardPage({ returnUrl: evil, problem: evil }),
      messagePage(evil, evil, { href: evil, text: evil }),
    ]) {
      expect(page).not.toContain("<script");
      expect(page).not.toContain('"">');
      expect(page).toContain("&#60;script&#62;");
      expect(page).not.toMatch(/(?:src|href)="https?:/);
    }
  });

  it("read expiries as people write them", () => {
    expect(["1/30", "01/30", "12 / 2030", "1230", "12-30"].map(readExpiry)).toEqual([
      { month: 1, year: 30 },
      { month: 1, year: 30 },
      { month: 12, year: 2030 },
      { month: 12, year: 30 },
      { month: 12, year: 30 },
    ]);
    expect(["", "12", "12/3", "ab/cd", "1/2/3", "12/20300"].map(readExpiry)).toEqual(Array(6).fill(undefined));
  });

  it("lead to web addresses only, keeping what is in them", () => {
    expect(safeReturnUrl("http://localhost:5173/pay?a=1#x")).toBe("http://localhost:5173/pay?a=1#x");
    for (const url of [undefined, "", "javascript:alert(1)", "JaVaScRiPt:alert(1)", "ftp://x/", "//x", "https://u@x/"])
      expect(safeReturnUrl(url), url).toBeUndefined();
    expect(withParams("https://x/?a=1&b=2#c", { b: "3 &", d: "4" })).toBe("https://x/?a=1&b=3+%26&d=4#c");
  });
});
