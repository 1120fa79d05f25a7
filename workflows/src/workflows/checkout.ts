// The checkout workflow: from a won hold to tickets, or to everything undone. It alone decides when a hold is released.
import { formatMoney } from "@onsale/kit/money";
import {
  ApplicationFailure,
  allHandlersFinished,
  CancellationScope,
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  isCancellation,
  log,
  patched,
  setHandler,
  sleep,
  TemporalFailure,
} from "@temporalio/workflow";
import { type CheckoutState, refuseCancel, refusePayment, untilDeadline } from "../checkouts.js";
import {
  type CheckoutInput,
  type CheckoutStatus,
  type CheckoutView,
  cancelUpdate,
  checkoutQuery,
  checkoutSummary,
  endReasons,
  paymentChangedSignal,
  type SubmitPayment,
  submitPaymentUpdate,
  undeliveredRefundId,
} from "../contract.js";
import { type Decline, judge, type PaymentState, settlement, type Verdict } from "../payments.js";
import type { OrderState } from "../steps.js";
import { index, show } from "./checkout-page.js";
import { createCompensations } from "./compensations.js";
import { atStripe, inHouse, insist, refusalOf, troubleOf, untilDecided } from "./running-steps.js";

const submitPayment = defineUpdate<CheckoutView, [SubmitPayment]>(submitPaymentUpdate);
const cancel = defineUpdate<CheckoutView, []>(cancelUpdate);
const paymentChanged = defineSignal<[]>(paymentChangedSignal);
const checkoutNow = defineQuery<CheckoutView, []>(checkoutQuery);

/** How a checkout ends. */
type End =
  | { readonly status: "completed" }
  | { readonly status: "expired" | "cancelled" | "refunded"; readonly reason: string };

/** What a submitted payment led to: an end, or another chance for the buyer. */
type Outcome = End | { readonly status: "held" };

export async function checkout(input: CheckoutInput): Promise<CheckoutView> {
  const { checkoutId, accountId, deadlineMs, graceMs, amount, currency } = input;
  const { eventId } = input.event;
  const price = formatMoney({ amount, currency });
  const undo = createCompensations();

  let status: CheckoutStatus = "held";
  let ending: CheckoutStatus | undefined;
  let reason: string | undefined;
  let decline: Decline | undefined;
  let ticketIds: readonly string[] = [];
  let problem: string | undefined;
  let cancelAsked = false;
  let deadlinePassed = false;
  /** Stripe said something since we last looked. */
  let news = false;
  let attempts = 0;
  let submitted: SubmitPayment | undefined;
  /** The last attempt whose buyer can be answered; the answer is the view, or this refusal. */
  let answered = 0;
  let refused: { readonly attempt: number; readonly code: string; readonly message: string } | undefined;
  /** Settles, never rejecting, when nothing of the last attempt is in flight any more. */
  let inFlight: Promise<unknown> = Promise.resolve();

  const view = (): CheckoutView => ({
    checkoutId,
    accountId,
    eventId,
    status,
    deadlineMs,
    seats: input.seats,
    amount,
    currency,
    ...(decline && { decline }),
    ...(reason !== undefined && { reason }),
    ticketIds,
  });
  const state = (): CheckoutState => ({ status, deadlineMs, ending, cancelAsked });
  const say = (now: string) => show(view(), now, problem);
  const become = (next: CheckoutStatus, now: string) => {
    status = next;
    index({ eventId, accountId, status });
    say(now);
  };
  const trouble = (now: string) => (what: string) => {
    problem = what;
    say(now);
  };
  const over = () => status === "completed" || status === "expired" || status === "cancelled" || status === "refunded";

  // ---- what others may ask

  setHandler(checkoutNow, view, { description: "The checkout as its buyer sees it" });
  setHandler(
    submitPayment,
    (payment: SubmitPayment) =>
      // An operator's cancellation must not cut the answer off: the buyer is told how it ended.
      CancellationScope.nonCancellable(async () => {
        orRefuse(refusePayment(state(), payment, Date.now())); // again: another may have been taken since the validator asked
        attempts += 1;
        const attempt = attempts;
        submitted = payment;
        decline = undefined;
        become("paying", `authorizes ${price} at Stripe (attempt ${attempt})`);
        await condition(() => answered >= attempt || over());
        if (!over() && refused?.attempt === attempt) orRefuse(refused);
        return view();
      }),
    {
      validator: (payment: SubmitPayment) => orRefuse(refusePayment(state(), payment, Date.now())),
      description: "The buyer pays",
    },
  );
  setHandler(
    cancel,
    () =>
      CancellationScope.nonCancellable(async () => {
        cancelAsked = true;
        await condition(over);
        return view();
      }),
    { validator: () => orRefuse(refuseCancel(state())), description: "The buyer gives the seats back" },
  );
  setHandler(
    paymentChanged,
    () => {
      news = true;
    },
    { description: "Stripe said something about the payment" },
  );

  // ---- paying

  /** Runs a submitted payment to its outcome. */
  async function pay(payment: SubmitPayment, attempt: number): Promise<Outcome> {
    undo.add("cancel the payment", cancelPayment);
    let verdict: Verdict | undefined;
    let failure: unknown;
    const deciding = new CancellationScope();
    inFlight = deciding
      .run(() => authorize(payment, attempt))
      .then(
        (decided) => {
          verdict = decided;
        },
        (error: unknown) => {
          failure = error;
        },
      );
    const decided = () => verdict !== undefined || failure !== undefined;

    await condition(() => decided() || deadlinePassed || cancelAsked);
    if (!decided() && !cancelAsked && graceMs > 0) {
      say("the time to pay is over; waits a little for the outcome of the payment in flight");
      await condition(() => decided() || cancelAsked, graceMs, { summary: "grace for a payment in flight ends" });
    }
    if (cancelAsked) {
      deciding.cancel();
      return { status: "cancelled", reason: endReasons.buyerCancelled };
    }
    if (!decided()) {
      // Still unknown: from here on cancelling decides, and its answer is the truth.
      deciding.cancel();
      await inFlight;
      if (verdict?.kind !== "secured") {
        say("cancels the undecided payment");
        const left = await atStripe.cancelPayment.executeWithOptions({ summary: "Cancel the undecided payment" }, [
          checkoutId,
          "abandoned",
        ]);
        if (left === undefined || judge(left).kind !== "secured") {
          if (settlement(left) === "nothing") undo.forget("cancel the payment");
          return { status: "expired", reason: endReasons.timeUp };
        }
      }
      return fulfil();
    }

    if (failure !== undefined) {
      const refusal = refusalOf(failure);
      if (!refusal) throw failure;
      if (refusal.code !== "PAYMENT_METHOD_INVALID" && refusal.code !== "REQUEST_INVALID")
        return { status: "cancelled", reason: refusal.code };
      refused = { attempt, code: refusal.code, message: refusal.message };
      return again();
    }
    switch (verdict?.kind) {
      case "secured":
        return fulfil();
      case "declined":
        decline = verdict.decline;
        return again();
      default:
        return { status: "cancelled", reason: endReasons.paymentGone };
    }
  }

  const again = (): Outcome => (deadlinePassed ? { status: "expired", reason: endReasons.timeUp } : { status: "held" });

  /** Authorizes, then waits for the buyer's approval if the bank wants it. Ends by being cancelled if that takes too long. */
  async function authorize({ paymentMethodId, returnUrl }: SubmitPayment, attempt: number): Promise<Verdict> {
    const first = await atStripe.authorizePayment.executeWithOptions({ summary: `Authorize ${price} at Stripe` }, [
      {
        checkoutId,
        accountId,
        eventId,
        attempt,
        amount,
        currency,
        paymentMethodId,
        description: checkoutSummary(input),
        returnUrl,
      },
    ]);
    let verdict = judge(first);
    if (verdict.kind !== "undecided") return verdict;

    news = false;
    if (first.status === "requires_action") {
      become("requires_action", "waits for the buyer to approve the payment at the bank (3-D Secure)");
      answered = attempt;
    } else say("waits for Stripe to process the payment");
    let polled: PaymentState | undefined;
    let failure: unknown;
    const polling = new CancellationScope();
    polling
      .run(() =>
        untilDecided.awaitPayment.executeWithOptions({ summary: "Wait for the payment's outcome" }, [checkoutId]),
      )
      .then(
        (payment) => {
          polled = payment;
        },
        (error: unknown) => {
          failure = error;
        },
      );
    while (verdict.kind === "undecided") {
      await condition(() => news || polled !== undefined || failure !== undefined);
      if (failure !== undefined) throw failure;
      news = false;
      const payment =
        polled ??
        (await atStripe.getPayment.executeWithOptions({ summary: "Ask Stripe after its webhook" }, [checkoutId]));
      verdict = payment ? judge(payment) : { kind: "gone" };
    }
    if (polled === undefined) polling.cancel();
    return verdict;
  }

  /** The money is reserved: seats, then the money itself, then the tickets. */
  async function fulfil(): Promise<End> {
    status = "paying";
    say("claims the seats");
    undo.add("release the claims", releaseClaims);
    try {
      await inHouse("claimSeats", "Claim the seats", [input], trouble("claims the seats"));
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      return { status: "cancelled", reason: refusal.code };
    }
    if (CancellationScope.current().consideredCancelled)
      return { status: "cancelled", reason: endReasons.operatorCancelled };

    // Once the capture is asked for, the only safe way is forward: nothing cancels from here on.
    return CancellationScope.nonCancellable(async () => {
      say(`captures ${price}`);
      try {
        await atStripe.capturePayment.executeWithOptions({ summary: `Capture ${price}` }, [checkoutId]);
      } catch (error) {
        const refusal = refusalOf(error);
        if (!refusal) throw error;
        return { status: "cancelled", reason: refusal.code };
      }
      say("issues the tickets");
      const troubled = trouble("issues the tickets");
      try {
        ticketIds = await insist(() => inHouse("issueTickets", "Issue the tickets", [input], troubled), troubled, [
          "CHECKOUT_CANCELLED",
        ]);
      } catch (error) {
        // It was settled without an order while this run did not exist: closed by force, then reset.
        const refusal = refusalOf(error);
        if (!refusal) throw error;
        return { status: "cancelled", reason: refusal.code };
      }
      return { status: "completed" };
    });
  }

  /**
   * The order of this checkout, if an earlier run of it came to one: then it stands, and nothing is undone. Otherwise, once a payment was
   * submitted, it ends without one for good, before anything is undone: of an order and an end, the ticket service takes the first.
   */
  async function orderInstead(why: string): Promise<OrderState | undefined> {
    if (!patched("order-wins")) return undefined;
    const troubled = trouble("ends the checkout without an order");
    return insist(
      () => inHouse("endCheckout", "End it without an order", [{ checkoutId, reason: why }], troubled),
      troubled,
    );
  }

  /** What an earlier run of this checkout has left, which a Reset made it forget: an order, a payment, or nothing. */
  async function earlierRun(): Promise<{ readonly order?: OrderState; readonly paid?: boolean }> {
    if (!patched("order-wins")) return {};
    const troubled = trouble("looks for what an earlier run has left");
    try {
      const order = await insist(
        () =>
          inHouse("findOrder", "Is there an order from an earlier run?", [checkoutId, "order or payment"], troubled),
        troubled,
        ["PAYMENT_STATE_CONFLICT"],
      );
      return order ? { order } : {};
    } catch (error) {
      if (!refusalOf(error)) throw error;
      return { paid: true };
    }
  }

  /** Money that an earlier run has taken is taken for tickets; what is not taken, or can't be, is undone. */
  async function takeOver(): Promise<End | undefined> {
    undo.add("cancel the payment", cancelPayment);
    undo.add("release the claims", releaseClaims);
    const payment = await insist(
      () =>
        atStripe.getPayment.executeWithOptions({ summary: "Ask Stripe for the payment of an earlier run" }, [
          checkoutId,
        ]),
      trouble("asks Stripe for the payment of an earlier run"),
    );
    if (payment?.status !== "captured") return undefined;
    const took = await fulfil();
    return took.status === "completed" ? took : undefined;
  }

  function releaseClaims(): Promise<void> {
    return inHouse(
      "releaseClaims",
      "Undo: free the claimed seats",
      [{ eventId, checkoutId, accountId, seatIds: input.seats.map((seat) => seat.seatId) }],
      trouble("frees the claimed seats"),
    );
  }

  /** Undoes an authorization. Money that turns out to be captured although no ticket will follow is given back. */
  async function cancelPayment(): Promise<void> {
    await inFlight;
    const left = await atStripe.cancelPayment.executeWithOptions({ summary: "Undo: cancel the payment" }, [
      checkoutId,
      cancelAsked ? "requested_by_customer" : "abandoned",
    ]);
    if (settlement(left) !== "refund") return;
    await atStripe.refundPayment.executeWithOptions({ summary: "Undo: give the captured money back" }, [
      { checkoutId, refundId: undeliveredRefundId(checkoutId), amount: 0 },
    ]);
    ending = "refunded";
  }

  // ---- the checkout itself

  async function run(): Promise<End> {
    for (;;) {
      say("waits for the buyer to pay");
      await condition(() => submitted !== undefined || cancelAsked || deadlinePassed);
      if (cancelAsked) return { status: "cancelled", reason: endReasons.buyerCancelled };
      if (submitted === undefined) return { status: "expired", reason: endReasons.timeUp };
      const payment = submitted;
      submitted = undefined;
      const outcome = await pay(payment, attempts);
      if (outcome.status !== "held") return outcome;
      become("held", "waits for the buyer to try another payment");
      answered = attempts;
    }
  }

  index({ eventId, accountId, status });
  undo.add("release the hold", () =>
    inHouse("releaseHold", "Free the held seats", [input], trouble("frees the held seats")),
  );
  sleep(untilDeadline(deadlineMs, Date.now()), { summary: "the hold ends" }).then(
    () => {
      deadlinePassed = true;
    },
    () => undefined,
  );

  let end: End;
  try {
    end = await run();
  } catch (error) {
    if (isCancellation(error)) end = { status: "cancelled", reason: endReasons.operatorCancelled };
    else if (error instanceof TemporalFailure) {
      problem = troubleOf(error);
      end = { status: "cancelled", reason: refusalOf(error)?.code ?? "INTERNAL" };
    } else throw error; // a bug of ours: the workflow task fails, visibly, and goes on when the code is mended
  }

  return CancellationScope.nonCancellable(async () => {
    let order: OrderState | undefined;
    if (end.status !== "completed") {
      ending = end.status;
      reason = end.reason;
      const undoAll = () =>
        undo.run((name, what) => {
          problem = what ?? problem;
          say(`ends (${reason}): ${name}`);
        });
      let mayBePaid = attempts > 0;
      if (!mayBePaid) {
        // Without a payment there is the hold alone, and nobody else waits for the look at what was before.
        await undoAll();
        undo.forget("release the hold");
        const earlier = await earlierRun();
        order = earlier.order;
        mayBePaid = earlier.paid ?? false;
        if (mayBePaid) end = (await takeOver()) ?? end;
      }
      if (mayBePaid && end.status !== "completed") {
        order = await orderInstead(end.reason);
        if (!order) await undoAll();
      }
    }
    if (order) ticketIds = order.ticketIds;
    if (order || end.status === "completed") {
      ending = undefined;
      reason = undefined;
      decline = undefined;
      become(
        "completed",
        order ? "has ended before: its order stands, and nothing was undone" : "has ended; the tickets are issued",
      );
    } else become(ending ?? end.status, "has ended; everything is undone");
    log.info("a checkout ended", { checkoutId, eventId, status, reason });
    await condition(allHandlersFinished);
    return view();
  });
}

function orRefuse(refused: { readonly code: string; readonly message: string } | undefined): void {
  if (refused) throw ApplicationFailure.nonRetryable(refused.message, refused.code);
}
