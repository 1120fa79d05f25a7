// What Prometheus finds before anything has happened, and what is read only when it asks.
import { expect, it } from "vitest";
import { createMetrics } from "./metrics.js";

it("shows the labels that are named as zero, so that their first increase is one", async () => {
  const metrics = createMetrics("shop");
  const counter = metrics.counter("losses_total", "Losses", ["what"], [{ what: "seat" }, { what: "place" }]);
  expect(await metrics.registry.getSingleMetricAsString("losses_total")).toContain(
    'losses_total{what="place",service="shop"} 0',
  );
  counter.inc({ what: "seat" });
  expect(await metrics.registry.metrics()).toMatch(/^losses_total\{what="seat",service="shop"\} 1$/m);
});

it("reads a gauge when it is asked for, and each time anew", async () => {
  const metrics = createMetrics("shop");
  let waiting = 3;
  metrics.gaugeOf("waiting", "People who wait", () => waiting);
  expect(await metrics.registry.metrics()).toMatch(/^waiting\{service="shop"\} 3$/m);
  waiting = Number.NaN;
  expect(await metrics.registry.metrics()).toMatch(/^waiting\{service="shop"\} Nan$/im);
});

it("keeps times in buckets of one's own", async () => {
  const metrics = createMetrics("shop");
  const seconds = metrics.histogram("long_seconds", "Long times", ["how"], [60, 600]);
  seconds.observe({ how: "slowly" }, 480);
  const text = await metrics.registry.metrics();
  expect(text).toContain('long_seconds_bucket{le="60",service="shop",how="slowly"} 0');
  expect(text).toContain('long_seconds_bucket{le="600",service="shop",how="slowly"} 1');
});
