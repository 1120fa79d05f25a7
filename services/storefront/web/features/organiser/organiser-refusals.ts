// What the refusals mean that only organisers meet; those that buyers meet too are in refusal-text.ts. Pure.
import type { ApiError } from "../../api/client.js";
import type { Values } from "../../messages/fill.js";
import type { OrganiserMessages } from "./messages/en.js";

type Key = keyof OrganiserMessages;
type Details = ApiError["details"];

const meanings: Readonly<Record<string, Key | ((details: Details) => Key)>> = {
  DISPUTE_NOT_FOUND: "refusalNoDispute",
  DISPUTE_CLOSED: "refusalDisputeClosed",
  EVENT_EXISTS: "refusalEventExists",
  EVENT_IS_DRAFT: "refusalIsDraft",
  EVENT_NOT_DRAFT: "refusalNotDraft",
  DRAFT_CHANGED: "refusalDraftChanged",
  IF_MATCH_REQUIRED: "refusalIfMatch",
  LAYOUT_INVALID: (details) => (problemsIn(details).length > 0 ? "refusalHallProblems" : "refusalHall"),
  CHANNEL_IN_THE_WAY: "refusalChannelsInTheWay",
  SEATS_ALLOCATED: "refusalAllotted",
  CHANNEL_LIMIT_REACHED: "refusalChannelLimit",
  CODE_DUPLICATE: (details) => (listOf(details, "positions").length === 2 ? "refusalCodesSame" : "refusalCodeTwice"),
  SEATS_BLOCKED: "refusalBlocked",
  BLOCKED_BY_LAYOUT: "refusalByLayout",
};

const mostProblemsTold = 5;

/** Undefined: it is none of these, or the API's own English is as good and says more. */
export function organiserRefusal(
  { code, details, message }: Pick<ApiError, "code" | "details" | "message">,
  language: string,
): { readonly key: Key; readonly values: Values } | undefined {
  const meaning = Object.hasOwn(meanings, code) ? meanings[code] : undefined;
  if (meaning === undefined || (language === "en" && message)) return undefined;
  const [first = 0, second = 0] = listOf(details, "positions").map(Number);
  return {
    key: typeof meaning === "function" ? meaning(details) : meaning,
    values: {
      seats: listOf(details, "seats").join(", "),
      names: listOf(details, "channels")
        .map((channel) => `“${String((channel as { name?: unknown }).name ?? "")}”`)
        .join(", "),
      most: String(details["most"] ?? ""),
      first: first + 1,
      second: second + 1,
      problems: problemsIn(details).join("; "),
    },
  };
}

function listOf(details: Details, name: string): unknown[] {
  const value = details[name];
  return Array.isArray(value) ? value : [];
}

/** Where and what, in the API's words: they name sections, rows and seats. */
function problemsIn(details: Details): string[] {
  const told = [
    ...listOf(details, "problems").map((one) => one as { at?: unknown; problem?: unknown }),
    ...(details.errors ?? []).map(({ pointer, detail }) => ({ at: pointer, problem: detail })),
  ];
  return told
    .slice(0, mostProblemsTold)
    .map(({ at, problem }) => `${String(at ?? "")} ${String(problem ?? "")}`.trim());
}
