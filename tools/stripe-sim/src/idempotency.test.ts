import { describe, expect, it } from "vitest";
import { parseForm } from "./form.js";
import { fingerprintOf, type IdempotencyRecord, judgeKey, keptMilliseconds } from "./idempotency.js";

const record: IdempotencyRecord = {
  id: "k",
  path: "/v1/a",
  fingerprint: "f",
  status: 200,
  packed: "",
  requestId: "req_1",
  storedAt: 1_000,
};
const request = { path: "/v1/a", fingerprint: "f" };

describe("judgeKey", () => {
  it("executes what is new, replays what is stored, refuses what is different", () => {
    expect(judgeKey(request, undefined, undefined, 2_000).kind).toBe("execute");
    expect(judgeKey(request, record, undefined, 2_000)).toEqual({ kind: "replay", record });
    expect(judgeKey({ ...request, fingerprint: "g" }, record, undefined, 2_000).kind).toBe("other_parameters");
    expect(judgeKey({ ...request, path: "/v1/b" }, record, undefined, 2_000)).toEqual({
      kind: "other_endpoint",
      firstPath: "/v1/a",
    });
  });

  it("forgets after 24 hours, to the millisecond", () => {
    expect(judgeKey(request, record, undefined, 1_000 + keptMilliseconds - 1).kind).toBe("replay");
    expect(judgeKey(request, record, undefined, 1_000 + keptMilliseconds).kind).toBe("execute");
    expect(judgeKey({ path: "/v1/b", fingerprint: "g" }, record, undefined, 1_000 + keptMilliseconds).kind).toBe(
      "execute",
    );
  });

  it("while the first is under way: wait, or a bug of the caller", () => {
    expect(judgeKey(request, undefined, request, 2_000).kind).toBe("in_use");
    expect(judgeKey({ ...request, fingerprint: "g" }, undefined, request, 2_000).kind).toBe("other_parameters");
    expect(judgeKey(request, record, request, 1_000 + keptMilliseconds).kind).toBe("in_use");
  });
});

describe("fingerprintOf", () => {
  const of = (text: string) => {
    const form = parseForm(text);
    if (!form.ok) throw new Error(form.problem);
    return fingerprintOf(form.tree);
  };
  it("is the same in any order and different for any value", () => {
    expect(of("a=1&b[c]=2&b[d]=3")).toBe(of("b[d]=3&b[c]=2&a=1"));
    const others = ["a=1", "a=2", "b=1", "a[b]=1", "a[]=1", "a[]=1&a[]=2", "a[]=2&a[]=1", "", "a="];
    expect(new Set(others.map(of)).size).toBe(others.length);
  });
  it("knows no card", () => {
    expect(of("card[number]=4242424242424242&card[cvc]=123")).toBe(of("card[number]=9999999999994242&card[cvc]=456"));
  });
});
