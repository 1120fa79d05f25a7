// Metrics: one registry a process, with the runtime's own and those every RPC has.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export type { Counter, Gauge, Histogram } from "prom-client";
export type Metrics = ReturnType<typeof createMetrics>;

const latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function createMetrics(service: string) {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  return {
    registry,
    /**
     * Adds a counter; labels are few and bounded, never an id. `fromZero`: labels that are there before they first count, since
     * an increase from nothing to one is none to Prometheus.
     */
    counter: <Label extends string>(
      name: string,
      help: string,
      labelNames: readonly Label[] = [],
      fromZero: readonly Readonly<Record<Label, string>>[] = [],
    ) => {
      const counter = new Counter({ name, help, labelNames: [...labelNames], registers: [registry] });
      for (const labels of fromZero) counter.inc(labels, 0);
      return counter;
    },
    gauge: <Label extends string>(name: string, help: string, labelNames: readonly Label[] = []) =>
      new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] }),
    /** A gauge that is read when somebody asks for the metrics, and costs nothing in between. */
    gaugeOf: (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers: [registry],
        collect() {
          this.set(read());
        },
      }),
    /** Seconds. */
    histogram: <Label extends string>(
      name: string,
      help: string,
      labelNames: readonly Label[] = [],
      buckets: readonly number[] = latencyBuckets,
    ) => new Histogram({ name, help, labelNames: [...labelNames], buckets: [...buckets], registers: [registry] }),
  };
}
