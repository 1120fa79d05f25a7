// Ticket tokens: small enough for a QR code, which a reader that is not ours reads back.
import { generateKeyPairSync } from "node:crypto";
import type { KeyRing } from "@onsale/kit/signing-keys";
import { compactVerify } from "jose";
import { decodeQR } from "qr/decode.js";
import { describe, expect, it } from "vitest";
import { createTokenSigner, qrSvg } from "./tokens.js";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const keys: KeyRing = {
  signingKey: async () => ({ kid: "k".repeat(11), privateKey }),
  verificationKeys: async () => ({ keys: [] }),
};
const signer = createTokenSigner(keys, "onsale");
const ordinary = {
  ticketId: `tkt_${"0".repeat(26)}`,
  eventId: `evt_${"0".repeat(26)}`,
  seatId: "NORTH-AA-42",
  issuedAtMs: 1_800_000_000_999,
};
/** The longest that inventory gives out. */
const longest = { ...ordinary, eventId: "e".repeat(64), seatId: "SECTION12345-ROWX-99999" };

describe("a token", () => {
  it("says which ticket, event and seat, and nothing about a person", async () => {
    const { payload, protectedHeader } = await compactVerify(await signer.sign(ordinary), publicKey);
    expect(protectedHeader).toEqual({ alg: "EdDSA", kid: "k".repeat(11) });
    expect(JSON.parse(new TextDecoder().decode(payload))).toEqual({
      iss: "onsale",
      tid: ordinary.ticketId,
      eid: ordinary.eventId,
      seat: ordinary.seatId,
      iat: 1_800_000_000,
    });
  });

  it("is small", async () => {
    // What a QR code of version 13 (69 modules a side) and 15 (77) holds at level M: ISO/IEC 18004, table 7.
    expect((await signer.sign(ordinary)).length).toBeLessThanOrEqual(331);
    expect((await signer.sign(longest)).length).toBeLessThanOrEqual(412);
  });

  it("is the same for the same ticket and key", async () => {
    expect(await signer.sign(ordinary)).toBe(await signer.sign(ordinary));
  });
});

describe("the QR code", () => {
  it.each([ordinary, longest])("reads back as the token, %#", async (claims) => {
    const token = await signer.sign(claims);
    const svg = await qrSvg(token);
    expect(svg).toMatch(/^<svg /);
    expect(svg).not.toMatch(/script|href|onload/);
    expect(decodeQR(rendered(svg, 4))).toBe(token);
  });
});

/** Draws the horizontal strokes ("M4 4.5h7m1 0h2…") that the code is made of, each module as scale × scale pixels. */
function rendered(svg: string, scale: number) {
  const side = Number(/viewBox="0 0 (\d+) \1"/.exec(svg)?.[1]);
  const path = /stroke="[^"]*" d="([^"]*)"/.exec(svg)?.[1] ?? "";
  const width = side * scale;
  const data = new Uint8ClampedArray(width * width * 4).fill(255);
  let x = 0;
  let y = 0;
  for (const [, command, first = "", second = ""] of path.matchAll(/([Mmh])(-?[\d.]+)(?:[ ,]?(-?[\d.]+))?/g)) {
    if (command === "M") [x, y] = [Number(first), Math.floor(Number(second))];
    else if (command === "m") [x, y] = [x + Number(first), y + Number(second)];
    else {
      for (let row = y * scale; row < (y + 1) * scale; row++)
        for (let column = x * scale; column < (x + Number(first)) * scale; column++)
          data.fill(0, (row * width + column) * 4, (row * width + column) * 4 + 3);
      x += Number(first);
    }
  }
  return { width, height: width, data };
}
