// Password policy and the line in front of the hashing.
import { DomainError } from "@onsale/kit/errors";
import { describe, expect, test } from "vitest";
import { createPasswordHasher, createTurns, weakness } from "./passwords.js";

const about = { email: "ann.miller@example.com", name: "Ann Miller Smith" };

describe("weakness", () => {
  test.each(["seventeen owls", "💺🎫🎤🎸🥁🎹🎺🎻🪕🪗", "пароль на вечер", "x7!kQ2#mV9"])(
    "finds none in %j",
    (password) => {
      expect(weakness(password, about)).toBeUndefined();
    },
  );

  test.each([
    ["", /needs at least 10/],
    ["123456789", /has 9 characters; it needs at least 10/],
    ["💺🎫🎤🎸🥁🎹🎺🎻🪕", /has 9 characters/],
    ["1234567890", /everybody tries first/],
    ["PassWord123", /everybody tries first/],
    ["ｐａｓｓｗｏｒｄ１２３", /everybody tries first/],
    ["abababababababab", /same few characters/],
    ["ann.miller@example.com", /your e-mail or your name/],
    ["ANN.MILLER", /your e-mail or your name/],
    ["annmillersmith", /your e-mail or your name/],
    ["Ann  Miller Smith", /your e-mail or your name/],
    ["x1y2z3".repeat(22), /more than 128/],
    ["x".repeat(10_000_000), /more than 128/],
  ])("%#: says why", (password, why) => {
    expect(weakness(password, about)).toMatch(why);
  });
});

describe("hashing", () => {
  const settings = { memoryKib: 1024, passes: 1, lanes: 1, concurrency: 2, queue: 10 };

  test("knows the password again however it was composed, and no other", async () => {
    const hasher = createPasswordHasher(settings);
    const stored = await hasher.hash("zoë's password");
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=1024,t=1,p=1\$/);
    expect(await hasher.verify(stored, "zoe\u0308's password")).toEqual({ correct: true });
    expect(await hasher.verify(stored, "zoe's password")).toEqual({ correct: false });
    expect(await hasher.hash("zoë's password")).not.toBe(stored);
  });

  test("hashes anew when the parameters differ", async () => {
    const stored = await createPasswordHasher({ ...settings, passes: 2 }).hash("seventeen owls");
    const hasher = createPasswordHasher(settings);
    const { correct, rehashed } = await hasher.verify(stored, "seventeen owls");
    expect(correct).toBe(true);
    expect(await hasher.verify(rehashed, "seventeen owls")).toEqual({ correct: true });
    expect(await hasher.verify(stored, "wrong")).toEqual({ correct: false });
  });

  test("nobody's password is right", async () => {
    expect(await createPasswordHasher(settings).verify(undefined, "")).toEqual({ correct: false });
  });
});

describe("turns", () => {
  function held() {
    let release: () => void = () => undefined;
    const done = new Promise<void>((resolve) => {
      release = resolve;
    });
    return { done, release };
  }

  test("never run more at once than allowed, and all run in the end, in order", async () => {
    const inTurn = createTurns(3, 100);
    let running = 0;
    let most = 0;
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 30 }, (_, at) =>
        inTurn(async () => {
          running += 1;
          most = Math.max(most, running);
          order.push(at);
          await new Promise((resolve) => setImmediate(resolve));
          running -= 1;
          if (at % 7 === 0) throw new Error("work may fail");
        }).catch(() => undefined),
      ),
    );
    expect(most).toBe(3);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(order).toHaveLength(30);
  });

  test("refuse whoever would make the line too long, and let in the next when it is shorter", async () => {
    const inTurn = createTurns(1, 1);
    const first = held();
    const running = inTurn(() => first.done);
    const waiting = inTurn(async () => "waited");
    await expect(inTurn(async () => "too many")).rejects.toMatchObject({ code: "UNAVAILABLE" });
    first.release();
    await running;
    expect(await waiting).toBe("waited");
    expect(await inTurn(async () => "next")).toBe("next");
  });

  test("forget whoever stops waiting, without running their work", async () => {
    const inTurn = createTurns(1, 5);
    const first = held();
    const running = inTurn(() => first.done);
    const caller = new AbortController();
    let ran = false;
    const leaving = inTurn(async () => {
      ran = true;
    }, caller.signal);
    const staying = inTurn(async () => "stayed");
    caller.abort();
    await expect(leaving).rejects.toBeInstanceOf(DomainError);
    first.release();
    await running;
    expect(await staying).toBe("stayed");
    expect(ran).toBe(false);
    await expect(inTurn(async () => "late", caller.signal)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});
