// The certificates that the Job makes: for each other's eyes, and for Node's and OpenSSL's.
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer, type TLSSocket } from "node:tls";
import { describe, expect, it } from "vitest";

interface Pair {
  readonly certificate: string;
  readonly key: string;
}
const { makeAuthority, makeCertificate, isOld } = (await import(
  new URL("../../tools/kube/jobs/x509.mjs", import.meta.url).href
)) as {
  makeAuthority(name: string, days: number, now?: number): Pair;
  makeCertificate(authority: Pair, name: string, dns: string[], days: number, now?: number): Pair;
  isOld(certificate: string | undefined, now?: number): boolean;
};
const day = 86_400_000;
const authority = makeAuthority("onsale in shop", 3650);
const names = ["onsale-inventory", "onsale-inventory.shop.svc.cluster.local"];
const inventory = makeCertificate(authority, "onsale-inventory", names, 365);

describe("certificates of the Job", () => {
  it("are signed by the authority, for the names given", () => {
    const [own, signer] = [new X509Certificate(inventory.certificate), new X509Certificate(authority.certificate)];
    expect(own.checkIssued(signer) && own.verify(signer.publicKey)).toBe(true);
    expect(names.map((name) => own.checkHost(name))).toEqual(names);
    expect(own.checkHost("onsale-payment")).toBeUndefined();
    expect([signer.ca, own.ca]).toEqual([true, false]);
  });

  it("open a connection between two that have one, and to nobody else", async () => {
    const gateway = makeCertificate(authority, "onsale-gateway", ["onsale-gateway"], 365);
    const stranger = makeCertificate(makeAuthority("somebody else", 10), "onsale-gateway", ["onsale-gateway"], 1);
    const server = createServer(
      {
        ca: authority.certificate,
        cert: inventory.certificate,
        key: inventory.key,
        requestCert: true,
        rejectUnauthorized: true,
      },
      (socket) => socket.end("welcome"),
    );
    server.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const call = (own: Pair) =>
      new Promise<string>((resolve) => {
        const options = { port, host: "127.0.0.1", servername: "onsale-inventory", ca: authority.certificate };
        const socket: TLSSocket = connect({ ...options, cert: own.certificate, key: own.key });
        let heard = "";
        socket.on("data", (chunk) => {
          heard += chunk;
        });
        socket.on("error", (error) => resolve(`refused: ${(error as NodeJS.ErrnoException).code}`));
        socket.on("close", () => resolve(heard || "refused"));
      });
    try {
      expect(await call(gateway)).toBe("welcome");
      expect(await call(stranger)).toContain("refused");
    } finally {
      server.close();
    }
  });

  it("are replaced once two thirds of their time are over, and never outlive their authority", () => {
    const now = Date.parse("2027-01-01T00:00:00Z");
    const signer = makeAuthority("short", 100, now);
    const own = makeCertificate(signer, "x", ["x"], 365, now).certificate;
    expect(Date.parse(new X509Certificate(own).validTo)).toBe(now + 100 * day);
    expect(isOld(undefined, now)).toBe(true);
    expect(isOld(own, now + 60 * day)).toBe(false);
    expect(isOld(own, now + 70 * day)).toBe(true);
    // Years from 2050 on are written differently.
    expect(new X509Certificate(makeAuthority("long", 3650 * 4, now).certificate).validTo).toContain("2066");
  });

  const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
  it.skipIf(!hasOpenssl)(`pass OpenSSL's strict check${hasOpenssl ? "" : " (skipped: no openssl on PATH)"}`, () => {
    const folder = mkdtempSync(join(tmpdir(), "onsale-certificates-"));
    writeFileSync(join(folder, "ca.crt"), authority.certificate);
    writeFileSync(join(folder, "tls.crt"), inventory.certificate);
    const purposes = ["sslserver", "sslclient"].map(
      (purpose) =>
        spawnSync("openssl", ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", "ca.crt", "tls.crt"], {
          cwd: folder,
        }).status,
    );
    rmSync(folder, { recursive: true, force: true });
    expect(purposes).toEqual([0, 0]);
  });
});
