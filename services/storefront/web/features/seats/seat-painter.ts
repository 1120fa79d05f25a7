// Draws the map. Far away: each section is a small picture of its seats, kept and only mended where a seat changes. Near:
// the seats in view themselves, with a shape for each price, so that nobody needs to tell colours apart.
import { type SeatPlan, seatRooms, seatStates, stageHeight } from "./seat-plan.js";

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

/** Pixels a seat in a section's picture. */
const grain = 4;
/** From this scale on seats are drawn themselves. */
const nearScale = 9;
const labelScale = 20;

export interface Scene {
  readonly states: Uint8Array;
  readonly picked: ReadonlySet<number>;
  readonly hovered: number | undefined;
  readonly view: View;
}

export type Painter = ReturnType<typeof createPainter>;

export function createPainter(canvas: HTMLCanvasElement, plan: SeatPlan, tiers: readonly string[], stageName: string) {
  const context = canvas.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
  const tierOf = plan.sections.map(({ tier }) => Math.max(0, tiers.indexOf(tier)));
  let palette: Palette | undefined;
  let pictures: OffscreenCanvas[] = [];
  let brushes: (OffscreenCanvasRenderingContext2D | null)[] = [];

  const fillOf = (colours: Palette, state: number, tier: number): string | undefined => {
    if (state === seatStates.free) return tierColour(tier);
    if (state === seatStates.held) return colours.held;
    if (state === seatStates.sold) return colours.sold;
    return undefined;
  };

  function dab(seat: number, states: Uint8Array, colours: Palette): void {
    const at = plan.sectionOf[seat] ?? 0;
    const section = plan.sections[at];
    const brush = brushes[at];
    if (!section || !brush) return;
    const x = ((plan.x[seat] ?? 0) - 0.5 - section.x) * grain;
    const y = ((plan.y[seat] ?? 0) - 0.5 - section.y) * grain;
    const fill = fillOf(colours, states[seat] ?? 0, tierOf[at] ?? 0);
    brush.clearRect(x, y, grain, grain);
    if (!fill) return;
    brush.fillStyle = fill;
    brush.fillRect(x + 0.5, y + 0.5, grain - 1, grain - 1);
  }

  function drawSections(states: Uint8Array, colours: Palette): void {
    pictures = plan.sections.map(
      ({ width, height }) => new OffscreenCanvas(Math.max(1, width * grain), Math.max(1, height * grain)),
    );
    brushes = pictures.map((picture) => picture.getContext("2d"));
    for (let seat = 0; seat < plan.seatCount; seat++) dab(seat, states, colours);
  }

  /** A circle, a square, a diamond or a triangle, by price. */
  function shape(path: Path2D, tier: number, x: number, y: number, size: number): void {
    const half = size / 2;
    switch (tier % 4) {
      case 0:
        path.moveTo(x + half, y);
        path.arc(x, y, half, 0, 2 * Math.PI);
        break;
      case 1:
        path.rect(x - half * 0.9, y - half * 0.9, size * 0.9, size * 0.9);
        break;
      case 2:
        path.moveTo(x, y - half * 1.15);
        path.lineTo(x + half * 1.15, y);
        path.lineTo(x, y + half * 1.15);
        path.lineTo(x - half * 1.15, y);
        path.closePath();
        break;
      default:
        path.moveTo(x, y - half);
        path.lineTo(x + half, y + half * 0.85);
        path.lineTo(x - half, y + half * 0.85);
        path.closePath();
    }
  }

  function drawNear(scene: Scene, colours: Palette, width: number, height: number): void {
    const { view, states, picked } = scene;
    const size = view.scale * 0.78;
    const right = view.left + width / view.scale;
    const bottom = view.top + height / view.scale;
    const fills = new Map<string, Path2D>();
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
      context.fillStyle = palette.ground;
      context.fillRect(0, 0, width, height);
      const px = (unit: number) => (unit - view.left) * view.scale;
      const py = (unit: number) => (unit - view.top) * view.scale;

      context.fillStyle = palette.stage;
      context.beginPath();
      context.roundRect(px(plan.width * 0.25), py(0), plan.width * 0.5 * view.scale, stageHeight * view.scale, 8);
      context.fill();
      context.fillStyle = palette.paper;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.font = `600 ${Math.max(10, Math.min(22, stageHeight * view.scale * 0.4))}px system-ui, sans-serif`;
      context.fillText(stageName, px(plan.width / 2), py(stageHeight / 2));

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
        if (view.scale < nearScale && picture && section.seats > 0) context.drawImage(picture, x, y, w, h);
        if (section.generalAdmission) {
          context.fillStyle = tierColour(tierOf[at] ?? 0);
          context.fillRect(x, y + 2 * view.scale, w, h - 2 * view.scale);
        }
        const space = 2 * view.scale;
        if (space >= 8) {
          context.fillStyle = palette.ink;
          context.font = `600 ${Math.max(8, Math.min(14, space * 0.62))}px system-ui, sans-serif`;
          context.fillText(section.id, x + w / 2, y + view.scale, w + view.scale);
        }
      }
      if (view.scale >= nearScale) {
        drawNear(scene, palette, width, height);
        return;
      }
      // What is picked must be seen from afar, too.
      context.fillStyle = palette.accent;
      context.strokeStyle = palette.ink;
      context.lineWidth = 1.5;
      for (const seat of picked) {
        context.beginPath();
        context.arc(px(plan.x[seat] ?? 0), py(plan.y[seat] ?? 0), Math.max(4, view.scale * 0.7), 0, 2 * Math.PI);
        context.fill();
        context.stroke();
      }
    },
  };
}
