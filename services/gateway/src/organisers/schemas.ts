// The shapes of what organisers and operators see and do with events and orders, and of one's own password.
import { z } from "zod";
import * as schema from "../schemas.js";

const { amount, time, cursor, nextCursor, currency } = schema;

export const newPassword = z
  .strictObject({ currentPassword: schema.password, newPassword: schema.password })
  .meta({ id: "NewPassword" });

// ---- events

const eventStatus = schema.eventFields.status;
export const ownEventSearch = z.strictObject({
  status: eventStatus.optional(),
  q: schema.line(200).optional().meta({
    description: "Words in the name, the venue or the city; case and accents do not matter.",
  }),
  cursor: cursor.optional(),
  limit: schema.limit(100, 20),
});
const cancellation = z
  .object({
    at: time,
    reason: z.string().optional(),
    refunded: z.int().meta({ description: "Orders without a valid ticket." }),
    total: z.int().meta({ description: "Orders in all." }),
  })
  .meta({ id: "Cancellation", description: "How far an event's orders are given back; some seconds old at most." });
export const ownEvent = z
  .object({
    ...schema.eventFields,
    createdAt: time,
    organiserId: z.string(),
    sections: z.array(schema.newSection).meta({
      description: "The layout as it was sent, to look at, to edit or to make another event of.",
    }),
    cancellation: cancellation.optional().meta({ description: "With status cancelled." }),
  })
  .meta({ id: "OwnEvent" });

export const newCancellation = z
  .strictObject({
    reason: schema
      .line(200)
      .optional()
      .meta({ description: "For buyers and colleagues.", example: "The singer is ill." }),
  })
  .meta({ id: "NewCancellation" });

// ---- sales

const count = z.int().min(0);
export const sales = z
  .object({
    asOf: time,
    currency,
    seats: z
      .object({ total: count, sold: count, held: count, free: count, blocked: count })
      .meta({ description: "Places now. Sold ones that were given back are free again." }),
    revenue: z.object({
      gross: amount,
      refunded: amount,
      failed: amount.meta({
        description: "Owed to buyers: refunds that the bank sent back. It is in net until it is paid.",
      }),
      net: amount,
    }),
    orders: count,
    tickets: count.meta({ description: "That are valid." }),
    refunds: count.meta({ description: "By which money went back." }),
    refundsFailed: count.meta({ description: "That need a person." }),
    tiers: z.array(
      z.object({
        tierId: z.string(),
        name: z.string(),
        total: count.meta({ description: "Places, blocked ones included." }),
        sold: count.meta({ description: "Tickets that are valid." }),
        revenue: amount.meta({ description: "What those cost." }),
      }),
    ),
    holds: z.object({ won: count, lost: count }).meta({
      description:
        "Attempts to take seats: those that got them, and those for which others were quicker. For orientation: they are kept where holds are, are a second old, and begin anew if that store loses its data.",
    }),
    checkouts: z
      .object({ started: count, completed: count, expired: count, cancelled: count, running: count })
      .meta({ description: "As far back as Temporal keeps them (its retention)." }),
    conversion: z
      .number()
      .min(0)
      .max(1)
      .meta({ description: "Completed checkouts among those started; 0 when there are none." }),
    seriesStepMs: z.int().meta({ description: "From one point of the series to the next, in milliseconds." }),
    series: z
      .array(
        z.object({
          at: z.int().meta({ description: "Milliseconds since 1970, UTC.", example: 1800000000000 }),
          sold: count,
          revenue: amount,
        }),
      )
      .max(120)
      .meta({
        description:
          "What was sold from `at` to the next point, whether or not it was given back later; without gaps, from the first sale to now.",
      }),
  })
  .meta({ id: "Sales" });

// ---- orders

export const orderSearch = z.strictObject({
  eventId: schema.idParam.optional(),
  q: schema.line(254).optional().meta({
    description:
      "The id of an order or ticket, the buyer's e-mail, or a seat's id: exactly. Without an eventId a seat is looked for in the 500 newest events.",
  }),
  status: schema.orderFields.status.optional(),
  cursor: cursor.optional(),
  limit: schema.limit(100, 20),
});
const buyer = z.object({
  accountId: z.string(),
  email: z.string().optional().meta({ description: "Absent when the account is gone, or can't be looked up now." }),
  name: z.string().optional(),
});
const { refundable: _own, ...orderFields } = schema.orderFields;
export const soldOrder = z.object({ ...orderFields, buyer }).meta({ id: "SoldOrder" });
export const soldOrderPage = z.object({ orders: z.array(soldOrder), nextCursor }).meta({ id: "SoldOrderPage" });
export const timelineSteps = [
  "held",
  "requires_action",
  "declined",
  "authorized",
  "seats_lost",
  "claimed",
  "captured",
  "issued",
  "completed",
  "payment_cancelled",
  "released",
  "expired",
  "cancelled",
  "refunded",
  "refund_started",
  "refund_failed",
  "refund_replaced",
  "refund_closed",
  "goodwill",
  "voided",
  "refunded_outside",
  "dispute_opened",
  "dispute_answered",
  "dispute_lost",
  "stopped",
] as const;
export const refundSearch = z.strictObject({
  state: z.enum(["failed", "pending"]),
  eventId: schema.idParam.optional(),
  cursor: cursor.optional(),
  limit: schema.limit(100, 20),
});
export const refundPage = z
  .object({
    refunds: z.array(
      z.object({
        checkoutId: z.string(),
        eventId: z.string(),
        currency: schema.currency,
        buyer,
        refund: schema.orderRefund,
      }),
    ),
    nextCursor,
  })
  .meta({ id: "RefundPage" });
const soldPayment = z.object({
  reference: z.string().meta({ description: "Stripe's id of the payment.", example: "pi_3PbX…" }),
  status: z.string(),
  captured: amount,
  refunded: amount,
});
const timeline = z
  .array(
    z.object({
      at: time,
      step: z.enum(timelineSteps),
      detail: z
        .string()
        .optional()
        .meta({ description: "The code of the refusal that it ended with, or a refund's or dispute's id." }),
      amount: amount.optional().meta({ description: "Of a refund or dispute." }),
      seats: z.array(z.string()).optional().meta({ description: "Of a refund." }),
      by: schema.orderRefund.shape.by,
      account: z.string().optional().meta({ description: "Of whoever asked, or saw to it." }),
      reason: z.string().optional().meta({ description: "In the words of whoever asked, or Stripe's." }),
    }),
  )
  .meta({
    description:
      "What happened, oldest first. Steps before the tickets are known for as long as Temporal keeps the checkout; after that only `issued`, the refunds and the disputes.",
  });
export const orderWithTimeline = z
  .object({
    ...orderFields,
    buyer,
    payment: soldPayment.optional().meta({ description: "Absent when the payment can't be looked up now." }),
    timeline,
    workflowUrl: z.string().optional().meta({
      description: "The checkout in Temporal's Web UI, where the installation has one.",
    }),
  })
  .meta({ id: "OrderWithTimeline" });

// ---- disputes

export const disputeSearch = z.strictObject({
  state: z.enum(["open", "decided"]),
  eventId: schema.idParam.optional(),
  cursor: cursor.optional(),
  limit: schema.limit(100, 20),
});
export const disputePage = z
  .object({
    disputes: z.array(
      z.object({
        checkoutId: z.string(),
        event: schema.ticketEvent,
        currency: schema.currency,
        buyer,
        dispute: schema.orderDispute,
      }),
    ),
    nextCursor,
  })
  .meta({ id: "DisputePage" });
const evidenceFields = z.record(z.string(), z.string());
export const disputeEvidence = z
  .object({
    checkoutId: z.string(),
    dispute: schema.orderDispute,
    answerable: z.boolean().meta({ description: "The bank waits for an answer, and takes one now." }),
    buyer,
    event: schema.ticketEvent,
    bought: z.object({
      at: time,
      seats: schema.orderFields.seats,
      amount,
      currency: schema.currency,
    }),
    shown: z.object({ refundableUntil: time.optional() }).optional().meta({
      description:
        "What the shop showed of giving tickets back, and the buyer bought under; without a time: not at all. Absent when the event can't be looked up now.",
    }),
    payment: soldPayment
      .extend({
        approvalAskedAt: time.optional().meta({ description: "The bank asked the buyer to approve it (3-D Secure)." }),
        approvedAt: time.optional().meta({ description: "The buyer did." }),
      })
      .optional()
      .meta({ description: "Absent when the payment can't be looked up now." }),
    tickets: z
      .array(z.object({ ticketId: z.string(), seatId: z.string(), status: z.enum(["valid", "void"]) }))
      .meta({ description: "As they are now. Whether they were used at the door is not known here." }),
    refunds: z.array(schema.orderRefund),
    timeline,
    draft: evidenceFields.meta({
      description: "What would be sent to the bank, by Stripe's names; the words of whoever answers come to it.",
    }),
    atBank: evidenceFields.optional().meta({
      description: "What is on the dispute at Stripe. Absent while Stripe can't be asked.",
    }),
  })
  .meta({ id: "DisputeEvidence" });
export const disputeAnswer = z
  .strictObject({
    words: schema
      .paragraphs(5_000)
      .meta({ description: "Yours, for the bank: what happened, and why the charge is right." }),
  })
  .meta({ id: "DisputeAnswer" });
