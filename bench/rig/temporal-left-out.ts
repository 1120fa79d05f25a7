// A client of Temporal that says every workflow runs, and starts none. For the benchmark's gateways alone.
import type { Temporal } from "@onsale/gateway/clients/temporal";

process.stderr.write("bench: this gateway starts no workflows\n");

export function connectTemporal(): Temporal {
  const only: Pick<Temporal, "start" | "close"> = {
    start: async () => ({ kind: "running" }),
    close: async () => undefined,
  };
  return new Proxy(only as Temporal, {
    get(target, name, receiver) {
      if (name in target || typeof name === "symbol") return Reflect.get(target, name, receiver) as unknown;
      throw new Error(`the benchmark's gateway was asked for Temporal's ${name}`);
    },
  });
}
