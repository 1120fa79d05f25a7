// One order as the organiser sees it: whose, for what, what happened when; and giving its money back.
import { currencies } from "@onsale/kit/currencies";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";
import { Link } from "wouter";
import { answered, api, newKey } from "../../../api/client.js";
import { dateAndTime, money } from "../../../format.js";
import { Button } from "../../../ui/button.js";
import { Choice, Field } from "../../../ui/field.js";
import { Notice, Problem, Skeleton } from "../../../ui/notice.js";
import { Title } from "../../../ui/page.js";
import { seatText } from "../../tickets/tickets-page.js";
import { leftOf, openSeats, orderStatusKeys } from "../../tickets/whats-left.js";
import { readPrice } from "../events/event-form.js";
import { type OrderWithTimeline, soldOrderKey, useSoldOrder } from "../organiser-api.js";
import { Confirm, ForOrganisers, OrganiserNav } from "../organiser-frame.js";
import { capital, useOrganiserText } from "../organiser-text.js";
import { FailedRefunds } from "./failed-refunds.js";

export function OrderPage({ checkoutId }: { checkoutId: string }) {
  return (
    <ForOrganisers>
      <Loaded checkoutId={checkoutId} />
    </ForOrganisers>
  );
}

function Loaded({ checkoutId }: { checkoutId: string }) {
  const text = useOrganiserText();
  const order = useSoldOrder(checkoutId);
  if (order.isError && !order.data) return <Problem error={order.error} retry={() => void order.refetch()} />;
  return (
    <div className="grid gap-6">
      <Title page={text("orderTitle")}>{text("orderTitle")}</Title>
      <OrganiserNav />
      {order.data ? (
        <Order order={order.data} />
      ) : (
        <div className="grid gap-4" role="status" aria-label={text("loading")}>
          <Skeleton className="h-40" />
          <Skeleton className="h-64" />
        </div>
      )}
    </div>
  );
}

function Order({ order }: { order: OrderWithTimeline }) {
  const text = useOrganiserText();
  const { event, seats, currency, status, buyer, payment, refundedSeats } = order;
  const price = (amount: number) => money(amount, currency, text.locale);
  const back = new Set(refundedSeats);
  return (
    <div className="grid gap-6 lg:grid-cols-[1fr_22rem] lg:items-start">
      <div className="grid gap-6">
        <section className="grid gap-3 rounded-xl border border-line bg-paper p-4">
          <div className="flex flex-wrap items-baseline justify-between gap-x-4">
            <h2 className="text-lg font-bold">
              <Link href={`/organiser/events/${event.eventId}`} className="underline underline-offset-4">
                {event.name}
              </Link>
            </h2>
            <span className={`font-semibold ${status === "completed" ? "text-good" : "text-warn"}`}>
              {text(orderStatusKeys[status])}
            </span>
          </div>
          <dl className="grid gap-3 sm:grid-cols-2">
            <Fact label={text("buyer")}>
              {buyer.email ? (
                <a href={`mailto:${buyer.email}`} className="break-all underline underline-offset-4">
                  {buyer.email}
                </a>
              ) : (
                <span className="break-all">{buyer.accountId}</span>
              )}
              {buyer.name ? ` (${buyer.name})` : undefined}
            </Fact>
            <Fact label={text("orderedAt")}>{dateAndTime(order.createdAt, event.timeZone, text.locale)}</Fact>
            <Fact label={text("orderId")}>
              <span className="break-all">{order.checkoutId}</span>
            </Fact>
            <Fact label={text("paymentReference")}>
              <span className="break-all">{payment?.reference ?? text("notKnownNow")}</span>
            </Fact>
          </dl>
        </section>
        <section aria-labelledby="seats" className="rounded-xl border border-line bg-paper p-4">
          <h2 id="seats" className="mb-2 text-lg font-bold first-letter:uppercase">
            {text("placesCount", { count: seats.length })}
          </h2>
          <ul className="divide-y divide-line">
            {seats.map((seat) => (
              <li key={seat.seatId} className="flex justify-between gap-4 py-2">
                <span>
                  {seatText(text, seat)}
                  {back.has(seat.seatId) ? <span className="text-soft"> · {text("seatVoid")}</span> : undefined}
                </span>
                <span className="tabular-nums">{price(seat.amount)}</span>
              </li>
            ))}
          </ul>
          <p className="flex justify-between border-t-2 border-line pt-2 font-bold">
            <span>{text("total")}</span>
            <span className="tabular-nums">{price(order.amount)}</span>
          </p>
          {order.amountRefunded > 0 ? (
            <p className="flex justify-between text-soft">
              <span>{text("orderRefunded")}</span>
              <span className="tabular-nums">{price(-order.amountRefunded)}</span>
            </p>
          ) : undefined}
        </section>
        {order.disputes.map((dispute) => (
          <Notice
            key={dispute.disputeId}
            tone="warn"
            title={text("disputeLine", { amount: price(dispute.amount), status: dispute.status.replaceAll("_", " ") })}
          >
            <p>{dispute.reason.replaceAll("_", " ")}</p>
            {dispute.evidenceDueAt && dispute.status.endsWith("needs_response") ? (
              <p>{text("disputeDue", { date: dateAndTime(dispute.evidenceDueAt, event.timeZone, text.locale) })}</p>
            ) : dispute.answeredAt ? (
              <p>{text("disputeAnswered", { date: dateAndTime(dispute.answeredAt, event.timeZone, text.locale) })}</p>
            ) : undefined}
            <Link
              href={`/organiser/orders/${order.checkoutId}/disputes/${dispute.disputeId}`}
              className="inline-flex min-h-11 items-center font-semibold underline underline-offset-4"
            >
              {text("disputeOpen")}
            </Link>
          </Notice>
        ))}
        <FailedRefunds order={order} />
        <Refund order={order} />
      </div>
      <Timeline order={order} />
    </div>
  );
}

export function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div>
      <dt className="text-sm font-semibold text-soft">{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

const stepKeys = {
  held: "stepHeld",
  requires_action: "stepRequiresAction",
  declined: "stepDeclined",
  authorized: "stepAuthorized",
  seats_lost: "stepSeatsLost",
  claimed: "stepClaimed",
  captured: "stepCaptured",
  issued: "stepIssued",
  completed: "stepCompleted",
  payment_cancelled: "stepPaymentCancelled",
  released: "stepReleased",
  expired: "stepExpired",
  cancelled: "stepCancelled",
  refunded: "stepRefunded",
  refund_started: "stepRefundStarted",
  refund_failed: "stepRefundFailed",
  refund_replaced: "stepRefundReplaced",
  refund_closed: "stepRefundClosed",
  goodwill: "stepGoodwill",
  voided: "stepVoided",
  refunded_outside: "stepRefundedOutside",
  dispute_opened: "stepDisputeOpened",
  dispute_answered: "stepDisputeAnswered",
  dispute_lost: "stepDisputeLost",
  stopped: "stepStopped",
} as const;

const byKeys = {
  buyer: "byBuyer",
  organiser: "byOrganiser",
  operator: "byOperator",
  stripe: "byStripe",
  "event cancelled": "byEventCancelled",
} as const;

function Timeline({ order }: { order: OrderWithTimeline }) {
  const text = useOrganiserText();
  const { timeline, workflowUrl, event, currency } = order;
  const clock = new Intl.DateTimeFormat(text.locale, {
    day: "numeric",
    month: "short",
    hour: "numeric",
    minute: "2-digit",
    second: "2-digit",
    timeZone: event.timeZone,
  });
  return (
    <section aria-labelledby="timeline" className="grid gap-3 rounded-xl border border-line bg-paper p-4">
      <h2 id="timeline" className="text-lg font-bold">
        {text("timelineTitle")}
      </h2>
      <ol className="border-l-2 border-line pl-4">
        {timeline.map(({ at, step, detail, amount, seats, by, account, reason }, rank) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the list only grows at its end
          <li key={rank} className="relative pb-3 last:pb-0">
            <span aria-hidden className="absolute top-1.5 -left-[1.4rem] size-2.5 rounded-full bg-accent" />
            <p className="text-sm text-soft tabular-nums">{clock.format(new Date(at))}</p>
            <p className="font-semibold">
              {text(stepKeys[step])}
              {amount === undefined ? "" : ` · ${money(amount, currency, text.locale)}`}
            </p>
            {by || account ? (
              <p className="text-sm break-all text-soft">
                {[by ? text(byKeys[by]) : "", account ?? ""].filter((words) => words !== "").join(" · ")}
              </p>
            ) : undefined}
            {reason ? <p className="text-sm break-words">{reason}</p> : undefined}
            {detail ? <p className="text-sm break-all text-soft">{detail}</p> : undefined}
            {seats && seats.length > 0 ? <p className="text-sm text-soft">{seats.join(", ")}</p> : undefined}
          </li>
        ))}
      </ol>
      {workflowUrl ? (
        <a
          href={workflowUrl}
          target="_blank"
          rel="noreferrer"
          className="inline-flex min-h-11 items-center font-semibold underline underline-offset-4"
        >
          {text("openWorkflow")}
        </a>
      ) : undefined}
    </section>
  );
}

const kindKeys = {
  return: { label: "refundKindReturnLabel", hint: "refundHint" },
  goodwill: { label: "refundKindGoodwillLabel", hint: "refundHintGoodwill" },
  void: { label: "refundKindVoidLabel", hint: "refundHintVoid" },
} as const;
type Kind = keyof typeof kindKeys;
const kinds = Object.keys(kindKeys) as Kind[];

/** What is typed and chosen, until it is asked for. */
function useWish(order: OrderWithTimeline) {
  const [kind, setKind] = useState<Kind>("return");
  const [kept, setKept] = useState<ReadonlySet<string>>(new Set());
  const [typed, setTyped] = useState("");
  const [reason, setReason] = useState("");
  const open = openSeats(order);
  const offered = kind === "goodwill" ? order.seats.filter(({ left }) => left > 0) : open;
  const chosen = offered.filter(({ seatId }) => !kept.has(seatId));
  const most = kind === "void" ? 0 : leftOf(chosen);
  const isEmpty = typed.trim() === "";
  const wanted = kind === "void" || (isEmpty && kind === "return") ? most : readPrice(typed, order.currency);
  const step = currencies.get(order.currency)?.step ?? 1;
  const isPayable = wanted !== undefined && (wanted === most || wanted % step === 0);
  const fits = isPayable && wanted <= most && (wanted > 0 || (isEmpty && kind !== "goodwill"));
  const why = reason.trim();
  const seats = chosen.map(({ seatId }) => seatId);
  const hasAmount = kind !== "void" && wanted !== undefined && !(kind === "return" && wanted === most);
  const body = {
    ...(kind === "return" ? {} : { kind }),
    // An amount is somebody's: without it, all seats need not be named.
    ...(kind !== "goodwill" && !hasAmount && chosen.length === open.length ? {} : { seats }),
    ...(hasAmount ? { amount: wanted } : {}),
    ...(why === "" ? {} : { reason: why }),
  };
  return {
    ...{ kind, kept, typed, reason, offered, chosen, most, wanted, fits, body },
    ...{ setKind, setKept, setTyped, setReason },
    isReady: fits && chosen.length > 0 && (kind === "return" || why !== ""),
    nothing: open.length === 0 && leftOf(order.seats) === 0,
    clear: () => {
      setTyped("");
      setReason("");
      setKept(new Set());
    },
  };
}

function Refund({ order }: { order: OrderWithTimeline }) {
  const text = useOrganiserText();
  const queries = useQueryClient();
  const { checkoutId, currency } = order;
  const wish = useWish(order);
  const { kind, chosen, wanted, most } = wish;
  const [key, setKey] = useState<string>();
  const show = (value: number) => money(value, currency, text.locale);
  const refund = useMutation({
    mutationFn: (attempt: string) =>
      answered(
        api.POST("/v1/orders/{checkoutId}/refund", {
          params: { path: { checkoutId }, header: { "Idempotency-Key": attempt } },
          body: wish.body,
        }),
      ),
    onSuccess: () => {
      setKey(undefined);
      wish.clear();
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ["organiser"] }),
  });
  // Under way: it shows here when it is done.
  const pending = refund.data?.status === "pending";
  useEffect(() => {
    if (!pending) return;
    const timer = setInterval(() => void queries.invalidateQueries({ queryKey: soldOrderKey(checkoutId) }), 2_000);
    return () => clearInterval(timer);
  }, [pending, queries, checkoutId]);
  const amount = show(wanted ?? most);
  const sure = {
    return: text("organiserRefundSure", { amount, count: chosen.length }),
    goodwill: text("goodwillSure", { amount }),
    void: text("voidSure", { count: chosen.length }),
  }[kind];
  return (
    <section aria-labelledby="refund" className="grid gap-3 rounded-xl border border-line bg-paper p-4">
      <h2 id="refund" className="text-lg font-bold">
        {text("refundTitle")}
      </h2>
      {refund.isError ? <Problem error={refund.error} /> : undefined}
      {refund.data && !(pending && wish.nothing) ? <Standing status={refund.data.status} /> : undefined}
      {wish.nothing ? (
        <p className="text-soft">{text("nothingLeft")}</p>
      ) : key === undefined ? (
        <>
          <WishFields wish={wish} currency={currency} />
          <Button
            className="justify-self-start"
            disabled={!wish.isReady}
            onClick={() => {
              refund.reset();
              setKey(newKey());
            }}
          >
            {text(kind === "void" ? "voidButton" : "refundButton")}
          </Button>
        </>
      ) : (
        <Confirm
          question={sure}
          yes={kind === "void" ? text("voidConfirm") : text("refundConfirm", { amount })}
          busy={refund.isPending}
          onYes={() => refund.mutate(key)}
          onNo={() => setKey(undefined)}
        >
          <p className="text-soft">{text("refundSureText")}</p>
        </Confirm>
      )}
    </section>
  );
}

function Standing({ status }: { status: "pending" | "refunded" | "failed" }) {
  const text = useOrganiserText();
  const said = {
    pending: { tone: "plain", words: "refundPending" },
    refunded: { tone: "good", words: "refundGiven" },
    failed: { tone: "warn", words: "refundEnded" },
  } as const;
  return <Notice tone={said[status].tone} title={text(said[status].words)} live />;
}

function WishFields({ wish, currency }: { wish: ReturnType<typeof useWish>; currency: string }) {
  const text = useOrganiserText();
  const { kind, kept, typed, reason, offered, chosen, most, fits } = wish;
  const show = (value: number) => money(value, currency, text.locale);
  const wrong = fits || chosen.length === 0 || (kind === "goodwill" && typed.trim() === "");
  return (
    <>
      <Choice
        label={text("refundKind")}
        value={kind}
        onChange={(change) => {
          const next = kinds.find((one) => one === change.target.value);
          if (next) wish.setKind(next);
        }}
      >
        {kinds.map((one) => (
          <option key={one} value={one}>
            {text(kindKeys[one].label)}
          </option>
        ))}
      </Choice>
      <p className="text-sm text-soft">{text(kindKeys[kind].hint)}</p>
      {offered.length > 1 ? (
        <fieldset>
          <legend className="text-sm font-semibold">{text("refundSeats")}</legend>
          {offered.map((seat) => (
            <label key={seat.seatId} className="flex min-h-11 items-center gap-3">
              <input
                type="checkbox"
                className="size-5"
                checked={!kept.has(seat.seatId)}
                onChange={(change) => {
                  const next = new Set(kept);
                  if (change.target.checked) next.delete(seat.seatId);
                  else next.add(seat.seatId);
                  wish.setKept(next);
                }}
              />
              <span className="grow">{seatText(text, seat)}</span>
              {kind === "void" ? undefined : <span className="tabular-nums">{show(seat.left)}</span>}
            </label>
          ))}
        </fieldset>
      ) : undefined}
      {kind === "void" ? undefined : (
        <Field
          className="sm:w-1/2"
          label={text("refundAmount", { currency })}
          inputMode="decimal"
          hint={kind === "goodwill" ? undefined : text("refundAmountHint", { amount: show(most) })}
          problem={wrong ? undefined : capital(text("refundAmountWrong", { amount: show(most) }))}
          value={typed}
          onChange={(change) => wish.setTyped(change.target.value)}
        />
      )}
      <Field
        label={text("refundReason")}
        hint={text("refundReasonHint")}
        maxLength={500}
        required={kind !== "return"}
        value={reason}
        onChange={(change) => wish.setReason(change.target.value)}
      />
    </>
  );
}
