// The mark of a price: its colour and its shape, as seats have them on the map.
import { tierColour, tierEdge, tierShape } from "./seat-painter.js";

/** `tier`: which one of the event's, from 0. Says nothing by itself: the price's name stands beside it. */
export function TierMark({ tier }: { tier: number }) {
  const corners = tierShape(tier);
  const look = { fill: tierColour(tier), stroke: tierEdge(tier), strokeWidth: 0.07 };
  return (
    <svg aria-hidden viewBox="-0.62 -0.62 1.24 1.24" className="inline-block size-4 shrink-0">
      {corners.length === 0 ? <circle r="0.5" {...look} /> : <polygon points={corners.join(" ")} {...look} />}
    </svg>
  );
}
