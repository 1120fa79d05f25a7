// node docs/profiles/summarise.mjs FILE.cpuprofile CALLS: where a process's time goes, by part, in microseconds a call.
import { readFileSync } from "node:fs";

const [file, calls] = process.argv.slice(2);
const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, "utf8"));
const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));

/** The first that fits; what V8 does not name a file for are its own parts and the system calls below Node. */
const parts = [
  [
    "writes to sockets and files (system calls)",
    ({ functionName }) => /^(writev|write[A-Z]\w*String|writeBuffer)$/.test(functionName),
  ],
  ["garbage collector", ({ functionName }) => functionName === "(garbage collector)"],
  ["native code and the kernel, unnamed", ({ functionName }) => functionName === "(program)"],
  [
    "Express and its router",
    ({ url }) => /node_modules\/(express|router|finalhandler|helmet|path-to-regexp)\//.test(url),
  ],
  ["gRPC and its messages", ({ url }) => /@grpc|protobuf|proto\/dist|http2|grpc-stream/.test(url)],
  [
    "Valkey's client",
    ({ url }) => /node_modules\/(@?ioredis|redis-parser)|rate-limiter-flexible|kit\/dist\/redis/.test(url),
  ],
  [
    "access tokens, sealing, hashes",
    ({ url, functionName }) =>
      /jose|internal\/crypto|node:crypto/.test(url) ||
      /Digest|Sign|Cipher|Hash|RandomBytes|^(initiv|update|final|run)$/.test(functionName),
  ],
  ["stack traces", ({ url }) => /source_map|prepare_stack/.test(url)],
  ["logs", ({ url }) => /pino|sonic-boom|kit\/dist\/log/.test(url)],
  ["metrics", ({ url }) => /prom-client/.test(url)],
  ["validation", ({ url }) => /node_modules\/zod/.test(url)],
  ["HTTP in Node", ({ url }) => /node:_http|node:internal\/http/.test(url)],
  ["streams, sockets, events, promises in Node", ({ url }) => /^node:/.test(url)],
  ["this service and the kit", ({ url }) => /\/dist\//.test(url)],
  ["the rest", () => true],
];

const micros = new Map(parts.map(([name]) => [name, 0]));
samples.forEach((id, at) => {
  const frame = frames.get(id);
  if (frame.functionName === "(idle)") return;
  const [name] = parts.find(([, fits]) => fits(frame));
  micros.set(name, micros.get(name) + timeDeltas[at]);
});
const sum = [...micros.values()].reduce((total, one) => total + one, 0);
process.stdout.write(`| part | µs a call | % |\n| --- | ---: | ---: |\n`);
for (const [name, total] of [...micros].sort(([, a], [, b]) => b - a))
  process.stdout.write(`| ${name} | ${(total / calls).toFixed(1)} | ${((100 * total) / sum).toFixed(1)} |\n`);
process.stdout.write(`| together | ${(sum / calls).toFixed(1)} | 100 |\n`);
