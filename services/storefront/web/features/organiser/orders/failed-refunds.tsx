// Refunds of an order that the bank sent back: what is owed, asked for again or closed as paid another way.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { answered, api, newKey } from "../../../api/client.js";
import { dateAndTime, money } from "../../../format.js";
import { Button } from "../../../ui/button.js";
import { Field } from "../../../ui/field.js";
import { Notice, Problem } from "../../../ui/notice.js";
import { failedRefunds } from "../../tickets/whats-left.js";
import type { OrderWithTimeline } from "../organiser-api.js";
import { Confirm } from "../organiser-frame.js";
import { useOrganiserText } from "../organiser-text.js";

export function FailedRefunds({ order }: { order: OrderWithTimeline }) {
  const text = useOrganiserText();
  const failed = failedRefunds(order);
  if (failed.length === 0) return undefined;
  return (
    <section aria-labelledby="failed" className="grid gap-3 rounded-xl border-2 border-warn bg-paper p-4">
      <h2 id="failed" className="text-lg font-bold">
        {text("failedTitle")}
      </h2>
      {failed.map((refund) => (
        <FailedRefund key={refund.refundId} order={order} refund={refund} />
      ))}
    </section>
  );
}

function FailedRefund({
  order: { checkoutId, currency, event },
  refund: { refundId, amount, at, failureReason },
}: {
  order: OrderWithTimeline;
  refund: OrderWithTimeline["refunds"][number];
}) {
  const text = useOrganiserText();
  const queries = useQueryClient();
  const [how, setHow] = useState("");
  const [asked, setAsked] = useState<{ readonly what: "again" | "elsewhere"; readonly key: string }>();
  const shown = money(amount, currency, text.locale);
  const settle = useMutation({
    mutationFn: ({ what, key }: NonNullable<typeof asked>) => {
      const header = { "Idempotency-Key": key };
      return what === "again"
        ? answered(
            api.POST("/v1/orders/{checkoutId}/refund", {
              params: { path: { checkoutId }, header },
              body: { insteadOf: refundId },
            }),
          ).then(() => undefined)
        : answered(
            api.POST("/v1/orders/{checkoutId}/refunds/{refundId}/closure", {
              params: { path: { checkoutId, refundId }, header },
              body: { reason: how.trim() },
            }),
          ).then(() => undefined);
    },
    onSuccess: () => setAsked(undefined),
    onSettled: () => queries.invalidateQueries({ queryKey: ["organiser"] }),
  });
  return (
    <div className="grid gap-3">
      <Notice
        tone="warn"
        title={text("failedOne", { amount: shown, date: dateAndTime(at, event.timeZone, text.locale) })}
      >
        {failureReason ? <p>{failureReason.replaceAll("_", " ")}</p> : undefined}
      </Notice>
      {settle.isError ? <Problem error={settle.error} /> : undefined}
      {asked ? (
        <Confirm
          question={text(asked.what === "again" ? "failedAgainSure" : "failedCloseSure", { amount: shown })}
          yes={text(asked.what === "again" ? "failedAgain" : "failedElsewhere")}
          busy={settle.isPending}
          onYes={() => settle.mutate(asked)}
          onNo={() => setAsked(undefined)}
        />
      ) : (
        <>
          <Button className="justify-self-start" onClick={() => setAsked({ what: "again", key: newKey() })}>
            {text("failedAgain")}
          </Button>
          <Field
            label={text("failedHow")}
            maxLength={500}
            value={how}
            onChange={(change) => setHow(change.target.value)}
          />
          <Button
            className="justify-self-start"
            disabled={how.trim() === ""}
            onClick={() => setAsked({ what: "elsewhere", key: newKey() })}
          >
            {text("failedElsewhere")}
          </Button>
        </>
      )}
    </div>
  );
}
