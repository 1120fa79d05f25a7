// The settings of the way to Temporal: what they mean, and which contradict each other.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { temporalConnection, temporalConnectionProblem } from "./temporal.js";

const folder = mkdtempSync(join(tmpdir(), "onsale-temporal-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const TEMPORAL_ADDRESS = "temporal.example:7233";
const ca = file("ca.pem", "-----BEGIN CERTIFICATE-----\n");
const cert = file("cert.pem", "-----BEGIN CERTIFICATE-----\n");
const key = file("key.pem", "-----BEGIN PRIVATE KEY-----\n");

describe("the way to Temporal", () => {
  test("is in the clear when nothing is said", () => {
    expect(temporalConnection({ TEMPORAL_ADDRESS })).toEqual({ address: TEMPORAL_ADDRESS });
    expect(temporalConnection({ TEMPORAL_ADDRESS, TEMPORAL_TLS: "", TEMPORAL_API_KEY: "" })).toEqual({
      address: TEMPORAL_ADDRESS,
    });
  });

  test("has TLS when it is asked for, by itself with a file or a key", () => {
    expect(temporalConnection({ TEMPORAL_ADDRESS, TEMPORAL_TLS: true })).toMatchObject({ tls: {} });
    expect(temporalConnection({ TEMPORAL_ADDRESS, TEMPORAL_TLS: "true" })).toMatchObject({ tls: {} });
    expect(temporalConnection({ TEMPORAL_ADDRESS, TEMPORAL_TLS_CA: ca })).toMatchObject({
      tls: { serverRootCACertificate: Buffer.from("-----BEGIN CERTIFICATE-----\n") },
    });
    expect(
      temporalConnection({
        TEMPORAL_ADDRESS,
        TEMPORAL_TLS_CERT: cert,
        TEMPORAL_TLS_KEY: key,
        TEMPORAL_TLS_SERVER_NAME: "t",
      }),
    ).toMatchObject({
      tls: { clientCertPair: { crt: expect.any(Buffer), key: expect.any(Buffer) }, serverNameOverride: "t" },
    });
    expect(temporalConnection({ TEMPORAL_ADDRESS, TEMPORAL_API_KEY: "abc" })).toEqual({
      address: TEMPORAL_ADDRESS,
      tls: {},
      apiKey: "abc",
    });
    expect(temporalConnection({ TEMPORAL_ADDRESS, TEMPORAL_API_KEY_FILE: file("api-key", "abc\n") }).apiKey).toBe(
      "abc",
    );
  });

  test.each([
    ["half a certificate", { TEMPORAL_TLS_CERT: cert }, /both TEMPORAL_TLS_CERT and TEMPORAL_TLS_KEY/],
    ["TLS off, with a file", { TEMPORAL_TLS: "false", TEMPORAL_TLS_CA: ca }, /TEMPORAL_TLS is false, but/],
    ["TLS off, with a key", { TEMPORAL_TLS: false, TEMPORAL_API_KEY: "hunter2" }, /must not travel in the clear/],
    ["two API keys", { TEMPORAL_API_KEY: "hunter2", TEMPORAL_API_KEY_FILE: "x" }, /not both/],
    ["an API key of two lines", { TEMPORAL_API_KEY: "hunter2\nx" }, /TEMPORAL_API_KEY is empty, or/],
    ["an empty API key file", { TEMPORAL_API_KEY_FILE: file("empty", "\n") }, /TEMPORAL_API_KEY_FILE is empty/],
    [
      "a missing file",
      { TEMPORAL_TLS_CA: "/nowhere/ca.pem" },
      /TEMPORAL_TLS_CA names a file that can't be read \(ENOENT\)/,
    ],
    [
      "a file of something else",
      { TEMPORAL_TLS_CA: file("x", "hunter2") },
      /TEMPORAL_TLS_CA names a file that is not in PEM/,
    ],
  ])("%s is refused in a sentence", (_, settings, sentence) => {
    expect(() => temporalConnection({ TEMPORAL_ADDRESS, ...settings })).toThrow(sentence);
    try {
      temporalConnection({ TEMPORAL_ADDRESS, ...settings });
    } catch (error) {
      expect((error as Error).message).not.toContain("hunter2");
    }
  });

  test("that fails for another reason is not explained away", () => {
    expect(temporalConnectionProblem(new Error("14 UNAVAILABLE: connect ECONNREFUSED"))).toBeUndefined();
  });
});
