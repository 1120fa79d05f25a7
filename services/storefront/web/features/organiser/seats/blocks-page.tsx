// Seats that the organiser takes off the sale, and puts back.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useCallback, useState } from "react";
import { ApiError, answered, api, newKey } from "../../../api/client.js";
import { dateAndTime, wholeNumber } from "../../../format.js";
import { Button } from "../../../ui/button.js";
import { Field } from "../../../ui/field.js";
import { Empty, Notice, Problem, Skeleton } from "../../../ui/notice.js";
import { findSeat, nameSeat, seatStates } from "../../seats/seat-plan.js";
import { type Block, blocksKey, type OwnEvent, useBlocks, useOwnEvent } from "../organiser-api.js";
import { EventNav, ForOrganisers } from "../organiser-frame.js";
import { useOrganiserText } from "../organiser-text.js";
import { EventHead, useSeatsOf } from "../sale/dashboard-page.js";
import { runText, SeatPicker } from "./seat-picker.js";
import { seatRuns } from "./seat-runs.js";

export function BlocksPage({ eventId }: { eventId: string }) {
  return (
    <ForOrganisers>
      <Loaded eventId={eventId} />
    </ForOrganisers>
  );
}

function Loaded({ eventId }: { eventId: string }) {
  const text = useOrganiserText();
  const event = useOwnEvent(eventId);
  if (event.isError) return <Problem error={event.error} retry={() => void event.refetch()} />;
  if (!event.data) return <Skeleton className="h-96" />;
  return (
    <div className="grid gap-6">
      <EventHead event={event.data} />
      <EventNav event={event.data} />
      {event.data.status === "draft" ? (
        <Empty title={text("blocksOfDraft")}>{text("blocksOfDraftText")}</Empty>
      ) : (
        <Blocks event={event.data} />
      )}
    </div>
  );
}

/** The API takes so many in one request. */
const mostAtOnce = 5_000;

function Blocks({ event }: { event: OwnEvent }) {
  const text = useOrganiserText();
  const queries = useQueryClient();
  const { eventId } = event;
  const { plan, live, layout } = useSeatsOf(event);
  const blocks = useBlocks(eventId, true);
  const [picked, setPicked] = useState<ReadonlySet<number>>(new Set());
  const [reason, setReason] = useState("");
  const [told, setTold] = useState<string>();
  const { states } = live;
  const seatIds = plan ? [...picked].map((seat) => nameSeat(plan, seat).seatId) : [];
  const refresh = () => queries.invalidateQueries({ queryKey: blocksKey(eventId) });

  const block = useMutation({
    mutationFn: ({ key, seats }: { key: string; seats: string[] }) =>
      answered(
        api.POST("/v1/organiser/events/{eventId}/blocks", {
          params: { path: { eventId }, header: { "Idempotency-Key": key } },
          body: { seats, reason: reason.trim() },
        }),
      ),
    onSuccess: (made) => {
      setPicked(new Set());
      setReason("");
      setTold(text("blockedDone", { count: made.seats.length }));
    },
    onError: (error) => {
      // Those that a buyer was quicker with go from the pick, the others stay.
      const gone = error instanceof ApiError && plan ? (error.details.seats ?? []) : [];
      const taken = new Set(gone.map((seatId) => plan && findSeat(plan, seatId)));
      setPicked((before) => new Set([...before].filter((seat) => !taken.has(seat))));
    },
    onSettled: refresh,
  });
  const unblock = useMutation({
    mutationFn: ({ key, seats }: { key: string; seats: string[] }) =>
      answered(
        api.POST("/v1/organiser/events/{eventId}/unblocks", {
          params: { path: { eventId }, header: { "Idempotency-Key": key } },
          body: { seats },
        }),
      ),
    onSuccess: ({ seats }) => setTold(text("unblockedDone", { count: seats.length })),
    onSettled: refresh,
  });

  const pick = useCallback(
    (seat: number) => {
      setTold(undefined);
      setPicked((before) => {
        const next = new Set(before);
        if (next.delete(seat)) return next;
        return states?.[seat] === seatStates.free ? next.add(seat) : before;
      });
    },
    [states],
  );
  const pickMany = (seats: readonly number[]) =>
    setPicked((before) => new Set([...before, ...seats.filter((seat) => states?.[seat] === seatStates.free)]));

  return (
    <>
      {told ? <Notice tone="good" title={told} live /> : undefined}
      {block.isError ? <Problem error={block.error} /> : undefined}
      {unblock.isError ? <Problem error={unblock.error} /> : undefined}
      <section aria-labelledby="toBlock" className="grid gap-3 rounded-xl border border-line bg-paper p-4">
        <h2 id="toBlock" className="text-lg font-bold">
          {text("blockTitle")}
        </h2>
        <p className="text-sm text-soft">{text("blockHint")}</p>
        {layout.isError ? (
          <Problem error={layout.error} retry={() => void layout.refetch()} />
        ) : plan ? (
          <SeatPicker
            event={event}
            plan={plan}
            live={live}
            picked={picked}
            onPick={pick}
            onMany={pickMany}
            onClear={() => setPicked(new Set())}
          />
        ) : (
          <Skeleton className="h-[60dvh]" />
        )}
        {seatIds.length > mostAtOnce ? (
          <Notice tone="warn" title={text("blockTooMany", { most: wholeNumber(mostAtOnce, text.locale) })} live />
        ) : undefined}
        <form
          className="flex flex-wrap items-end gap-3"
          onSubmit={(happened) => {
            happened.preventDefault();
            setTold(undefined);
            block.mutate({ key: newKey(), seats: seatIds });
          }}
        >
          <Field
            className="min-w-52 flex-1"
            label={text("reasonLabel")}
            hint={text("blockReasonHint")}
            value={reason}
            required
            maxLength={200}
            onChange={(change) => setReason(change.target.value)}
          />
          <Button
            type="submit"
            look="main"
            className="mb-6"
            disabled={block.isPending || seatIds.length === 0 || seatIds.length > mostAtOnce || reason.trim() === ""}
          >
            {block.isPending ? text("working") : text("blockSeats", { count: seatIds.length })}
          </Button>
        </form>
      </section>
      <section aria-labelledby="blocks" className="grid gap-3">
        <h2 id="blocks" className="text-lg font-bold">
          {text("blocksTitle")}
        </h2>
        {blocks.isError ? (
          <Problem error={blocks.error} retry={() => void blocks.refetch()} />
        ) : !blocks.data ? (
          <Skeleton className="h-24" />
        ) : blocks.data.blocks.length === 0 ? (
          <p className="text-soft">{text("noBlocks")}</p>
        ) : (
          <ul className="grid gap-3">
            {blocks.data.blocks.map((one) => (
              <li key={one.blockId}>
                <BlockCard
                  block={one}
                  timeZone={event.venue.timeZone}
                  busy={unblock.isPending}
                  onUnblock={(seats) => {
                    setTold(undefined);
                    unblock.mutate({ key: newKey(), seats: [...seats] });
                  }}
                />
              </li>
            ))}
          </ul>
        )}
        {blocks.data && blocks.data.byLayout.length > 0 ? (
          <p className="text-sm text-soft">{text("blockedByLayout", { count: blocks.data.byLayout.length })}</p>
        ) : undefined}
      </section>
    </>
  );
}

function BlockCard({
  block,
  timeZone,
  busy,
  onUnblock,
}: {
  block: Block;
  timeZone: string;
  busy: boolean;
  onUnblock: (seats: readonly string[]) => void;
}) {
  const text = useOrganiserText();
  const runs = seatRuns(block.seats);
  return (
    <section aria-label={block.reason} className="grid gap-2 rounded-xl border border-line bg-paper p-4">
      <div className="flex flex-wrap items-baseline justify-between gap-x-4">
        <h3 className="font-bold break-words">{block.reason}</h3>
        <p className="text-sm text-soft">{dateAndTime(block.blockedAt, timeZone, text.locale)}</p>
      </div>
      <ul className="divide-y divide-line">
        {runs.map((run) => {
          const name = runText(text, run);
          return (
            <li key={run.seats[0]} className="flex items-center justify-between gap-3">
              <span>{name}</span>
              <Button
                look="quiet"
                className="shrink-0"
                aria-label={text("unblockThese", { seats: name })}
                disabled={busy}
                onClick={() => onUnblock(run.seats)}
              >
                {text("unblock")}
              </Button>
            </li>
          );
        })}
      </ul>
      {runs.length > 1 ? (
        <Button className="justify-self-start" disabled={busy} onClick={() => onUnblock(block.seats)}>
          {text("unblockAll")}
        </Button>
      ) : undefined}
    </section>
  );
}
