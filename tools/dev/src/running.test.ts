// One stack a folder: who owns it, and that a dead owner does not.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { claimFolder, leaveFolder, noteReady, parentOf, readRunning } from "./running.js";

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "onsale-running-"));
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

it("is claimed by one, found by others, and left", () => {
  expect(readRunning(dataDir)).toBeUndefined();
  expect(claimFolder(dataDir)).toBe(true);
  expect(claimFolder(dataDir)).toBe(false);
  noteReady(dataDir, { gatewayUrl: "http://127.0.0.1:8080" });
  expect(readRunning(dataDir)).toMatchObject({ pid: process.pid, gatewayUrl: "http://127.0.0.1:8080" });
  leaveFolder(dataDir);
  expect(readRunning(dataDir)).toBeUndefined();
});

it("is free when its owner is dead, or when its pid is another process's by now", () => {
  const note = join(dataDir, "running.json");
  writeFileSync(note, JSON.stringify({ pid: 2 ** 22 + 1 })); // above the kernel's highest pid
  expect(readRunning(dataDir)).toBeUndefined();
  expect(claimFolder(dataDir)).toBe(true);
  const ours = JSON.parse(readFileSync(note, "utf8")) as { startedTicks: string };
  writeFileSync(note, JSON.stringify({ ...ours, startedTicks: `${ours.startedTicks}0` }));
  expect(readRunning(dataDir)).toBeUndefined();
  expect(claimFolder(dataDir)).toBe(true);
});

it("is free when the note was cut off in the middle of writing", () => {
  writeFileSync(join(dataDir, "running.json"), '{"pid": 12');
  expect(readRunning(dataDir)).toBeUndefined();
  expect(claimFolder(dataDir)).toBe(true);
});

it("knows the parent of a process", () => {
  expect(parentOf(process.pid)).toBe(process.ppid);
});
