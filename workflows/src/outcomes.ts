// How a workflow ended, in a word of a bounded few: for metrics. Pure.
import { endReasons, workflowTypes } from "./contract.js";

/** What those who count may ask of a workflow's result. */
interface Ended {
  readonly status?: unknown;
  readonly reason?: unknown;
  readonly action?: unknown;
  readonly corrected?: unknown;
  readonly unavailable?: unknown;
  readonly mended?: unknown;
  readonly forAPerson?: unknown;
  readonly outcome?: unknown;
  readonly causes?: unknown;
}

/** Ends that a checkout may come to. `broken_off`: cancelled although its buyer wanted to pay, and nothing was charged. */
export const checkoutOutcomes = ["completed", "expired", "cancelled", "broken_off", "refunded", "failed"] as const;

/** `incomplete`: some events could not be compared. */
export const reconcileOutcomes = ["equal", "corrected", "incomplete"] as const;

/** `mended`: something had lost its workflow and was put right. `person`: something needs one. */
export const orphanOutcomes = ["clean", "mended", "person"] as const;

export const booksOutcomes = ["balanced", "differences"] as const;

const wanted: readonly unknown[] = [endReasons.buyerCancelled, endReasons.operatorCancelled];
const statuses: readonly unknown[] = checkoutOutcomes;
const actions: readonly unknown[] = ["nothing", "cancelled", "refunded", "finished", "person"];

/** Of a workflow that returned; `failed` and `cancelled` are those that threw. */
export function outcomeOf(workflowType: string, result: unknown): string {
  const { status, reason, action, corrected, unavailable, mended, forAPerson, outcome, causes } = (result ??
    {}) as Ended;
  if (workflowType === workflowTypes.checkout) {
    if (status === "cancelled" && !wanted.includes(reason)) return "broken_off";
    return statuses.includes(status) ? String(status) : "failed";
  }
  if (workflowType === workflowTypes.settleLatePayment) return actions.includes(action) ? String(action) : "completed";
  if (workflowType === workflowTypes.reconcileInventory)
    return Number(unavailable) > 0 ? "incomplete" : Number(corrected) > 0 ? "corrected" : "equal";
  if (workflowType === workflowTypes.findOrphans)
    return Array.isArray(forAPerson) && forAPerson.length > 0 ? "person" : Number(mended) > 0 ? "mended" : "clean";
  if (workflowType === workflowTypes.closeBooks)
    return Object.keys(causes ?? {}).length > 0 ? "differences" : "balanced";
  if (workflowType === workflowTypes.refund && outcome === "failed") return "sent_back";
  return "completed";
}
