// node docs/profiles/flame.mjs FILE.cpuprofile CALLS "title" > picture.svg: a flame graph; widths are microseconds a call.
import { readFileSync } from "node:fs";

const [file, calls, title = file] = process.argv.slice(2);
const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, "utf8"));

const byId = new Map(nodes.map((node) => [node.id, node]));
const own = new Map();
for (const [at, id] of samples.entries()) own.set(id, (own.get(id) ?? 0) + timeDeltas[at]);

/** Same-named calls below one caller are one frame, whatever line they are on. */
function merge(ids) {
  const frames = new Map();
  for (const id of ids) {
    const { callFrame, children = [] } = byId.get(id);
    if (callFrame.functionName === "(idle)") continue;
    const name = nameOf(callFrame);
    const frame = frames.get(name) ?? { name, kind: kindOf(callFrame), ownMicros: 0, ids: [] };
    frame.ownMicros += own.get(id) ?? 0;
    frame.ids.push(...children);
    frames.set(name, frame);
  }
  return [...frames.values()].map(({ ids: below, ...frame }) => {
    const children = merge(below);
    return { ...frame, children, micros: frame.ownMicros + children.reduce((sum, { micros }) => sum + micros, 0) };
  });
}

function nameOf({ functionName, url }) {
  const place = url
    .replace(/^.*node_modules\//, "")
    .replace(/^file:.*\/(services|kit|proto|workflows|bench)\//, "$1/")
    .replace(/^node:internal\//, "node:");
  return `${functionName || "(anonymous)"}${place ? ` · ${place}` : ""}`;
}

function kindOf({ url, functionName }) {
  if (functionName === "(garbage collector)") return "gc";
  if (/node_modules/.test(url)) return "library";
  if (/^node:/.test(url)) return "node";
  return /\/dist\//.test(url) ? "ours" : "native";
}

const colours = { ours: "#e8743b", library: "#f2b134", node: "#7fb069", native: "#9aa5b1", gc: "#c05780" };
const words = {
  ours: "onsale",
  library: "libraries",
  node: "Node",
  native: "native code, kernel",
  gc: "garbage collector",
};
const [width, line, top] = [1200, 16, 58];
const root = merge([nodes[0].id])[0];
const least = root.micros * 0.0035;
const boxes = [];

function draw(frame, x, depth) {
  if (frame.micros < least) return;
  boxes.push({ ...frame, x, depth });
  let at = x;
  for (const child of frame.children.sort((a, b) => b.micros - a.micros)) {
    draw(child, at, depth + 1);
    at += child.micros;
  }
}
draw(root, 0, 0);

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
const deepest = Math.max(...boxes.map(({ depth }) => depth));
const scale = width / root.micros;
const perCall = (micros) => `${(micros / calls).toFixed(1)} µs a call, ${((100 * micros) / root.micros).toFixed(1)} %`;
const out = [
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top + (deepest + 1) * line + 4}" font-family="sans-serif" font-size="10"><title>${escaped(title)}</title>`,
  `<rect width="100%" height="100%" fill="#fff"/><text x="6" y="20" font-size="15">${escaped(title)}</text>`,
  `<text x="6" y="37" font-size="11">${escaped(`${(root.micros / calls).toFixed(0)} µs a call together; what takes less than 0.35 % is left out`)}</text>`,
];
Object.entries(words).forEach(([kind, word], at) => {
  const x = 640 + at * 112;
  out.push(
    `<rect x="${x}" y="28" width="10" height="10" fill="${colours[kind]}"/><text x="${x + 14}" y="37">${word}</text>`,
  );
});
for (const { name, kind, micros, x, depth } of boxes) {
  const [left, wide, y] = [x * scale, micros * scale, top + depth * line];
  const room = Math.floor((wide - 4) / 5.2);
  const text = room < 4 ? "" : name.length > room ? `${name.slice(0, room - 1)}…` : name;
  out.push(
    `<g><title>${escaped(`${name}: ${perCall(micros)}`)}</title><rect x="${left.toFixed(1)}" y="${y}" width="${Math.max(0.3, wide - 0.4).toFixed(1)}" height="${line - 1}" fill="${colours[kind]}"/>${text && `<text x="${(left + 2).toFixed(1)}" y="${y + 11}">${escaped(text)}</text>`}</g>`,
  );
}
out.push("</svg>");
process.stdout.write(`${out.join("\n")}\n`);
