// Makes an authority and certificates signed by it (X.509 v3, ECDSA P-256; RFC 5280), which node:crypto can read but not make.
import { createHash, generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";

const day = 24 * 60 * 60 * 1000;

// ---- DER: a tag, a length, the content

function der(tag, ...parts) {
  const content = Buffer.concat(parts);
  if (content.length < 128) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const length = Buffer.from(content.length.toString(16).padStart(content.length > 0xff ? 4 : 2, "0"), "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, content]);
}
const sequence = (...parts) => der(0x30, ...parts);
const octets = (content) => der(0x04, content);
const truth = der(0x01, Buffer.from([0xff]));
const text = (value) => der(0x0c, Buffer.from(value));
const bits = (unused, content) => der(0x03, Buffer.from([unused]), content);

function positive(bytes) {
  const trimmed = bytes.subarray(
    Math.max(
      bytes.findIndex((byte) => byte !== 0),
      0,
    ),
  );
  return der(0x02, trimmed[0] & 0x80 ? Buffer.concat([Buffer.from([0]), trimmed]) : trimmed);
}

function oid(dotted) {
  const [first, second, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const groups = [part & 0x7f];
    for (let left = part >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return der(0x06, Buffer.from(bytes));
}

/** UTCTime until 2049, GeneralizedTime from then on, as RFC 5280 wants it. */
function time(at) {
  const digits = at
    .toISOString()
    .replace(/\.\d+Z$/, "Z")
    .replace(/[-:T]/g, "");
  return at.getUTCFullYear() < 2050 ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits));
}

const ecdsaWithSha256 = sequence(oid("1.2.840.10045.4.3.2"));
const named = (commonName) => sequence(der(0x31, sequence(oid("2.5.4.3"), text(commonName))));
const extension = (id, isCritical, value) => sequence(oid(id), ...(isCritical ? [truth] : []), octets(value));
const publicDer = (key) => key.export({ type: "spki", format: "der" });
/** Of the public key's bits, without what is around them: 26 bytes for an uncompressed point on P-256. */
const keyId = (key) => createHash("sha1").update(publicDer(key).subarray(26)).digest();

function certificate({ subject, publicKey, issuer, issuerPublicKey, issuerKey, from, until, extensions }) {
  const body = sequence(
    der(0xa0, positive(Buffer.from([2]))), // version 3
    positive(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ecdsaWithSha256,
    named(issuer),
    sequence(time(from), time(until)),
    named(subject),
    publicDer(publicKey),
    der(
      0xa3,
      sequence(
        ...extensions,
        extension("2.5.29.14", false, octets(keyId(publicKey))),
        extension("2.5.29.35", false, sequence(der(0x80, keyId(issuerPublicKey)))),
      ),
    ),
  );
  const signed = sequence(body, ecdsaWithSha256, bits(0, sign("sha256", body, issuerKey)));
  const lines = signed.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

const newKeys = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
const pem = (key) => key.export({ type: "pkcs8", format: "pem" });
/** Clocks of nodes differ. */
const start = (now) => new Date(now - 10 * 60 * 1000);

/** An authority that signs others: { certificate, key }, both PEM. */
export function makeAuthority(commonName, validityDays, now = Date.now()) {
  const { publicKey, privateKey } = newKeys();
  return {
    certificate: certificate({
      subject: commonName,
      publicKey,
      issuer: commonName,
      issuerPublicKey: publicKey,
      issuerKey: privateKey,
      from: start(now),
      until: new Date(now + validityDays * day),
      extensions: [
        extension("2.5.29.19", true, sequence(truth, positive(Buffer.from([0])))), // may sign, but no further authorities
        extension("2.5.29.15", true, bits(1, Buffer.from([0x06]))), // certificates and revocation lists
      ],
    }),
    key: pem(privateKey),
  };
}

/** A certificate for both ends of a connection, by the names that it is reached at: { certificate, key }, both PEM. */
export function makeCertificate(authority, commonName, dnsNames, validityDays, now = Date.now()) {
  const { publicKey, privateKey } = newKeys();
  const signer = new X509Certificate(authority.certificate);
  return {
    certificate: certificate({
      subject: commonName,
      publicKey,
      issuer: signer.subject.replace(/^CN=/, ""),
      issuerPublicKey: signer.publicKey,
      issuerKey: authority.key,
      from: start(now),
      until: new Date(Math.min(now + validityDays * day, Date.parse(signer.validTo))),
      extensions: [
        extension("2.5.29.19", true, sequence()),
        extension("2.5.29.15", true, bits(7, Buffer.from([0x80]))), // digital signatures
        extension("2.5.29.37", false, sequence(oid("1.3.6.1.5.5.7.3.1"), oid("1.3.6.1.5.5.7.3.2"))), // server, client
        extension("2.5.29.17", false, sequence(...dnsNames.map((name) => der(0x82, Buffer.from(name))))),
      ],
    }),
    key: pem(privateKey),
  };
}

/** Is two thirds of its time over? Undefined counts as a certificate that was never made. */
export function isOld(certificatePem, now = Date.now()) {
  if (certificatePem === undefined) return true;
  const { validFrom, validTo } = new X509Certificate(certificatePem);
  const [from, until] = [Date.parse(validFrom), Date.parse(validTo)];
  return now > from + ((until - from) * 2) / 3;
}
