// What the Temporal Web UI says about a checkout at this moment: its search attributes and its current details, in words.
import { formatMoney } from "@onsale/kit/money";
import { defineSearchAttributeKey, SearchAttributeType } from "@temporalio/common";
import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from "@temporalio/workflow";
import { type CheckoutView, plain, searchAttributes } from "../contract.js";

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);
export const attributeKeys = {
  eventId: keyword(searchAttributes.eventId),
  accountId: keyword(searchAttributes.accountId),
  status: keyword(searchAttributes.status),
} as const;

/** Writes those that differ from what the execution has: each write is a history event. */
export function index(values: Readonly<Partial<Record<keyof typeof attributeKeys, string>>>): void {
  const known = workflowInfo().typedSearchAttributes;
  const changed = (Object.keys(values) as (keyof typeof attributeKeys)[])
    .map((name) => ({ key: attributeKeys[name], value: values[name] }))
    .flatMap(({ key, value }) => (value === undefined || known.get(key) === value ? [] : [{ key, value }]));
  if (changed.length > 0) upsertSearchAttributes(changed);
}

/** `now`: what it does or waits for; `problem`: what went wrong last, if something did. */
export function show(view: CheckoutView, now: string, problem: string | undefined): void {
  const lines = [
    `**${view.status}**: ${now}`,
    "",
    `- ${view.seats.length} seats, ${formatMoney(view)}: ${view.seats.map((seat) => plain(seat.seatId)).join(", ")}`,
    `- held until ${new Date(view.deadlineMs).toISOString()}`,
    view.decline && `- last decline: ${plain(view.decline.code)} (${plain(view.decline.message)})`,
    view.reason && `- ended because: ${plain(view.reason)}`,
    view.ticketIds.length > 0 && `- tickets: ${view.ticketIds.map(plain).join(", ")}`,
    problem && `- last problem: ${plain(problem)}`,
  ];
  setCurrentDetails(lines.filter((line) => typeof line === "string").join("\n"));
}
