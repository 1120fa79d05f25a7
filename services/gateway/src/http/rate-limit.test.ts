// Tests of how addresses are counted for rate limits.
import { expect, test } from "vitest";
import { countedAddress } from "./rate-limit.js";

test.each([
  ["203.0.113.7", "203.0.113.7"],
  ["::ffff:203.0.113.7", "203.0.113.7"],
  ["::FFFF:203.0.113.7", "203.0.113.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
  ["2001:0db8:0001:0002::1", "2001:db8:1:2::/64"],
  ["2001:db8::1", "2001:db8:0:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
  ["::1", "0:0:0:0::/64"],
  ["", ""],
  ["nonsense", "nonsense"],
])("%s counts as %s", (address, counted) => {
  expect(countedAddress(address)).toBe(counted);
});

test("two addresses of one subscriber count as one, those of two do not", () => {
  expect(countedAddress("2001:db8:1:2::1")).toBe(countedAddress("2001:db8:1:2:ffff:ffff:ffff:ffff"));
  expect(countedAddress("2001:db8:1:2::1")).not.toBe(countedAddress("2001:db8:1:3::1"));
});
