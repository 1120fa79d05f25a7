// The map to look at and to touch: pan, zoom, tap. Whoever can't use it has the list, which does the same.
import { useCallback, useEffect, useRef, useState } from "react";
import { money } from "../../format.js";
import { type Text, useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import type { LiveSeats } from "./live-seats.js";
import { createPainter, type Painter, type Palette, stageLeast, type View } from "./seat-painter.js";
import { nameSeat, type SeatPlan, seatAt, seatRooms, seatStates } from "./seat-plan.js";

export interface SeatCanvasProps {
  readonly plan: SeatPlan;
  readonly live: LiveSeats;
  readonly picked: ReadonlySet<number>;
  readonly tiers: readonly { readonly id: string; readonly name: string; readonly amount: number }[];
  readonly currency: string;
  readonly onPick: (seat: number) => void;
}

const closest = 44;

function paletteOf(element: Element): Palette {
  const style = getComputedStyle(element);
  const probe = document.createElement("span");
  // The map has shapes and its own contrasts: a system's few colours would make one of all of them.
  probe.style.forcedColorAdjust = "none";
  document.body.append(probe);
  const colour = (name: string): string => {
    probe.style.color = style.getPropertyValue(name);
    return getComputedStyle(probe).color;
  };
  const palette = {
    ground: colour("--wash"),
    paper: colour("--paper"),
    ink: colour("--ink"),
    soft: colour("--soft"),
    line: colour("--line"),
    accent: colour("--accent"),
    onAccent: colour("--on-accent"),
    held: colour("--soft"),
    sold: colour("--edge"),
    stage: colour("--soft"),
  };
  probe.remove();
  return palette;
}

export function SeatCanvas({ plan, live, picked, tiers, currency, onPick }: SeatCanvasProps) {
  const text = useText();
  const canvas = useRef<HTMLCanvasElement>(null);
  const painter = useRef<Painter>(undefined);
  const view = useRef<View>({ scale: 1, left: 0, top: 0 });
  const frame = useRef(0);
  /** Seats that changed since the map is here. */
  const mended = useRef(0);
  const hovered = useRef<number>(undefined);
  const shownPicks = useRef(picked);
  shownPicks.current = picked;
  const [card, setCard] = useState<{ seat: number; x: number; y: number }>();
  const { states, subscribe } = live;

  const paint = useCallback(() => {
    if (frame.current !== 0) return;
    frame.current = requestAnimationFrame(() => {
      frame.current = 0;
      if (!states) return;
      const began = performance.now();
      painter.current?.paint({ states, picked: shownPicks.current, hovered: hovered.current, view: view.current });
      // Read by the browser test that holds the map to its speed.
      const element = canvas.current;
      if (!element) return;
      element.dataset["paintMs"] = (performance.now() - began).toFixed(1);
      element.dataset["frames"] = String(Number(element.dataset["frames"] ?? 0) + 1);
      element.dataset["mended"] = String(mended.current);
      element.dataset["scale"] = view.current.scale.toFixed(2);
    });
  }, [states]);

  const whole = useCallback((): View => {
    const element = canvas.current;
    const [width, height] = [element?.clientWidth ?? 1, element?.clientHeight ?? 1];
    const scale = Math.min(width / (plan.width + 4), (height - stageLeast) / (plan.height + 4));
    const [left, top] = [(plan.width - width / scale) / 2, (plan.height - (height + stageLeast) / scale) / 2];
    return { scale, left, top };
  }, [plan]);

  /** However far one drags, the hall's edge stays at the middle of the view at the furthest. */
  const lookAt = useCallback(
    ({ scale, left, top }: View) => {
      const element = canvas.current;
      const halfWidth = (element?.clientWidth ?? 0) / 2 / scale;
      const halfHeight = (element?.clientHeight ?? 0) / 2 / scale;
      const within = (value: number, most: number) => Math.min(Math.max(value, 0), most);
      view.current = {
        scale,
        left: within(left + halfWidth, plan.width) - halfWidth,
        top: within(top + halfHeight, plan.height) - halfHeight,
      };
      paint();
    },
    [plan, paint],
  );

  const zoom = useCallback(
    (factor: number, atX?: number, atY?: number) => {
      const element = canvas.current;
      if (!element) return;
      const [x, y] = [atX ?? element.clientWidth / 2, atY ?? element.clientHeight / 2];
      const before = view.current;
      const scale = Math.min(closest, Math.max(whole().scale, before.scale * factor));
      lookAt({
        scale,
        left: before.left + x / before.scale - x / scale,
        top: before.top + y / before.scale - y / scale,
      });
    },
    [lookAt, whole],
  );

  useEffect(() => {
    const element = canvas.current;
    if (!element || !states) return;
    const began = performance.now();
    const mine = createPainter(
      element,
      plan,
      tiers.map(({ id }) => id),
      text("stage"),
    );
    painter.current = mine;
    const fit = () => {
      element.width = Math.round(element.clientWidth * devicePixelRatio);
      element.height = Math.round(element.clientHeight * devicePixelRatio);
    };
    fit();
    view.current = whole();
    mine.begin(states, paletteOf(element));
    paint();
    element.dataset["firstPaintMs"] = (performance.now() - began).toFixed(1);
    const unsubscribe = subscribe((changed) => {
      mended.current += changed?.length ?? 0;
      if (changed) mine.mend(changed, states);
      else mine.begin(states, paletteOf(element));
      paint();
    });
    const resized = new ResizeObserver(() => {
      fit();
      paint();
    });
    resized.observe(element);
    const recolour = () => {
      mine.begin(states, paletteOf(element));
      paint();
    };
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", recolour);
    const themed = new MutationObserver(recolour);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      unsubscribe();
      resized.disconnect();
      themed.disconnect();
      dark.removeEventListener("change", recolour);
      cancelAnimationFrame(frame.current);
      frame.current = 0;
    };
  }, [plan, states, tiers, text, paint, whole, subscribe]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: what is picked is drawn, not read here
  useEffect(paint, [paint, picked]);

  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const pointers = new Map<number, { x: number; y: number }>();
    let moved = 0;
    const at = (happened: MouseEvent) => {
      const box = element.getBoundingClientRect();
      return { x: happened.clientX - box.left, y: happened.clientY - box.top };
    };
    const seatUnder = ({ x, y }: { x: number; y: number }) =>
      seatAt(plan, view.current.left + x / view.current.scale, view.current.top + y / view.current.scale);

    const down = (happened: PointerEvent) => {
      if (pointers.size === 0) moved = 0;
      pointers.set(happened.pointerId, at(happened));
      element.setPointerCapture(happened.pointerId);
    };
    const move = (happened: PointerEvent) => {
      const now = at(happened);
      const before = pointers.get(happened.pointerId);
      if (!before) {
        if (happened.pointerType !== "mouse") return;
        const seat = view.current.scale >= 6 ? seatUnder(now) : undefined;
        if (seat === hovered.current) return;
        hovered.current = seat;
        setCard(seat === undefined ? undefined : { seat, ...now });
        return paint();
      }
      moved += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
      if (pointers.size === 1) {
        const { scale, left, top } = view.current;
        lookAt({ scale, left: left - (now.x - before.x) / scale, top: top - (now.y - before.y) / scale });
      } else {
        const other = [...pointers].find(([id]) => id !== happened.pointerId)?.[1];
        if (other) {
          const span = (point: { x: number; y: number }) => Math.hypot(point.x - other.x, point.y - other.y);
          zoom(span(now) / Math.max(1, span(before)), (now.x + other.x) / 2, (now.y + other.y) / 2);
        }
      }
      pointers.set(happened.pointerId, now);
    };
    const up = (happened: PointerEvent) => {
      const tapped = pointers.size === 1 && moved < 8;
      pointers.delete(happened.pointerId);
      if (!tapped || happened.type !== "pointerup") return;
      const point = at(happened);
      const seat = seatUnder(point);
      // From afar a finger covers many seats: the first tap comes nearer.
      if (view.current.scale < 9) return zoom(18 / view.current.scale, point.x, point.y);
      if (seat === undefined) return setCard(undefined);
      if (happened.pointerType !== "mouse") setCard({ seat, ...point });
      onPick(seat);
    };
    const wheel = (happened: WheelEvent) => {
      happened.preventDefault();
      const { x, y } = at(happened);
      zoom(Math.exp(-happened.deltaY * 0.002), x, y);
    };
    const leave = () => {
      hovered.current = undefined;
      setCard(undefined);
      paint();
    };
    element.addEventListener("pointerdown", down);
    element.addEventListener("pointermove", move);
    element.addEventListener("pointerup", up);
    element.addEventListener("pointercancel", up);
    element.addEventListener("pointerleave", leave);
    element.addEventListener("wheel", wheel, { passive: false });
    return () => {
      element.removeEventListener("pointerdown", down);
      element.removeEventListener("pointermove", move);
      element.removeEventListener("pointerup", up);
      element.removeEventListener("pointercancel", up);
      element.removeEventListener("pointerleave", leave);
      element.removeEventListener("wheel", wheel);
    };
  }, [plan, zoom, lookAt, paint, onPick]);

  const named = card && nameSeat(plan, card.seat);
  const tier = named && tiers.find(({ id }) => id === named.tier);
  return (
    <div className="relative">
      <canvas
        ref={canvas}
        data-testid="seat-map"
        role="img"
        aria-label={text("mapLabel")}
        className="h-[60dvh] min-h-80 w-full touch-none rounded-xl border border-line"
      />
      {named && tier && card ? (
        <div
          aria-hidden
          className="pointer-events-none absolute z-10 w-48 -translate-x-1/2 translate-y-4 rounded-lg border border-line bg-paper p-2 text-sm shadow-lg"
          style={{ left: Math.min(Math.max(card.x, 100), (canvas.current?.clientWidth ?? 200) - 100), top: card.y }}
        >
          <p className="font-semibold">
            {text("seatName", { section: named.section, row: named.row, number: named.number })}
          </p>
          <p>
            {tier.name} · {money(tier.amount, currency, text.locale)}
          </p>
          <p className="text-soft">
            {[
              picked.has(card.seat) ? text("seatMine") : stateText(text, states?.[card.seat]),
              roomText(text, plan, card.seat),
            ]
              .filter(Boolean)
              .join(" · ")}
          </p>
        </div>
      ) : undefined}
      <div className="mt-2 flex justify-end gap-2">
        <Button aria-label={text("zoomOut")} onClick={() => zoom(1 / 1.6)}>
          −
        </Button>
        <Button aria-label={text("zoomIn")} onClick={() => zoom(1.6)}>
          +
        </Button>
        <Button
          onClick={() => {
            view.current = whole();
            paint();
          }}
        >
          {text("zoomAll")}
        </Button>
      </div>
    </div>
  );
}

/** "accessible seat", or nothing. */
export function roomText(text: Text, plan: SeatPlan, seat: number): string {
  if (plan.room[seat] === seatRooms.accessible) return text("seatAccessible");
  return plan.room[seat] === seatRooms.companion ? text("seatCompanion") : "";
}

export function stateText(text: Text, state: number | undefined): string {
  if (state === seatStates.elsewhere) return text("codeElsewhere");
  if (state === seatStates.free) return text("seatFree");
  if (state === seatStates.held) return text("seatHeld");
  if (state === seatStates.sold) return text("seatSold");
  return text("seatBlocked");
}
