// Payments as a checkout sees them: what each of Stripe's states means for it. Pure.

export const paymentStatuses = [
  "unpaid",
  "requires_action",
  "processing",
  "authorized",
  "captured",
  "cancelled",
  "partially_refunded",
  "refunded",
] as const;
export type PaymentStatus = (typeof paymentStatuses)[number];

export interface Decline {
  /** Stripe's decline code. */
  readonly code: string;
  /** For the buyer. */
  readonly message: string;
}

/** A payment as plain data, fit for a workflow's history: the bank's page is not in it, since its address lets people approve. */
export interface PaymentState {
  readonly status: PaymentStatus;
  /** Minor units. */
  readonly amountCaptured: number;
  readonly amountRefunded: number;
  readonly decline?: Decline;
  /** Whose seats it pays. Absent in histories from before it was told. */
  readonly eventId?: string;
}

export type Verdict =
  /** The money is reserved for us, or ours already: the seats can be claimed. */
  | { readonly kind: "secured" }
  /** Nothing was taken; the buyer may try again. */
  | { readonly kind: "declined"; readonly decline: Decline }
  /** Not known yet. */
  | { readonly kind: "undecided" }
  /** Cancelled or given back, by whomever: no seat can be sold for it. */
  | { readonly kind: "gone" };

const unexplained: Decline = { code: "card_declined", message: "The bank declined the payment without a reason." };

export function judge(payment: PaymentState): Verdict {
  switch (payment.status) {
    case "authorized":
    case "captured":
      return { kind: "secured" };
    case "unpaid":
      return { kind: "declined", decline: payment.decline ?? unexplained };
    case "requires_action":
    case "processing":
      return { kind: "undecided" };
    case "cancelled":
    case "partially_refunded":
    case "refunded":
      return { kind: "gone" };
  }
}

/** What to do about a payment for which no ticket exists and none will: the money must not stay with us. */
export function settlement(payment: PaymentState | undefined): "nothing" | "cancel" | "refund" {
  switch (payment?.status) {
    case undefined:
    case "cancelled":
    case "refunded":
      return "nothing";
    case "captured":
    case "partially_refunded":
      return "refund";
    case "unpaid":
    case "requires_action":
    case "processing":
    case "authorized":
      return "cancel";
  }
}
