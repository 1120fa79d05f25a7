// The countdown: by the server's clock, in a box that does not move, down to zero and no further.
// @vitest-environment happy-dom
import { act, cleanup, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Countdown } from "./countdown.js";

const start = Date.parse("2027-03-01T10:00:00Z");
const after = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));

describe("the countdown", () => {
  beforeEach(() => void vi.useFakeTimers({ now: start }));
  afterEach(() => {
    cleanup();
    vi.useRealTimers();
  });

  it("counts down by seconds, and stays at zero", async () => {
    render(<Countdown untilMs={start + 62_000} />);
    const timer = screen.getByRole("timer");
    expect(timer.textContent).toBe("1:02");
    await after(2_000);
    expect(timer.textContent).toBe("1:00");
    await after(57_000);
    expect(timer.textContent).toBe("0:03");
    await after(60_000);
    expect(timer.textContent).toBe("0:00");
  });

  it("says days and hours where there are some", async () => {
    render(<Countdown untilMs={start + 2 * 86_400_000 + 3 * 3_600_000 + 4 * 60_000 + 5_000} />);
    expect(screen.getByRole("timer").textContent).toBe("2 d 3:04:05");
    cleanup();
    render(<Countdown untilMs={start + 3_600_000} />);
    expect(screen.getByRole("timer").textContent).toBe("1:00:00");
  });

  it("follows a deadline that the server moves", async () => {
    const { rerender } = render(<Countdown untilMs={start + 10_000} />);
    rerender(<Countdown untilMs={start + 100_000} />);
    expect(screen.getByRole("timer").textContent).toBe("1:40");
  });

  it("keeps its digits of one width, on one line", () => {
    render(<Countdown untilMs={start + 10_000} />);
    expect(screen.getByRole("timer").className).toMatch(/tabular-nums/);
    expect(screen.getByRole("timer").className).toMatch(/whitespace-nowrap/);
  });
});
