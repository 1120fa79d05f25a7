// Routes by which operators have the books closed, and read what they came to.
import { DomainError } from "@onsale/kit/errors";
import { derivedId } from "@onsale/kit/ids";
import {
  booksWorkflowId,
  type CloseBooksInput,
  type CloseBooksResult,
  usualBooks,
  workflowTypes,
} from "@onsale/workflows/contract";
import { z } from "zod";
import type { Execution, Temporal } from "../clients/temporal.js";
import { type Route, route } from "../http/route.js";
import * as schema from "../schemas.js";

const { amount, currency, time } = schema;
const signed = z.int().meta({ description: "In the currency's minor unit." });

const newBooks = z
  .strictObject({
    since: schema.timeIn.optional().meta({ description: "26 hours before the end, if left out." }),
    before: schema.timeIn.optional().meta({ description: "Some minutes ago, if left out." }),
    everything: z.literal(true).optional().meta({ description: "From the first payment on." }),
    settledMinutes: z
      .int()
      .min(0)
      .max(1440)
      .default(usualBooks.settledAfterMs / 60_000)
      .meta({
        description: "What changed in the last so many minutes may be under way, and is no difference.",
      }),
  })
  .refine(({ since, before, everything }) => !everything || (since === undefined && before === undefined), {
    error: "everything has no since and no before",
  })
  .meta({ id: "NewBooks" });

const figures = z
  .object({
    currency,
    payments: z.int(),
    captured: amount,
    tickets: signed.meta({ description: "What valid tickets cost, less goodwill." }),
    kept: signed.meta({ description: "Of void tickets. Below 0: more went back than was paid." }),
    refunds: amount,
    disputes: amount.meta({ description: "Lost to banks." }),
    owed: amount.meta({ description: "Refunds that banks sent back." }),
    paidElsewhere: amount.meta({ description: "Refunds that were paid another way than by Stripe." }),
    setAside: amount.meta({ description: "For refunds that are not at Stripe yet." }),
    difference: signed.meta({ description: "What nothing explains; 0 when there is no finding." }),
    held: amount.meta({ description: "Of captured: what disputes that are not decided keep." }),
  })
  .meta({
    id: "BooksFigures",
    description: "captured = tickets + kept + refunds + disputes + owed + paidElsewhere + setAside + difference.",
  });

const books = z
  .object({
    booksId: z.string(),
    status: z.enum(["running", "closed", "failed"]),
    startedAt: time,
    closedAt: time.optional(),
    result: z
      .object({
        scope: z.enum(["usual", "everything", "chosen"]),
        since: time,
        before: time,
        compared: z.int().meta({ description: "Checkouts." }),
        figures: z.array(figures),
        causes: z.record(z.string(), z.int()).meta({ description: "How many findings there are of each cause." }),
        findings: z
          .array(
            z.object({
              cause: z.string(),
              who: z.enum(["itself", "person", "stripe"]).meta({ description: "Who can mend it." }),
              checkoutId: z.string(),
              about: z.array(z.string()).meta({ description: "A PaymentIntent, a refund, a dispute, or seats." }),
              amount: amount.meta({ description: "At stake; 0: no money is." }),
              currency,
            }),
          )
          .meta({ description: "At most 100." }),
        inFlight: z.object({ count: z.int(), checkoutIds: z.array(z.string()) }).meta({
          description: "Differences of checkouts that are under way: left to the next time.",
        }),
        foreign: z.int().meta({ description: "Stripe's payments that name no checkout." }),
      })
      .optional()
      .meta({ description: "With status closed." }),
  })
  .meta({ id: "Books" });

const tag = "operations";
const forOperators = { access: "account", roles: ["operator"], limits: "by caller" } as const;

export function booksRoutes(temporal: Temporal, taskQueue: string): Route[] {
  return [
    route(
      {
        method: "post",
        path: "/v1/operations/books",
        operationId: "closeBooks",
        tag,
        summary: "Close the books now",
        description:
          "Stripe's payments are compared with payments, orders, tickets and claims. It takes a minute for some ten thousand payments; GET tells when it is done.",
        ...forOperators,
        idempotencyKey: "required",
        body: newBooks,
        answers: { 202: { description: "They are being closed.", schema: z.object({ booksId: z.string() }) } },
      },
      async ({ body, identity, attempt }) => {
        const booksId = derivedId("bks", identity.accountId, attempt.key);
        const started = await temporal.start({
          type: workflowTypes.closeBooks,
          workflowId: booksWorkflowId(booksId),
          taskQueue,
          input: inputOf(body),
          summary: "The books, closed because an operator asked",
        });
        if (started.kind === "not-started" || started.kind === "unknown")
          throw new DomainError(
            "UNAVAILABLE",
            "The books can't be closed right now. Send the same request again, with the same Idempotency-Key.",
            { retryAfterSeconds: 2 },
            started.cause,
          );
        return { status: 202, body: { booksId: booksWorkflowId(booksId) } };
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/operations/books",
        operationId: "listBooks",
        tag,
        summary: "What the books came to, newest first",
        description: "Each night's, and those that operators asked for, as far as Temporal remembers them.",
        ...forOperators,
        query: z.strictObject({ limit: schema.limit(20, 5) }),
        answers: { 200: { description: "The books.", schema: z.object({ books: z.array(books) }) } },
      },
      async ({ query: { limit } }) => {
        const query = `WorkflowType = '${workflowTypes.closeBooks}' AND TaskQueue = '${taskQueue}'`;
        // One that goes on in another run is one.
        const found = await temporal.newest(`${query} AND ExecutionStatus != 'ContinuedAsNew'`, limit);
        return { status: 200, body: { books: await Promise.all(found.map((one) => shownBooks(temporal, one))) } };
      },
    ),
  ];
}

function inputOf({ since, before, everything, settledMinutes }: z.output<typeof newBooks>): CloseBooksInput {
  const settledAfterMs = settledMinutes * 60_000;
  if (everything) return { settledAfterMs };
  return {
    settledAfterMs,
    windowMs: usualBooks.windowMs,
    ...(since !== undefined && { sinceMs: since }),
    ...(before !== undefined && { beforeMs: before }),
  };
}

async function shownBooks(temporal: Temporal, { workflowId, status, startedAtMs, closedAtMs }: Execution) {
  const outcome =
    status === "COMPLETED" ? await temporal.result<CloseBooksResult>(workflowId) : { kind: "gone" as const };
  return {
    booksId: workflowId,
    status: status === "RUNNING" ? "running" : status === "COMPLETED" ? "closed" : "failed",
    startedAt: new Date(startedAtMs).toISOString(),
    ...(closedAtMs !== undefined && { closedAt: new Date(closedAtMs).toISOString() }),
    ...(outcome.kind === "done" && { result: shownResult(outcome.result) }),
  };
}

const shownResult = ({ sinceMs, beforeMs, ...result }: CloseBooksResult) => ({
  ...result,
  since: new Date(sinceMs).toISOString(),
  before: new Date(beforeMs).toISOString(),
});
