// Routes of buying: hold seats, pay for them, or give them back.
import { DomainError } from "@onsale/kit/errors";
import type { CallOptions } from "@onsale/kit/grpc-client";
import { derivedId } from "@onsale/kit/ids";
import type { Logger } from "@onsale/kit/log";
import type { HoldRequest } from "@onsale/proto/inventory/v1/seats";
import {
  type CheckoutInput,
  type CheckoutView,
  cancelUpdate,
  checkoutWorkflowId,
  type SubmitPayment,
  submitPaymentUpdate,
} from "@onsale/workflows/contract";
import type { Services } from "../clients/services.js";
import type { Temporal } from "../clients/temporal.js";
import type { Attempt } from "../http/idempotency.js";
import type { CodeGuard } from "../http/rate-limit.js";
import { type Answer, type Route, route } from "../http/route.js";
import * as schema from "../schemas.js";
import { type Checkouts, inputOf, overRefusal, shownCheckout, startOf, untold, viewOfOrder } from "./checkouts.js";

export interface BuyDependencies {
  readonly services: Services;
  readonly temporal: Temporal;
  readonly checkouts: Checkouts;
  readonly guard: CodeGuard;
  readonly taskQueue: string;
  readonly paymentWaitMs: number;
  /** Where buyers reach the shop; else what the request says. */
  readonly publicUrl: string | undefined;
  /** Where the storefront's pages are, if there is one. */
  readonly storefrontUrl?: string | undefined;
  readonly log: Logger;
}

const tag = "checkouts";
const aCheckout = { params: schema.checkoutParams, unknownParam: "CHECKOUT_NOT_FOUND" } as const;
const ends = ["CHECKOUT_COMPLETED", "CHECKOUT_EXPIRED", "CHECKOUT_CANCELLED", "CHECKOUT_BUSY"] as const;
const holdMs = 5_000;
/** Longer than a step of the workflow takes to be given to another worker, when the one that had it has died. */
const cancelWaitMs = 20_000;
/** A checkout that runs, although it had closed a moment ago. */
const beganAnew = () =>
  new DomainError(
    "UNAVAILABLE",
    "The checkout was just set back by an operator, and does not know of this request. Nothing was done; please send it again.",
    { retryAfterSeconds: 1 },
  );

export function buyRoutes(dependencies: BuyDependencies): Route[] {
  const { services, temporal, checkouts, guard, taskQueue, paymentWaitMs, publicUrl, storefrontUrl, log } =
    dependencies;

  /** Starts the workflow of a won hold, or undoes the hold when that certainly failed. */
  async function begin(input: CheckoutInput, attempt: Attempt, options: CallOptions): Promise<Answer> {
    const { checkoutId, accountId } = input;
    const answer = (view: CheckoutView): Answer => ({
      status: 201,
      body: shownCheckout(view),
      headers: { Location: `/v1/checkouts/${checkoutId}` },
    });
    const release = () =>
      services.seats.releaseHold(
        {
          eventId: input.event.eventId,
          checkoutId,
          holdId: input.holdId,
          userId: accountId,
          seatIds: input.seats.map((seat) => seat.seatId),
        },
        options,
      );

    const sweep = () =>
      release().catch((err: unknown) => log.warn({ err, checkoutId }, "a stray hold is left to expire by itself"));

    // A key that was used up so long ago that Temporal has forgotten its checkout: a second one under the same id would
    // sell these seats on the first one's payment. While the orders do not answer this is taken as not so.
    const earlier = await checkouts
      .order(checkoutId, accountId, { ...options, deadlineMs: 1_000 })
      .catch(() => undefined);
    if (earlier) {
      await sweep();
      return answer(viewOfOrder(earlier));
    }

    const started = await temporal.start(startOf(input, taskQueue));
    if (started.kind === "running") return answer(untold(input, "held"));
    if (started.kind === "closed") {
      // A very late retry: the checkout of this key has ended, and the hold just made belongs to nobody.
      await sweep();
      return answer((await checkouts.look(checkoutId, accountId, options)).view);
    }
    // Only a first attempt may release: an earlier one may have started the workflow, to which the hold then belongs.
    if (started.kind === "not-started" && attempt.first) {
      try {
        await release();
        attempt.nothingHappened();
        throw new DomainError(
          "UNAVAILABLE",
          "The checkout could not be started, so the seats were set free again. Please try again in a few seconds.",
          { retryAfterSeconds: 2 },
          started.cause,
        );
      } catch (error) {
        if (error instanceof DomainError && error.cause === started.cause) throw error;
        log.warn({ err: error, checkoutId }, "a hold without a checkout is left to expire by itself");
      }
    }
    throw new DomainError(
      "UNAVAILABLE",
      "It is not known yet whether the checkout has started; the seats stay held for now. Send the same request again, with the same Idempotency-Key.",
      { retryAfterSeconds: 2 },
      started.cause,
    );
  }

  return [
    route(
      {
        method: "post",
        path: "/v1/checkouts",
        operationId: "createCheckout",
        tag,
        summary: "Hold seats",
        description: [
          "All of the seats or none, until the deadline. Name the seats, over as many sections as you like; or a section and how many: places of general admission, or the best adjacent seats; or ask for the best available ones, by price, by sections, with accessible seats, in groups if need be.",
          "With an `accessCode`, the seats of the channel that it opens, in its window; and while the general sale is open too, named seats of that one instead. Not both in one checkout.",
          "One Idempotency-Key makes one checkout; after a refusal, choose other seats with a new key.",
        ].join(" "),
        access: "account",
        limits: "by caller",
        idempotencyKey: "required",
        body: schema.newCheckout,
        hot: true,
        answers: {
          201: { description: "The seats are held.", schema: schema.checkout, headers: { Location: "The checkout." } },
        },
        refusals: [
          "EVENT_NOT_FOUND",
          "SALE_NOT_OPEN",
          "SALE_ENDED",
          "EVENT_CANCELLED",
          "SEAT_UNKNOWN",
          "SECTION_UNKNOWN",
          "SEAT_TAKEN",
          "NOT_ENOUGH_SEATS",
          "SEAT_LIMIT_EXCEEDED",
          "SEAT_ORPHANED",
          "SEAT_ACCESSIBLE",
          "LAYOUT_CHANGED",
          "ACCESS_CODE_INVALID",
          "CHANNEL_NOT_OPEN",
          "CHANNEL_ENDED",
          "CODE_LIMIT_EXCEEDED",
          "SEAT_NOT_IN_CHANNEL",
          "HOLD_EXPIRED",
          "INVENTORY_REBUILDING",
        ],
      },
      async ({ body, identity, attempt, clientAddress, rpc }) => {
        const { accountId } = identity;
        const { accessCode } = body;
        const checkoutId = derivedId("chk", accountId, attempt.key);
        const ask = () =>
          services.seats.hold(
            {
              checkoutId,
              userId: accountId,
              eventId: body.eventId,
              accessCode,
              layoutVersion: body.layoutVersion,
              selection: selectionOf(body),
            },
            rpc(holdMs),
          );
        const hold = await (accessCode === undefined ? ask() : guard({ accountId, clientAddress }, ask));
        return begin(inputOf(checkoutId, accountId, body.eventId, hold), attempt, rpc());
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/checkouts/{checkoutId}",
        operationId: "getCheckout",
        tag,
        summary: "Where a checkout stands",
        access: "account",
        limits: "by caller",
        ...aCheckout,
        answers: { 200: { description: "The checkout.", schema: schema.checkout } },
        refusals: ["CHECKOUT_NOT_FOUND"],
      },
      async ({ params, identity, rpc }) => {
        const { view } = await checkouts.look(params.checkoutId, identity.accountId, rpc());
        return { status: 200, body: await checkouts.shown(view, rpc()) };
      },
    ),
    route(
      {
        method: "delete",
        path: "/v1/checkouts/{checkoutId}",
        operationId: "cancelCheckout",
        tag,
        summary: "Give the seats back",
        description: "Cancelling what was cancelled before is fine.",
        access: "account",
        limits: "by caller",
        ...aCheckout,
        answers: {
          200: { description: "The checkout, cancelled.", schema: schema.checkout },
          202: { description: "Taken, and not through yet: GET the checkout.", schema: schema.checkout },
        },
        refusals: ["CHECKOUT_NOT_FOUND", ...ends],
      },
      async ({ params, identity, rpc, closing }) => {
        const { checkoutId } = params;
        let pending = false;
        if (await checkouts.isOpen(checkoutId, identity.accountId)) {
          const outcome = await temporal.update<CheckoutView>(checkoutWorkflowId(checkoutId), cancelUpdate, {
            updateId: cancelUpdate,
            input: [],
            waitMs: cancelWaitMs,
            signal: closing,
          });
          if (outcome.kind === "done") return { status: 200, body: shownCheckout(outcome.result) };
          pending = outcome.kind === "pending";
        }
        const { view, open } = await checkouts.look(checkoutId, identity.accountId, rpc());
        if (open && pending) return { status: 202, body: shownCheckout(view) };
        if (view.status === "cancelled") return { status: 200, body: shownCheckout(view) };
        throw open ? beganAnew() : overRefusal(view);
      },
    ),
    route(
      {
        method: "post",
        path: "/v1/checkouts/{checkoutId}/payment",
        operationId: "payCheckout",
        tag,
        summary: "Pay",
        description: [
          "A decline is an answer, not an error: status `declined`, the seats still held; try again with another card and a new Idempotency-Key.",
          "With `requires_action`, send the buyer to `actionUrl`, then GET the checkout until it has ended.",
          "202 means that the outcome is still open: GET the checkout, or send the same request again.",
          "Never send card numbers here: make a payment method with Stripe's own elements.",
        ].join(" "),
        access: "account",
        limits: "by caller",
        idempotencyKey: "required",
        ...aCheckout,
        body: schema.newPayment,
        answers: {
          200: { description: "The outcome.", schema: schema.paidCheckout },
          202: { description: "Still being decided.", schema: schema.paidCheckout },
        },
        refusals: ["CHECKOUT_NOT_FOUND", "PAYMENT_METHOD_INVALID", ...ends],
      },
      async ({ params, body, identity, attempt, origin, rpc, closing }) => {
        const { checkoutId } = params;
        const { accountId } = identity;
        const workflowId = checkoutWorkflowId(checkoutId);
        const updateId = derivedId("pay", accountId, checkoutId, attempt.key);
        const open = await checkouts.isOpen(checkoutId, accountId);
        const submitted: SubmitPayment = {
          paymentMethodId: body.paymentMethodId,
          returnUrl: returnUrl(publicUrl ?? origin, checkoutId),
        };
        // A checkout that has ended still knows the outcome of this very payment: a retry gets the answer that was lost.
        const outcome = open
          ? await temporal.update<CheckoutView>(workflowId, submitPaymentUpdate, {
              updateId,
              input: [submitted],
              waitMs: paymentWaitMs,
              signal: closing,
            })
          : await temporal.updateOutcome<CheckoutView>(workflowId, updateId);
        if (outcome.kind === "done")
          return { status: 200, body: outcomeOf(outcome.result, await checkouts.shown(outcome.result, rpc())) };
        const { view } = await checkouts.look(checkoutId, accountId, rpc());
        if (outcome.kind === "pending") {
          const undecided = view.status === "held" || view.status === "paying";
          const shown = await checkouts.shown(view, rpc());
          return undecided ? { status: 202, body: shown } : { status: 200, body: outcomeOf(view, shown) };
        }
        throw view.status === "held" || view.status === "paying" || view.status === "requires_action"
          ? beganAnew()
          : overRefusal(view);
      },
    ),
    route(
      {
        method: "get",
        path: "/v1/checkouts/{checkoutId}/return",
        operationId: "returnFromBank",
        tag,
        summary: "Where the bank sends the buyer after 3-D Secure",
        description:
          "To the checkout's page of the storefront, or a page that says to go back to the shop. It needs no token and tells nothing about the checkout.",
        access: "anyone",
        limits: ["anonymous"],
        ...aCheckout,
        answers: {
          200: { description: "The page.", contentType: "text/html" },
          303: { description: "To the storefront.", headers: { Location: "The checkout's page." } },
        },
      },
      async ({ params }) =>
        storefrontUrl === undefined
          ? { status: 200, bytes: Buffer.from(returnPage), headers: { "Content-Type": "text/html; charset=utf-8" } }
          : { status: 303, headers: { Location: new URL(`/checkouts/${params.checkoutId}`, storefrontUrl).href } },
    ),
  ];
}

function selectionOf(body: schema.NewCheckout): HoldRequest["selection"] {
  if ("seats" in body) return { $case: "seats", value: { seatIds: body.seats, accessible: body.accessible } };
  if ("section" in body) return { $case: "quantity", value: { sectionId: body.section, quantity: body.quantity } };
  const { sections = [], accessible = 0, companions = 0, split = false, ...rest } = body.bestAvailable;
  return { $case: "bestAvailable", value: { ...rest, sectionIds: sections, accessible, companions, split } };
}

/** A payment's outcome: what the checkout is now, save that held after a decline is called what it means. */
function outcomeOf(view: CheckoutView, shown: ReturnType<typeof shownCheckout>) {
  return view.status === "held" && view.decline ? { ...shown, status: "declined" } : shown;
}

/** Where Stripe sends the buyer back to: never over plain HTTP, save on one's own machine. */
export function returnUrl(base: string, checkoutId: string): string {
  const url = new URL(`${base}/v1/checkouts/${checkoutId}/return`);
  const loopback = url.hostname === "localhost" || url.hostname === "[::1]" || /^127(\.\d+){3}$/.test(url.hostname);
  if (!loopback) url.protocol = "https:";
  return url.href;
}

const returnPage = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Back to the shop</title></head>
<body><main><h1>Thank you</h1><p>Your bank's part is done. You can close this page and go back to the shop: your checkout goes on there.</p></main></body>
</html>
`;
