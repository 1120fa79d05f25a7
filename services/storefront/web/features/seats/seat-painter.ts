// Draws the map. Far away: each section is a small picture of its seats, kept and only mended where a seat changes. Near:
// the seats in view themselves. A price has a shape beside its colour, which seats have near and which is strewn over sections
// far away, so that nobody needs to tell colours apart.
import { type SeatPlan, seatRooms, seatStates, sectionHeading, stageHeight } from "./seat-plan.js";

export interface View {
  /** Pixels (of CSS) a unit. */
  readonly scale: number;
  /** The unit at the canvas's left and upper edge. */
  readonly left: number;
  readonly top: number;
}

export interface Palette {
  readonly ground: string;
  readonly paper: string;
  readonly ink: string;
  readonly soft: string;
  readonly line: string;
  readonly accent: string;
  readonly onAccent: string;
  readonly held: string;
  readonly sold: string;
  readonly stage: string;
}

/** Told apart by every kind of colour vision (Okabe and Ito's set), in the order of the tiers. */
export const tierColours = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"] as const;
export const tierColour = (tier: number): string => tierColours[tier % tierColours.length] as string;

/** What is written on them. */
const onTierColours = ["#ffffff", "#1b1a18", "#ffffff", "#1b1a18", "#1b1a18", "#ffffff"] as const;

/** Around colours that are too light for white paper: a shade that everybody sees. */
const tierEdges = [undefined, "#9c6b00", undefined, undefined, "#2478ad", undefined] as const;
export const tierEdge = (tier: number): string | undefined => tierEdges[tier % tierEdges.length];

/** Corners of a tier's shape, about its middle, for a seat that is 1 wide; none: a circle. A number fits into each. */
const tierCorners: readonly (readonly (readonly [number, number])[])[] = [
  [],
  box(0.45, 0.45),
  [
    [0, -0.575],
    [0.575, 0],
    [0, 0.575],
    [-0.575, 0],
  ],
  [
    [0, -0.5],
    [0.5, 0.425],
    [-0.5, 0.425],
  ],
  box(0.56, 0.3),
  [
    [0, 0.5],
    [0.5, -0.425],
    [-0.5, -0.425],
  ],
];
function box(x: number, y: number) {
  return [
    [-x, -y],
    [x, -y],
    [x, y],
    [-x, y],
  ] as const;
}
export const tierShape = (tier: number) => tierCorners[tier % tierCorners.length] ?? [];

/** Where a price's shape is strewn over a section, in pixels from its upper left corner: at least once, never too close. */
export function strewn(
  width: number,
  height: number,
): { readonly at: readonly (readonly [number, number])[]; size: number } {
  const columns = Math.max(1, Math.round(width / 44));
  const lines = Math.max(1, Math.round(height / 36));
  const [across, down] = [width / columns, height / lines];
  const at: [number, number][] = [];
  for (let line = 0; line < lines; line++)
    for (let column = 0; column < columns; column++) at.push([(column + 0.5) * across, (line + 0.5) * down]);
  return { at, size: Math.min(12, Math.max(3, 0.5 * Math.min(across, down))) };
}

/** Pixels a seat in a section's picture: enough for its shape where there are few, little work where there are many. */
const grains = { few: 12, many: 4, mostFew: 8_000 } as const;
/** From this scale on seats are drawn themselves. */
const nearScale = 9;
const labelScale = 20;
/** A section of so many pixels bears its name, also where there is no room for it above its seats. */
const leastNamed = { width: 24, height: 36 } as const;
const plate = { height: 14, font: 11 } as const;
/** Pixels that the stage is high at least. */
export const stageLeast = 18;
/** More picked seats than these, as an organiser takes them, are no pins on the map but an area. */
const mostPins = 40;

export interface Scene {
  readonly states: Uint8Array;
  readonly picked: ReadonlySet<number>;
  readonly hovered: number | undefined;
  readonly view: View;
}

export type Painter = ReturnType<typeof createPainter>;

export function createPainter(canvas: HTMLCanvasElement, plan: SeatPlan, tiers: readonly string[], stageName: string) {
  const context = canvas.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
  const grain = plan.seatCount > grains.mostFew ? grains.many : grains.few;
  /** From this scale on the seats' own shapes are seen. */
  const shapesShow = grain === grains.few ? 7 : nearScale;
  const tierOf = plan.sections.map(({ tier }) => Math.max(0, tiers.indexOf(tier)));
  let palette: Palette | undefined;
  let pictures: OffscreenCanvas[] = [];
  let brushes: (OffscreenCanvasRenderingContext2D | null)[] = [];

  /** As seats are near, or what is left of it in few pixels. */
  function dab(seat: number, states: Uint8Array, colours: Palette): void {
    const at = plan.sectionOf[seat] ?? 0;
    const section = plan.sections[at];
    const brush = brushes[at];
    if (!section || !brush) return;
    const x = ((plan.x[seat] ?? 0) - section.x) * grain;
    const y = ((plan.y[seat] ?? 0) - section.y) * grain;
    const state = states[seat] ?? 0;
    const tier = tierOf[at] ?? 0;
    const fill = state === seatStates.free ? tierColour(tier) : state === seatStates.held ? colours.held : colours.sold;
    brush.clearRect(x - grain / 2, y - grain / 2, grain, grain);
    brush.fillStyle = fill;
    if (grain === grains.many) {
      const side = state === seatStates.free || state === seatStates.held ? 3 : state === seatStates.sold ? 2 : 1;
      brush.fillRect(x - side / 2, y - side / 2, side, side);
      if (state === seatStates.held) brush.clearRect(x - 0.5, y - 0.5, 1, 1);
      return;
    }
    const path = new Path2D();
    if (state === seatStates.held) {
      shape(path, tier, x, y, grain * 0.62);
      brush.strokeStyle = fill;
      brush.lineWidth = 1.5;
      brush.stroke(path);
      return;
    }
    shape(path, tier, x, y, grain * (state === seatStates.free ? 0.8 : state === seatStates.sold ? 0.45 : 0.3));
    brush.fill(path);
  }

  function drawSections(states: Uint8Array, colours: Palette): void {
    pictures = plan.sections.map(
      ({ width, height }) => new OffscreenCanvas(Math.max(1, width * grain), Math.max(1, height * grain)),
    );
    brushes = pictures.map((picture) => picture.getContext("2d"));
    for (let seat = 0; seat < plan.seatCount; seat++) dab(seat, states, colours);
  }

  function shape(path: Path2D, tier: number, x: number, y: number, size: number): void {
    const corners = tierShape(tier);
    if (corners.length === 0) {
      path.moveTo(x + size / 2, y);
      path.arc(x, y, size / 2, 0, 2 * Math.PI);
      return;
    }
    for (const [at, [dx, dy]] of corners.entries())
      if (at === 0) path.moveTo(x + dx * size, y + dy * size);
      else path.lineTo(x + dx * size, y + dy * size);
    path.closePath();
  }

  /** The shape of a section's price, again and again: over its seats far away, over its places always. */
  function strew(at: number, x: number, y: number, width: number, height: number, ink: string): void {
    const marks = strewn(width, height);
    const path = new Path2D();
    for (const [dx, dy] of marks.at)
      if (x + dx > -20 && x + dx < canvas.clientWidth + 20 && y + dy > -20 && y + dy < canvas.clientHeight + 20)
        shape(path, tierOf[at] ?? 0, x + dx, y + dy, marks.size);
    context.fillStyle = ink;
    context.fill(path);
  }

  function drawNear(scene: Scene, colours: Palette, width: number, height: number): void {
    const { view, states, picked } = scene;
    const size = view.scale * 0.78;
    const right = view.left + width / view.scale;
    const bottom = view.top + height / view.scale;
    const fills = new Map<string, Path2D>();
    const edges = new Map<string, Path2D>();
    const outlines = new Path2D();
    const chosen = new Path2D();
    const into = (fill: string): Path2D => {
      const path = fills.get(fill) ?? new Path2D();
      fills.set(fill, path);
      return path;
    };
    for (const [at, section] of plan.sections.entries()) {
      if (section.x > right || section.x + section.width < view.left) continue;
      const tier = tierOf[at] ?? 0;
      const edge = tierEdge(tier);
      if (edge) edges.set(edge, into(tierColour(tier)));
      for (const row of section.rows) {
        if (row.y > bottom || row.y + 1 < view.top) continue;
        for (let seat = row.firstSeat; seat < row.firstSeat + row.seats; seat++) {
          const unit = plan.x[seat] ?? 0;
          if (unit < view.left - 1 || unit > right + 1) continue;
          const x = (unit - view.left) * view.scale;
          const y = ((plan.y[seat] ?? 0) - view.top) * view.scale;
          const state = states[seat] ?? 0;
          if (picked.has(seat)) shape(chosen, tier, x, y, size * 1.15);
          else if (state === seatStates.free) shape(into(tierColour(tier)), tier, x, y, size);
          else if (state === seatStates.held) shape(outlines, tier, x, y, size * 0.9);
          else if (state === seatStates.sold) shape(into(colours.sold), tier, x, y, size * 0.45);
          else shape(into(colours.line), tier, x, y, size * 0.3);
        }
        if (view.scale >= labelScale) {
          context.fillStyle = colours.soft;
          context.font = `${Math.min(13, view.scale * 0.5)}px system-ui, sans-serif`;
          context.textAlign = "right";
          context.textBaseline = "middle";
          context.fillText(row.label, (row.x - 0.3 - view.left) * view.scale, (row.y + 0.5 - view.top) * view.scale);
        }
      }
    }
    for (const [fill, path] of fills) {
      context.fillStyle = fill;
      context.fill(path);
    }
    for (const [edge, path] of edges) {
      context.strokeStyle = edge;
      context.lineWidth = 1;
      context.stroke(path);
    }
    context.strokeStyle = colours.held;
    context.lineWidth = Math.max(1, view.scale * 0.09);
    context.stroke(outlines);
    context.fillStyle = colours.accent;
    context.fill(chosen);
    context.strokeStyle = colours.ink;
    context.lineWidth = Math.max(1.5, view.scale * 0.1);
    context.stroke(chosen);
    if (scene.hovered !== undefined) {
      const x = ((plan.x[scene.hovered] ?? 0) - view.left) * view.scale;
      const y = ((plan.y[scene.hovered] ?? 0) - view.top) * view.scale;
      context.strokeStyle = colours.ink;
      context.strokeRect(x - view.scale / 2, y - view.scale / 2, view.scale, view.scale);
    }
    if (view.scale < labelScale * 1.4) return;
    context.font = `${view.scale * 0.34}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const [at, section] of plan.sections.entries())
      for (const row of section.rows) {
        if (row.y > bottom || row.y + 1 < view.top) continue;
        for (let seat = row.firstSeat; seat < row.firstSeat + row.seats; seat++) {
          const unit = plan.x[seat] ?? 0;
          const state = states[seat] ?? 0;
          if (unit < view.left || unit > right || (state !== seatStates.free && !picked.has(seat))) continue;
          context.fillStyle = picked.has(seat)
            ? colours.onAccent
            : (onTierColours[(tierOf[at] ?? 0) % onTierColours.length] as string);
          context.fillText(
            plan.room[seat] === seatRooms.accessible ? "\u267f\ufe0e" : String(plan.number[seat]),
            (unit - view.left) * view.scale,
            ((plan.y[seat] ?? 0) - view.top) * view.scale,
          );
        }
      }
  }

  return {
    /** Everything anew: at the start, and when the colours change. */
    begin(states: Uint8Array, colours: Palette): void {
      palette = colours;
      drawSections(states, colours);
    },

    /** These seats have changed; they show with the next `paint`. */
    mend(seats: Iterable<number>, states: Uint8Array): void {
      if (palette) for (const seat of seats) dab(seat, states, palette);
    },

    paint(scene: Scene): void {
      if (!palette) return;
      const { view, picked } = scene;
      const density = canvas.width / Math.max(1, canvas.clientWidth);
      const width = canvas.width / density;
      const height = canvas.height / density;
      context.setTransform(density, 0, 0, density, 0, 0);
      // Without in-between sizes, a picture that is much larger than its place would lose seats at random.
      context.imageSmoothingQuality = 2 * view.scale < grain ? "medium" : "low";
      context.fillStyle = palette.ground;
      context.fillRect(0, 0, width, height);
      const px = (unit: number) => (unit - view.left) * view.scale;
      const py = (unit: number) => (unit - view.top) * view.scale;

      context.fillStyle = palette.stage;
      context.beginPath();
      // Never too low for its word: then it reaches further back.
      const stage = Math.max(stageLeast, stageHeight * view.scale);
      const front = py(stageHeight);
      context.roundRect(px(plan.width * 0.25), front - stage, plan.width * 0.5 * view.scale, stage, 8);
      context.fill();
      context.fillStyle = palette.paper;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.font = `600 ${Math.max(11, Math.min(22, stage * 0.4))}px system-ui, sans-serif`;
      context.fillText(stageName, px(plan.width / 2), front - stage / 2);

      for (const [at, section] of plan.sections.entries()) {
        const [x, y] = [px(section.x), py(section.y)];
        const [w, h] = [section.width * view.scale, section.height * view.scale];
        if (x > width || y > height || x + w < 0 || y + h < 0) continue;
        context.fillStyle = palette.paper;
        context.strokeStyle = palette.line;
        context.lineWidth = 1;
        context.beginPath();
        context.roundRect(x - 0.6 * view.scale, y, w + 1.2 * view.scale, h + 0.6 * view.scale, Math.min(8, view.scale));
        context.fill();
        context.stroke();
        const picture = pictures[at];
        const space = sectionHeading * view.scale;
        if (section.generalAdmission) {
          const tier = tierOf[at] ?? 0;
          context.fillStyle = tierColour(tier);
          context.fillRect(x, y + space, w, h - space);
          strew(at, x, y + space, w, h - space, onTierColours[tier % onTierColours.length] as string);
        } else if (view.scale < nearScale && picture && section.seats > 0) {
          context.drawImage(picture, x, y, w, h);
          if (view.scale < shapesShow) strew(at, x, y + space, w, h - space, palette.ink);
        }
        if (space >= 8) {
          context.fillStyle = palette.ink;
          context.font = `600 ${Math.max(8, Math.min(14, space * 0.62))}px system-ui, sans-serif`;
          context.fillText(section.id, x + w / 2, y + space / 2, w + view.scale);
        } else if (w >= leastNamed.width && h - space >= leastNamed.height) {
          // Too far away for its heading: on a plate at its upper edge, above and between the shapes.
          context.font = `600 ${plate.font}px system-ui, sans-serif`;
          const wide = Math.min(w, context.measureText(section.id).width + 8);
          context.fillStyle = palette.paper;
          context.beginPath();
          context.roundRect(x + (w - wide) / 2, y + space, wide, plate.height, [0, 0, 4, 4]);
          context.fill();
          context.fillStyle = palette.ink;
          context.fillText(section.id, x + w / 2, y + space + plate.height / 2, wide - 4);
        }
      }
      if (view.scale >= nearScale) {
        drawNear(scene, palette, width, height);
        return;
      }
      // What is picked must be seen from afar, too: one by one, or, where it is many, as what it covers.
      const chosen = new Path2D();
      const size = picked.size > mostPins ? view.scale : Math.max(8, view.scale * 1.4);
      for (const seat of picked) {
        const [x, y] = [px(plan.x[seat] ?? 0), py(plan.y[seat] ?? 0)];
        if (picked.size > mostPins) chosen.rect(x - size / 2, y - size / 2, size, size);
        else shape(chosen, 0, x, y, size);
      }
      context.fillStyle = palette.accent;
      context.fill(chosen);
      if (picked.size > mostPins) return;
      context.strokeStyle = palette.ink;
      context.lineWidth = 1.5;
      context.stroke(chosen);
    },
  };
}
