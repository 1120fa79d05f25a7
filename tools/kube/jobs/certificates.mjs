// Job: makes the Secrets with the services' certificates that are missing or old (`make`), or takes all of them away (`remove`).
import { X509Certificate } from "node:crypto";
import { ask } from "./cluster-api.mjs";
import { isOld, makeAuthority, makeCertificate } from "./x509.mjs";

const { NAMESPACE: namespace, RELEASE: release, SERVICES = "", VALIDITY_DAYS = "365", LABELS = "{}" } = process.env;
const services = SERVICES.split(",").filter((name) => name !== "");
const validityDays = Number(VALIDITY_DAYS);
const secrets = `/api/v1/namespaces/${namespace}/secrets`;
const say = (line) => process.stdout.write(`${line}\n`);
const unpacked = (secret) =>
  Object.fromEntries(
    Object.entries(secret?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64").toString()]),
  );

async function write(name, stringData, isThere) {
  const secret = { metadata: { name, labels: JSON.parse(LABELS) }, type: "kubernetes.io/tls", stringData };
  if (isThere) await ask("PATCH", `${secrets}/${name}`, secret, "application/merge-patch+json");
  else await ask("POST", secrets, { apiVersion: "v1", kind: "Secret", ...secret });
}

async function make() {
  const authorityName = `${release}-authority-tls`;
  const known = await ask("GET", `${secrets}/${authorityName}`);
  let { "tls.crt": certificate, "tls.key": key, "ca.crt": trusted = "" } = unpacked(known);
  if (isOld(certificate)) {
    const before = certificate;
    ({ certificate, key } = makeAuthority(`${release} in ${namespace}`, validityDays * 10));
    // While pods are rolled, some still carry what the authority before has signed: both are trusted.
    trusted = `${certificate}${before && Date.parse(new X509Certificate(before).validTo) > Date.now() ? before : ""}`;
    await write(authorityName, { "tls.crt": certificate, "tls.key": key, "ca.crt": trusted }, known !== undefined);
    say(`${authorityName}: a new authority`);
  } else say(`${authorityName}: good until ${new X509Certificate(certificate).validTo}`);
  const authority = { certificate, key };

  for (const service of services) {
    const name = `${release}-${service}-tls`;
    const there = await ask("GET", `${secrets}/${name}`);
    const { "tls.crt": own, "ca.crt": ownTrusted } = unpacked(there);
    if (!isOld(own) && ownTrusted === trusted) {
      say(`${name}: good until ${new X509Certificate(own).validTo}`);
      continue;
    }
    const host = `${release}-${service}`;
    const names = [host, `${host}.${namespace}`, `${host}.${namespace}.svc`, `${host}.${namespace}.svc.cluster.local`];
    const fresh = makeCertificate(authority, host, names, validityDays);
    await write(name, { "tls.crt": fresh.certificate, "tls.key": fresh.key, "ca.crt": trusted }, there !== undefined);
    say(`${name}: a new certificate, good until ${new X509Certificate(fresh.certificate).validTo}`);
  }
}

async function remove() {
  for (const name of ["authority", ...services].map((service) => `${release}-${service}-tls`)) {
    const gone = await ask("DELETE", `${secrets}/${name}`);
    say(`${name}: ${gone === undefined ? "was not there" : "removed"}`);
  }
}

const steps = { make, remove };
const step = steps[process.argv[2]];
if (step === undefined || !namespace || !release) {
  process.stderr.write("usage: NAMESPACE=… RELEASE=… SERVICES=a,b node certificates.mjs make|remove\n");
  process.exit(2);
}
await step();
