import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { accepts, answerWith, keepingLast, remembering, shareBytes, shareJson } from "./shared-answers.js";

const long = { text: "seat ".repeat(1_000) };

describe("one answer for all", () => {
  it("goes out in the form that the sender takes, each with a version of its own", async () => {
    const shared = await shareJson(long, "v7");
    const plain = answerWith(shared, undefined, { "Cache-Control": "no-store" });
    expect(plain.headers).toEqual({
      "Content-Type": "application/json",
      ETag: '"v7"',
      Vary: "Accept-Encoding, Origin",
      "Cache-Control": "no-store",
    });
    const gzip = answerWith(shared, "gzip, deflate", {});
    expect(gzip.headers).toMatchObject({ ETag: '"v7-gzip"', "Content-Encoding": "gzip" });
    expect(JSON.parse(gunzipSync(gzip.bytes ?? Buffer.alloc(0)).toString())).toEqual(long);
    const br = answerWith(shared, "gzip;q=0.8, br", {});
    expect(br.headers).toMatchObject({ ETag: '"v7-br"', "Content-Encoding": "br" });
    expect(JSON.parse(brotliDecompressSync(br.bytes ?? Buffer.alloc(0)).toString())).toEqual(long);
    // The same bytes every time: nothing is made for one request.
    expect(answerWith(shared, "br", {}).bytes).toBe(br.bytes);
  });

  it("is not compressed when it is short, or when it is the map", async () => {
    expect((await shareJson({ a: 1 })).packed).toBeUndefined();
    const map = shareBytes(Buffer.alloc(15_000), { "Content-Type": "application/octet-stream" }, "v7");
    expect(answerWith(map, "br, gzip", {}).bytes).toBe(map.bytes);
  });

  it("has another version for other content, and for another layout", () => {
    const one = shareBytes(Buffer.from([1]), {}, "v7");
    expect(shareBytes(Buffer.from([1]), {}, "v7").version).toBe(one.version);
    expect(shareBytes(Buffer.from([2]), {}, "v7").version).not.toBe(one.version);
    expect(shareBytes(Buffer.from([1]), {}, "v8").version).not.toBe(one.version);
  });

  it.each([
    [undefined, false],
    ["", false],
    ["br", true],
    ["gzip, deflate, BR;q=1.0", true],
    ["br;q=0", false],
    ["br;q=0.000", false],
    ["br; q=0.001", true],
    ["*", false],
    ["brotli", false],
  ])("reads Accept-Encoding %j", (header, taken) => expect(accepts(header, "br")).toBe(taken));
});

describe("asking once", () => {
  it("shares what is being asked, and what was answered a moment ago; never a refusal", async () => {
    let asked = 0;
    let answer: () => Promise<number> = async () => 1;
    const ask = remembering({ keepMs: 60_000, most: 2 }, () => {
      asked += 1;
      return answer();
    });
    answer = async () => {
      throw new Error("not now");
    };
    await expect(Promise.all([ask("a"), ask("a")])).rejects.toThrow("not now");
    expect(asked).toBe(1);
    answer = async () => 7;
    expect(await Promise.all([ask("a"), ask("a"), ask("b")])).toEqual([7, 7, 7]);
    expect(asked).toBe(3);
    expect(await ask("a")).toBe(7);
    expect(asked).toBe(3);
    await ask("c"); // the third: the first is forgotten
    await ask("a");
    expect(asked).toBe(5);
  });

  it("keeps nothing when it may not", async () => {
    let asked = 0;
    const ask = remembering({ keepMs: 0, most: 10 }, async () => ++asked);
    expect([await ask("a"), await ask("a")]).toEqual([1, 2]);
  });

  it("makes an answer anew only for another version", async () => {
    const keep = keepingLast<{ version: string; n: number }>(10);
    let made = 0;
    const make = (version: string) => keep("evt", version, () => ({ version, n: ++made }));
    expect((await make("1")).n).toBe(1);
    expect((await make("1")).n).toBe(1);
    expect((await make("2")).n).toBe(2);
  });
});
