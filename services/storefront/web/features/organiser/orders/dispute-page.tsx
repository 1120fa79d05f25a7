// One dispute: what is known of the order, what the bank is sent, and the one answer that it takes.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { answered, api, newKey } from "../../../api/client.js";
import { dateAndTime, money } from "../../../format.js";
import { Button } from "../../../ui/button.js";
import { Paragraphs } from "../../../ui/field.js";
import { Notice, Problem, Skeleton } from "../../../ui/notice.js";
import { Title } from "../../../ui/page.js";
import { seatText } from "../../tickets/tickets-page.js";
import { type DisputeEvidence, useDisputeEvidence } from "../organiser-api.js";
import { Confirm, ForOrganisers, OrganiserNav } from "../organiser-frame.js";
import { useOrganiserText } from "../organiser-text.js";
import { Fact } from "./order-page.js";

interface Which {
  readonly checkoutId: string;
  readonly disputeId: string;
}

export function DisputePage(which: Which) {
  return (
    <ForOrganisers>
      <Loaded {...which} />
    </ForOrganisers>
  );
}

function Loaded({ checkoutId, disputeId }: Which) {
  const text = useOrganiserText();
  const found = useDisputeEvidence(checkoutId, disputeId);
  if (found.isError && !found.data) return <Problem error={found.error} retry={() => void found.refetch()} />;
  return (
    <div className="grid gap-6">
      <Title page={text("disputeTitle")}>{text("disputeTitle")}</Title>
      <OrganiserNav />
      {found.data ? (
        <>
          <Standing evidence={found.data} />
          <Known evidence={found.data} />
          {found.data.answerable ? (
            <>
              <Fields
                id="sends"
                title={text("disputeSends")}
                fields={found.data.draft}
                hint={text("disputeSendsHint")}
              />
              <Answer evidence={found.data} />
            </>
          ) : undefined}
          <Fields id="there" title={text("disputeThere")} fields={found.data.atBank ?? {}} />
        </>
      ) : (
        <div className="grid gap-4" role="status" aria-label={text("loading")}>
          <Skeleton className="h-40" />
          <Skeleton className="h-64" />
        </div>
      )}
    </div>
  );
}

function Standing({ evidence: { dispute, answerable, event, bought } }: { evidence: DisputeEvidence }) {
  const text = useOrganiserText();
  const at = (time: string) => dateAndTime(time, event.timeZone, text.locale);
  const { amount, status, reason, evidenceDueAt, answeredAt } = dispute;
  return (
    <Notice
      tone={answerable ? "warn" : "plain"}
      title={text("disputeLine", {
        amount: money(amount, bought.currency, text.locale),
        status: status.replaceAll("_", " "),
      })}
    >
      <p>{reason.replaceAll("_", " ")}</p>
      {answerable && evidenceDueAt ? (
        <p className="font-semibold">{text("disputeDue", { date: at(evidenceDueAt) })}</p>
      ) : undefined}
      {answeredAt ? (
        <p>{text("disputeAnswered", { date: at(answeredAt) })}</p>
      ) : (
        <p className="mt-2">{text(answerable ? "disputeIntro" : "disputeClosed")}</p>
      )}
    </Notice>
  );
}

function Known({ evidence }: { evidence: DisputeEvidence }) {
  const text = useOrganiserText();
  const { checkoutId, buyer, event, bought, payment, shown, tickets } = evidence;
  const at = (time: string) => dateAndTime(time, event.timeZone, text.locale);
  const approved = payment?.approvedAt;
  return (
    <section aria-labelledby="known" className="grid gap-3 rounded-xl border border-line bg-paper p-4">
      <h2 id="known" className="text-lg font-bold">
        {text("disputeKnown")}
      </h2>
      <dl className="grid gap-3 sm:grid-cols-2">
        <Fact label={text("buyer")}>
          <span className="break-all">{[buyer.name, buyer.email ?? buyer.accountId].filter(Boolean).join(" · ")}</span>
        </Fact>
        <Fact label={text("orderTitle")}>
          <Link href={`/organiser/orders/${checkoutId}`} className="break-all underline underline-offset-4">
            {event.name}
          </Link>
        </Fact>
        <Fact label={text("disputeBoughtAt")}>{at(bought.at)}</Fact>
        <Fact label={text("paymentReference")}>
          <span className="break-all">{payment?.reference ?? text("notKnownNow")}</span>
        </Fact>
        <Fact label={text(approved ? "disputeApproved" : "disputeApprovalAsked")}>
          {approved
            ? at(approved)
            : payment?.approvalAskedAt
              ? at(payment.approvalAskedAt)
              : text(payment ? "disputeNoApproval" : "notKnownNow")}
        </Fact>
        <Fact label={text("disputeReturns")}>
          {!shown
            ? text("notKnownNow")
            : shown.refundableUntil
              ? text("disputeReturnsUntil", { date: at(shown.refundableUntil) })
              : text("disputeNoReturns")}
        </Fact>
        <Fact label={text("disputeTickets")}>
          {text("disputeTicketsNow", {
            valid: tickets.filter(({ status }) => status === "valid").length,
            count: tickets.length,
          })}
        </Fact>
        <Fact label={text("total")}>{money(bought.amount, bought.currency, text.locale)}</Fact>
      </dl>
      <ul className="divide-y divide-line">
        {bought.seats.map((seat) => (
          <li key={seat.seatId} className="flex justify-between gap-4 py-2">
            <span>{seatText(text, seat)}</span>
            <span className="tabular-nums">{money(seat.amount, bought.currency, text.locale)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** By Stripe's names, in the words that the bank reads; nothing when there are none. */
function Fields({
  id,
  title,
  fields,
  hint,
}: {
  id: string;
  title: string;
  fields: Readonly<Record<string, string>>;
  hint?: string;
}) {
  if (Object.keys(fields).length === 0) return undefined;
  return (
    <section aria-labelledby={id} className="grid gap-3 rounded-xl border border-line bg-paper p-4">
      <h2 id={id} className="text-lg font-bold">
        {title}
      </h2>
      {hint ? <p className="text-sm text-soft">{hint}</p> : undefined}
      <dl lang="en" className="grid gap-3">
        {Object.entries(fields).map(([name, value]) => (
          <Fact key={name} label={name.replaceAll("_", " ")}>
            <span className="break-words whitespace-pre-line">{value}</span>
          </Fact>
        ))}
      </dl>
    </section>
  );
}

function Answer({ evidence: { checkoutId, dispute } }: { evidence: DisputeEvidence }) {
  const text = useOrganiserText();
  const queries = useQueryClient();
  const [words, setWords] = useState("");
  const [key, setKey] = useState<string>();
  const send = useMutation({
    mutationFn: (attempt: string) =>
      answered(
        api.POST("/v1/orders/{checkoutId}/disputes/{disputeId}/evidence", {
          params: { path: { checkoutId, disputeId: dispute.disputeId }, header: { "Idempotency-Key": attempt } },
          body: { words: words.trim() },
        }),
      ),
    onSuccess: () => setKey(undefined),
    onSettled: () => queries.invalidateQueries({ queryKey: ["organiser"] }),
  });
  if (send.isSuccess) return <Notice tone="good" title={text("disputeSent")} live />;
  return (
    <div className="grid gap-3 rounded-xl border-2 border-warn bg-paper p-4">
      {send.isError ? <Problem error={send.error} /> : undefined}
      <Paragraphs
        label={text("disputeWords")}
        hint={text("disputeWordsHint")}
        maxLength={5_000}
        disabled={key !== undefined}
        value={words}
        onChange={(change) => setWords(change.target.value)}
      />
      {key === undefined ? (
        <Button
          look="main"
          className="justify-self-start"
          disabled={words.trim() === ""}
          onClick={() => {
            send.reset();
            setKey(newKey());
          }}
        >
          {text("disputeSend")}
        </Button>
      ) : (
        <Confirm
          question={text("disputeSendSure")}
          yes={text("disputeSendYes")}
          busy={send.isPending}
          onYes={() => send.mutate(key)}
          onNo={() => setKey(undefined)}
        />
      )}
    </div>
  );
}
