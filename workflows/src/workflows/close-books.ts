// The workflow that closes the books, each night by a Schedule and whenever somebody asks: Stripe's payments against payments, orders,
// tickets and claims. What differs is named with its cause; what was captured is accounted for, by currency.
import { formatMoney } from "@onsale/kit/money";
import { WorkflowExecutionAlreadyStartedError } from "@temporalio/common";
import {
  continueAsNew,
  log,
  ParentClosePolicy,
  proxyActivities,
  setCurrentDetails,
  startChild,
  workflowInfo,
} from "@temporalio/workflow";
import { addFigures } from "../books/compare.js";
import { causes } from "../books/findings.js";
import {
  type BooksFigures,
  type BooksFinding,
  type CloseBooksInput,
  type CloseBooksResult,
  followPaymentWorkflowId,
} from "../contract.js";
import { type BooksPage, type BooksPart, booksParts, type Steps } from "../steps.js";
import type { followPayment } from "./follow-payment.js";

// Stripe's slowest lane has room for it all night; what fails for half an hour shows that something is wrong.
const { compareBooks } = proxyActivities<Pick<Steps, "compareBooks">>({
  startToCloseTimeout: "120s",
  heartbeatTimeout: "10s",
  retry: { initialInterval: "1s", maximumInterval: "60s", maximumAttempts: 30 },
});

const mostNamed = 100;
/** So many are told to their orders in one run; the next goes on. */
const mostFollowed = 500;

/** Where a comparison stands that goes on in another run of the same workflow. */
interface Progress {
  readonly at: BooksPart;
  readonly cursor: string;
  readonly settledMs: number;
  readonly followed: number;
  readonly sofar: CloseBooksResult;
}

export async function closeBooks(input: CloseBooksInput, progress?: Progress): Promise<CloseBooksResult> {
  const settledMs = progress?.settledMs ?? Date.now() - input.settledAfterMs;
  let followed = progress?.followed ?? 0;
  let sofar = progress?.sofar ?? begun(input, settledMs);

  for (const part of booksParts.slice(progress ? booksParts.indexOf(progress.at) : 0)) {
    let cursor = part === progress?.at ? progress.cursor : "";
    do {
      setCurrentDetails(describe(`compares: ${partNames[part]}`, sofar));
      const { sinceMs, beforeMs } = sofar;
      const summary = `Compare the books: ${partNames[part]}`;
      const page = await compareBooks.executeWithOptions({ summary }, [{ part, sinceMs, beforeMs, settledMs, cursor }]);
      sofar = withPage(sofar, page);
      await follow(page.findings);
      cursor = page.nextCursor;
      if (cursor !== "" && workflowInfo().continueAsNewSuggested)
        await continueAsNew<typeof closeBooks>(input, { at: part, cursor, settledMs, followed, sofar });
    } while (cursor !== "");
  }
  setCurrentDetails(describe("has ended", sofar));
  if (count(sofar) > 0) log.error("the books have differences", { causes: sofar.causes });
  return sofar;

  /** Stripe's word is taken to the orders that have not heard it. */
  async function follow(findings: readonly BooksFinding[]): Promise<void> {
    const checkoutIds = findings.filter(({ cause }) => causes[cause].follow).map(({ checkoutId }) => checkoutId);
    for (const checkoutId of new Set(checkoutIds)) {
      if (followed >= mostFollowed) return;
      followed += 1;
      try {
        await startChild<typeof followPayment>("followPayment", {
          workflowId: followPaymentWorkflowId(checkoutId, `books-${workflowInfo().firstExecutionRunId}`),
          parentClosePolicy: ParentClosePolicy.ABANDON,
          args: [{ checkoutId }],
          staticSummary: `Stripe's word on ${checkoutId}, which the books have found missing`,
        });
      } catch (error) {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      }
    }
  }
}

function begun({ windowMs, sinceMs, beforeMs }: CloseBooksInput, settledMs: number): CloseBooksResult {
  const isChosen = sinceMs !== undefined || beforeMs !== undefined;
  const endsMs = Math.min(beforeMs ?? settledMs, settledMs);
  const beginsMs = sinceMs ?? (windowMs === undefined ? 0 : endsMs - windowMs);
  return {
    scope: isChosen ? "chosen" : windowMs === undefined ? "everything" : "usual",
    sinceMs: Math.max(0, beginsMs),
    beforeMs: Math.max(0, endsMs),
    ...{ compared: 0, figures: [], causes: {}, findings: [], inFlight: { count: 0, checkoutIds: [] }, foreign: 0 },
  };
}

function withPage(sofar: CloseBooksResult, page: BooksPage): CloseBooksResult {
  const counted = { ...sofar.causes };
  for (const { cause } of page.findings) counted[cause] = (counted[cause] ?? 0) + 1;
  return {
    ...sofar,
    compared: sofar.compared + page.compared,
    figures: addFigures(sofar.figures, page.figures),
    causes: counted,
    findings: [...sofar.findings, ...page.findings].slice(0, mostNamed),
    inFlight: {
      count: sofar.inFlight.count + page.inFlight.length,
      checkoutIds: [...sofar.inFlight.checkoutIds, ...page.inFlight].slice(0, mostNamed),
    },
    foreign: sofar.foreign + page.foreign,
  };
}

const count = ({ causes: counted }: CloseBooksResult): number =>
  Object.values(counted).reduce((sum, one) => sum + one, 0);

const partNames: Readonly<Record<BooksPart, string>> = {
  stripe: "payments at Stripe",
  payment: "our payments",
  order: "orders",
  sale: "claims",
};

// ---- what the Web UI shows, in Markdown

const columns = [
  ["captured", "captured"],
  ["tickets", "= tickets"],
  ["kept", "+ kept"],
  ["refunds", "+ refunds"],
  ["disputes", "+ disputes lost"],
  ["owed", "+ owed"],
  ["paidElsewhere", "+ paid another way"],
  ["setAside", "+ set aside"],
  ["difference", "**+ unexplained**"],
  ["held", "(held by banks)"],
] as const;

function describe(now: string, { sinceMs, beforeMs, figures, findings, ...books }: CloseBooksResult): string {
  const time = (ms: number) => new Date(ms).toISOString();
  const all = Object.values(books.causes).reduce((sum, one) => sum + one, 0);
  return [
    `${now}; ${all === 0 ? "no differences" : `**${all} differences**`}`,
    "",
    `- compared: ${books.compared} checkouts, ${sinceMs === 0 ? "from the first" : `from ${time(sinceMs)}`} to ${time(beforeMs)}`,
    `- under way, and left to the next run: ${books.inFlight.count}`,
    `- of somebody else at Stripe: ${books.foreign}`,
    "",
    ...(figures.length === 0 ? [] : table(figures)),
    "",
    ...findings.map(told),
    ...(all > findings.length ? [`- and ${all - findings.length} more: see the counts in the result`] : []),
  ].join("\n");
}

function told({ cause, who, checkoutId, about, amount, currency }: BooksFinding): string {
  const what = about.length === 0 ? "" : `: ${about.slice(0, 5).map(code).join(", ")}`;
  const money = amount === 0 ? "" : `, ${formatMoney({ amount, currency })}`;
  return `- **${cause}** (${who}) ${code(checkoutId)}${what}${money}. ${causes[cause].because}`;
}

/** Whoever has Stripe's account chooses some of these words: they must not become markup. */
const code = (text: string): string => `\`${text.replace(/[`\r\n]/g, " ")}\``;

const table = (figures: readonly BooksFigures[]): string[] => [
  `| currency | ${columns.map(([, title]) => title).join(" | ")} |`,
  `|---|${columns.map(() => "---:|").join("")}`,
  ...figures.map(
    (of) =>
      `| ${of.currency} | ${columns.map(([name]) => formatMoney({ amount: of[name], currency: of.currency })).join(" | ")} |`,
  ),
];
