// The workflows that a worker runs: each export is a workflow type.
// biome-ignore-all lint/performance/noBarrelFile: Temporal's bundler wants one entry
export { cancelEvent } from "./cancel-event.js";
export { checkout } from "./checkout.js";
export { closeBooks } from "./close-books.js";
export { failedRefund } from "./failed-refund.js";
export { findOrphans } from "./find-orphans.js";
export { followPayment } from "./follow-payment.js";
export { openDispute } from "./open-dispute.js";
export { reconcileInventory } from "./reconcile-inventory.js";
export { refund } from "./refund.js";
export { settleLatePayment } from "./settle-late-payment.js";
