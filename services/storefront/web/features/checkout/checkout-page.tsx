// One checkout: the time that is left, paying, and what became of it. The server's state decides what is shown, so a reload, the
// back button or a second tab change nothing.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { useLocation, useSearchParams } from "wouter";
import { ApiError, answered, api, type Checkout, newKey } from "../../api/client.js";
import { dateAndTime, money } from "../../format.js";
import { useInstallation } from "../../installation.js";
import { declineText } from "../../refusal-text.js";
import { useSession } from "../../session.js";
import { useText } from "../../text.js";
import { Button, ButtonLink } from "../../ui/button.js";
import { Countdown, useTimeLeft } from "../../ui/countdown.js";
import { Notice, Problem, Skeleton } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";
import { useEvent } from "../events/event-page.js";
import { forget, GiveBack, remember, settled, useCheckout } from "./basket.js";
import { StripeCard } from "./stripe-card.js";

export function CheckoutPage({ checkoutId }: { checkoutId: string }) {
  const text = useText();
  const session = useSession();
  const [, go] = useLocation();
  useEffect(() => {
    if (session.kind === "out") go(`/login?next=${encodeURIComponent(`/checkouts/${checkoutId}`)}`, { replace: true });
  }, [session.kind, go, checkoutId]);
  const checkout = useCheckout(checkoutId, 3_000);
  const { data } = checkout;
  useEffect(() => {
    if (!data) return;
    if (settled.includes(data.status)) forget(data.checkoutId);
    else remember(data);
  }, [data]);
  // What was known stays on the page while the shop can't be reached: the time goes on all the same.
  if (checkout.isError && !data) return <Problem error={checkout.error} retry={() => void checkout.refetch()} />;
  if (!data)
    return (
      <div className="grid gap-4" role="status" aria-label={text("loading")}>
        <Skeleton className="h-10 w-1/2" />
        <Skeleton className="h-64" />
      </div>
    );
  return (
    <>
      {checkout.isError ? <Problem error={checkout.error} retry={() => void checkout.refetch()} /> : undefined}
      <Standing checkout={data} />
    </>
  );
}

function Standing({ checkout }: { checkout: Checkout }) {
  const text = useText();
  const { status, amount, currency } = checkout;
  return (
    <div className="mx-auto grid max-w-2xl gap-4">
      <div>
        <Title page={text("checkoutTitle")}>{text("checkoutTitle")}</Title>
        <WhatFor eventId={checkout.eventId} />
      </div>
      <div aria-live="polite" className="grid gap-4">
        {status === "held" ? <Held checkout={checkout} /> : undefined}
        {status === "paying" ? (
          <Notice title={text("statusPaying")} live>
            <p>{text("statusPayingText")}</p>
            <progress className="mt-3 w-full animate-pulse" aria-label={text("statusPaying")} />
          </Notice>
        ) : undefined}
        {status === "requires_action" ? (
          <Notice tone="warn" title={text("statusAction")} live>
            {checkout.deadline ? <TimeLeft deadline={checkout.deadline} /> : undefined}
            {checkout.actionUrl ? (
              <a
                href={checkout.actionUrl}
                className="mt-3 inline-flex min-h-11 items-center rounded-lg border border-transparent bg-accent px-4 font-semibold text-on-accent no-underline"
              >
                {text("approve")}
              </a>
            ) : (
              text("loading")
            )}
            <div className="mt-2">
              <GiveBack checkoutId={checkout.checkoutId} disabled={false} />
            </div>
          </Notice>
        ) : undefined}
        {status === "completed" ? (
          <Notice tone="good" title={text("statusCompleted")} live>
            <p>{text("statusCompletedText")}</p>
            <ButtonLink look="main" to="/tickets" className="mt-3">
              {text("showTickets")}
            </ButtonLink>
          </Notice>
        ) : undefined}
        {status === "expired" ? (
          <Ended eventId={checkout.eventId} title={text("deadlineOver")} told={text("deadlineOverText")} />
        ) : undefined}
        {status === "cancelled" ? (
          <Ended
            eventId={checkout.eventId}
            title={text(checkout.reason === "SEAT_TAKEN" ? "endedTaken" : "statusCancelled")}
            told={text(checkout.reason === "SEAT_TAKEN" ? "endedTakenText" : "statusCancelledText")}
          />
        ) : undefined}
        {status === "refunded" ? (
          <Notice title={text("statusRefunded")} live>
            {text("statusRefundedText")}
          </Notice>
        ) : undefined}
      </div>
      <section className="rounded-xl border border-line bg-paper p-4">
        <ul className="divide-y divide-line">
          {checkout.seats.map((seat) => (
            <li key={seat.seatId} className="flex justify-between gap-4 py-2">
              <span>
                {seat.row
                  ? text("seatName", { section: seat.section, row: seat.row, number: seat.number })
                  : text("placeName", { section: seat.section })}
              </span>
              <span className="tabular-nums">{money(seat.amount, currency, text.locale)}</span>
            </li>
          ))}
        </ul>
        <p className="flex justify-between border-t-2 border-line pt-3 text-lg font-bold">
          <span>{text("total")}</span>
          <span className="tabular-nums">{money(amount, currency, text.locale)}</span>
        </p>
        <p className="text-sm text-soft">{text("allIn")}</p>
      </section>
    </div>
  );
}

/** Which concert, when and where: nobody should pay for the wrong one. */
function WhatFor({ eventId }: { eventId: string }) {
  const text = useText();
  const { data } = useEvent(eventId);
  if (!data) return <Skeleton className="mt-1 h-12" />;
  return (
    <p className="mt-1 min-h-12 text-sm text-soft">
      <span className="block font-semibold text-ink">{data.name}</span>
      {dateAndTime(data.startsAt, data.venue.timeZone, text.locale)} · {data.venue.name}, {data.venue.city}
    </p>
  );
}

function TimeLeft({ deadline }: { deadline: string }) {
  const text = useText();
  const { seconds } = useTimeLeft(Date.parse(deadline));
  return (
    <>
      <p className="flex flex-wrap items-baseline justify-between gap-x-4">
        <span className="text-soft">{text("deadlineLabel")}</span>
        <Countdown untilMs={Date.parse(deadline)} className="text-3xl font-extrabold text-ink sm:text-right" />
      </p>
      <p
        aria-live="assertive"
        className={`mt-1 min-h-10 text-sm sm:min-h-5 ${seconds <= 60 ? "font-semibold text-accent" : "text-soft"}`}
      >
        {seconds <= 60 ? text("deadlineSoon") : text("extendNever")}
      </p>
    </>
  );
}

function Ended({ eventId, title, told }: { eventId: string; title: string; told: string }) {
  const text = useText();
  return (
    <Notice tone="warn" title={title} live>
      <p>{told}</p>
      <ButtonLink look="main" to={`/events/${eventId}/seats`} className="mt-3">
        {text("chooseAgain")}
      </ButtonLink>
    </Notice>
  );
}

/** The Idempotency-Key of paying with this method, the same after a reload and in every tab: asking twice is paying once. */
function paymentKey(checkoutId: string, paymentMethodId: string): string {
  const name = `onsale.pay.${checkoutId}.${paymentMethodId}`;
  const known = localStorage.getItem(name) ?? newKey();
  localStorage.setItem(name, known);
  return known;
}

function Held({ checkout }: { checkout: Checkout }) {
  const text = useText();
  const queries = useQueryClient();
  const installation = useInstallation();
  const [params, setParams] = useSearchParams();
  const { checkoutId, amount, currency, decline } = checkout;
  const deadline = Date.parse(checkout.deadline ?? "");
  const { seconds } = useTimeLeft(deadline);
  const method = params.get("payment_method") ?? undefined;
  const forgetCard = () => setParams({}, { replace: true });
  const refresh = () => queries.invalidateQueries({ queryKey: ["checkout", checkoutId] });

  const pay = useMutation({
    mutationFn: (paymentMethodId: string) =>
      answered(
        api.POST("/v1/checkouts/{checkoutId}/payment", {
          params: {
            path: { checkoutId },
            header: { "Idempotency-Key": paymentKey(checkoutId, paymentMethodId) },
          },
          body: { paymentMethodId },
        }),
      ),
    retry: (failures, error) => failures < 4 && error instanceof ApiError && error.retryable,
    onSuccess: (paid) => {
      if (paid.status === "declined") forgetCard();
      else queries.setQueryData(["checkout", checkoutId], paid);
    },
    onSettled: refresh,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: asks once, when the time is over
  useEffect(() => {
    if (seconds === 0) void refresh();
  }, [seconds === 0]);

  const label = text("pay", { amount: money(amount, currency, text.locale) });
  const cardPage = installation.data?.cardPageUrl;
  const backHere = new URL(`/checkouts/${checkoutId}`, location.origin).href;
  return (
    <>
      <div className={`rounded-xl border-2 bg-paper p-4 ${seconds <= 60 ? "border-accent" : "border-line"}`}>
        <TimeLeft deadline={checkout.deadline ?? ""} />
      </div>
      {decline && !method ? (
        <Notice tone="bad" title={text("declined")} live>
          <p>{declineText(text, decline)}</p>
          <p className="mt-1">{text("declinedTry")}</p>
        </Notice>
      ) : undefined}
      {pay.isError ? <Problem error={pay.error} retry={() => pay.mutate(pay.variables)} /> : undefined}
      <div className="grid gap-3 rounded-xl border border-line bg-paper p-4">
        {installation.data?.stripePublishableKey ? (
          <StripeCard
            publishableKey={installation.data.stripePublishableKey}
            amount={amount}
            currency={currency}
            label={label}
            busy={pay.isPending}
            over={seconds === 0}
            onMethod={pay.mutate}
          />
        ) : method ? (
          <>
            <p>{text("cardReady")}</p>
            <Button look="main" disabled={pay.isPending || seconds === 0} onClick={() => pay.mutate(method)}>
              {pay.isPending ? text("statusPaying") : label}
            </Button>
            <Button look="quiet" disabled={pay.isPending} onClick={forgetCard}>
              {text("otherCard")}
            </Button>
          </>
        ) : cardPage ? (
          <>
            <a
              href={`${cardPage}?return_url=${encodeURIComponent(backHere)}`}
              className="inline-flex min-h-11 items-center justify-center rounded-lg border border-transparent bg-accent px-4 font-semibold text-on-accent no-underline"
            >
              {text("payCard")}
            </a>
            <p className="text-sm text-soft">
              {text("cardElsewhere")} {text("testCards")}
            </p>
          </>
        ) : installation.isError ? (
          <Problem error={installation.error} retry={() => void installation.refetch()} />
        ) : (
          <Skeleton className="h-11" />
        )}
        <GiveBack checkoutId={checkoutId} disabled={pay.isPending} />
      </div>
    </>
  );
}
