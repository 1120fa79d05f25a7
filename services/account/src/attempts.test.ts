// Which counters a log-in touches: places, keys and growing blocks.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addressPlace, attemptKeys, blockSeconds, isClientAddress } from "./attempts.js";

describe("addressPlace", () => {
  test.each([
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["::ffff:c000:207", "192.0.2.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:0DB8:0001:0002::9", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["64:ff9b::192.0.2.7", "64:ff9b:0:0::/64"],
    ["", undefined],
    ["localhost", undefined],
  ])("%j is %j", (address, place) => {
    expect(addressPlace(address)).toBe(place);
  });

  test("two spellings of one IPv6 address are one place, and so is its whole /64", () => {
    const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(groups, fc.integer({ min: 0, max: 0xffff }), (given, last) => {
        const spelt = given.map((group) => group.toString(16)).join(":");
        const padded = given.map((group) => group.toString(16).toUpperCase().padStart(4, "0")).join(":");
        const neighbour = [...given.slice(0, 7), last].map((group) => group.toString(16)).join(":");
        fc.pre(!/^0:0:0:0:/.test(spelt));
        expect(addressPlace(padded)).toBe(addressPlace(spelt));
        expect(addressPlace(neighbour)).toBe(addressPlace(spelt));
      }),
      { numRuns: 200 },
    );
  });

  test("an address is an IP address or not given", () => {
    for (const address of ["", "192.0.2.7", "::1", "fe80::1%eth0"]) expect(isClientAddress(address)).toBe(true);
    for (const address of ["x", "1.2.3", "1.2.3.4:5", "1.2.3.4, 5.6.7.8", "\u0000"])
      expect(isClientAddress(address)).toBe(false);
  });
});

test("keys are apart for each e-mail and address, and tell neither", () => {
  const hashKey = Buffer.alloc(32, 7);
  const keys = attemptKeys(hashKey, "ann@example.com", "192.0.2.7");
  expect(attemptKeys(hashKey, "ann@example.com", "192.0.2.7")).toEqual(keys);
  const elsewhere = attemptKeys(hashKey, "ann@example.com", "192.0.2.8");
  expect(elsewhere.account).toBe(keys.account);
  expect(elsewhere.accountAndAddress).not.toBe(keys.accountAndAddress);
  expect(attemptKeys(hashKey, "bob@example.com", "192.0.2.7").address).toBe(keys.address);
  expect(attemptKeys(hashKey, "ann@example.com", "").address).toBeUndefined();
  expect(attemptKeys(Buffer.alloc(32, 8), "ann@example.com", "192.0.2.7").account).not.toBe(keys.account);
  for (const key of Object.values(keys)) expect(key).toMatch(/^[\w-]{22}$/);
});

test("blocks double up to the limit, and never last less than the window", () => {
  expect([1, 2, 3, 4, 5].map((strike) => blockSeconds(strike, 900, 3600))).toEqual([900, 1800, 3600, 3600, 3600]);
  expect(blockSeconds(1_000_000, 900, 3600)).toBe(3600);
  expect(blockSeconds(1, 900, 60)).toBe(900);
});
