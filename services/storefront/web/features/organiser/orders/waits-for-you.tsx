// What needs the organiser: refunds that failed, and payments that are disputed, of one event or of all; nothing when there are none.
import { Link } from "wouter";
import { dateAndTime, money } from "../../../format.js";
import { Notice } from "../../../ui/notice.js";
import { useFailedRefunds, useOpenDisputes } from "../organiser-api.js";
import { useOrganiserText } from "../organiser-text.js";

export function WaitsForYou({ eventId }: { eventId: string }) {
  return (
    <>
      <Failed eventId={eventId} />
      <Disputed eventId={eventId} />
    </>
  );
}

function Failed({ eventId }: { eventId: string }) {
  const text = useOrganiserText();
  const refunds = useFailedRefunds(eventId).data?.refunds ?? [];
  if (refunds.length === 0) return undefined;
  return (
    <Notice tone="warn" title={text("failedWaiting")}>
      <ul className="grid gap-1">
        {refunds.map(({ checkoutId, currency, buyer, refund }) => (
          <li key={refund.refundId}>
            <Link href={`/organiser/orders/${checkoutId}`} className="underline underline-offset-4">
              {buyer.email ?? buyer.accountId}
            </Link>
            {" · "}
            {money(refund.amount, currency, text.locale)}
          </li>
        ))}
      </ul>
    </Notice>
  );
}

function Disputed({ eventId }: { eventId: string }) {
  const text = useOrganiserText();
  const disputes = useOpenDisputes(eventId).data?.disputes ?? [];
  if (disputes.length === 0) return undefined;
  return (
    <Notice tone="warn" title={text("disputesWaiting")}>
      <ul className="grid gap-1">
        {disputes.map(
          ({
            checkoutId,
            currency,
            event,
            buyer,
            dispute: { disputeId, amount, status, evidenceDueAt, answeredAt },
          }) => (
            <li key={disputeId}>
              <Link
                href={`/organiser/orders/${checkoutId}/disputes/${disputeId}`}
                className="underline underline-offset-4"
              >
                {buyer.email ?? buyer.accountId}
              </Link>
              {` · ${event.name} · ${money(amount, currency, text.locale)} · `}
              {evidenceDueAt && !answeredAt && status.endsWith("needs_response") ? (
                <strong>{text("disputeBy", { date: dateAndTime(evidenceDueAt, event.timeZone, text.locale) })}</strong>
              ) : (
                text("disputeAtBank")
              )}
            </li>
          ),
        )}
      </ul>
    </Notice>
  );
}
