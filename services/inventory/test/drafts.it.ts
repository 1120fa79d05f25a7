// Drafts edited: whole or not at all, by one editor at a time, never after they are published, and with their channels.
import type { CreateEventRequest, Event, ReplaceDraftRequest } from "@onsale/proto/inventory/v1/catalog";
import type { PutChannelRequest } from "@onsale/proto/inventory/v1/channels";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import {
  expectRefusal,
  hall,
  type Inventory,
  insist,
  newEvent,
  seatsWish,
  standing,
  startForTest,
} from "./inventory.js";

let inventory: Inventory;
/** A second process on the same stores. */
let second: Inventory;
beforeAll(async () => {
  inventory = await startForTest(inject("backing"));
  second = await startForTest(inject("backing"), {}, inventory.database);
});
afterAll(async () => {
  await inventory?.stop();
  await second?.stop();
});

const hour = 60 * 60 * 1000;
const mine = "acc_organiser";

async function draft(request = newEvent({}, [hall(2, 10), standing(20)])): Promise<string> {
  const { event } = await inventory.catalog.createEvent({ ...request, layoutSource: '["first"]' });
  return event?.eventId ?? "";
}
const own = (eventId: string, organiserId = mine) => inventory.catalog.getOwnEvent({ eventId, organiserId });
const publish = (eventId: string, revision?: string, at = inventory) =>
  at.catalog.publishEvent({ eventId, organiserId: mine, ...(revision === undefined ? {} : { revision }) });

interface Edit {
  readonly event?: Partial<Event>;
  readonly sections?: CreateEventRequest["sections"];
  readonly revision?: string;
  readonly organiserId?: string;
  readonly layoutSource?: string;
}
function editOf(eventId: string, edit: Edit = {}): ReplaceDraftRequest {
  const { event, sections } = newEvent({ name: "Edited", ...edit.event, eventId }, edit.sections ?? [hall(3, 12)]);
  const { revision = "0", organiserId = mine, layoutSource = '["second"]' } = edit;
  return { event, sections, layoutSource, organiserId, revision };
}
const replace = (eventId: string, edit: Edit = {}, at = inventory) => at.catalog.replaceDraft(editOf(eventId, edit));

/** How long one takes here and now, so that what is to come in its middle does. */
async function timeOfEdit(): Promise<number> {
  const eventId = await draft();
  const begun = performance.now();
  await replace(eventId);
  return performance.now() - begun;
}
const after = <T>(ms: number, act: () => Promise<T>): Promise<T> =>
  new Promise((done) => setTimeout(done, ms)).then(act);

describe("a draft", () => {
  test("is replaced whole: what, when, for how much, in which hall; and then published so", async () => {
    const eventId = await draft();
    const before = await own(eventId);
    expect(before.revision).toBe("0");
    const wish = editOf(eventId, {
      event: {
        organiserId: "acc_other",
        name: "The Day Ferry",
        description: "",
        venue: { name: "Elbphilharmonie", city: "Altona", country: "DE", timeZone: "Europe/Paris" },
        startsAtMs: Date.now() + 50 * 24 * hour,
        onSaleAtMs: Date.now() - 2 * hour,
        offSaleAtMs: Date.now() + 40 * 24 * hour,
        currency: "CHF",
        seatsPerPerson: 3,
        tiers: [{ tierId: "best", name: "Best", amount: 9_900 }],
        refundableUntilMs: Date.now() + 30 * 24 * hour,
      },
      sections: [hall(1, 4, { tierId: "best" })],
    });
    const { event, revision } = await inventory.catalog.replaceDraft(wish);
    expect(revision).toBe("1");
    const { createdAtMs = 0, layoutVersion = "" } = before.event ?? {};
    expect(event).toEqual({
      ...wish.event,
      organiserId: mine,
      status: "EVENT_STATUS_DRAFT",
      capacity: 4,
      layoutVersion: event?.layoutVersion,
      createdAtMs,
    });
    expect(event?.layoutVersion).not.toBe(layoutVersion);
    const after = await own(eventId);
    expect(after).toMatchObject({ event, revision: "1", layoutSource: '["second"]' });
    expect(after.sections).toMatchObject([{ sectionId: "A", rows: [{ label: "A", seatCount: 4 }] }]);

    const found = async (query: string) =>
      (await inventory.catalog.listEvents({ ...listOf, query })).events.map((one) => one.eventId);
    expect(await found("day altona")).toEqual([eventId]);
    expect(await found("night hamburg")).not.toContain(eventId);

    const published = await publish(eventId);
    expect(published.event).toEqual({ ...event, status: "EVENT_STATUS_PUBLISHED" });
    expect((await own(eventId)).revision).toBeUndefined();
    const { seats } = await inventory.seats.hold(seatsWish(eventId, ["A-A-4"]));
    expect(seats).toMatchObject([{ seatId: "A-A-4", amount: 9_900 }]);
    await expectRefusal(inventory.seats.hold(seatsWish(eventId, ["A-B-1"])), "SEAT_UNKNOWN");
    const { sections } = await inventory.seats.getAvailability({ eventId });
    expect(sections).toEqual([{ sectionId: "A", free: 3, held: 1, sold: 0, blocked: 0 }]);
  });

  const listOf = {
    organiserId: mine,
    status: "EVENT_STATUS_DRAFT" as Event["status"],
    query: "",
    cursor: "",
    limit: 500,
  };

  test("is edited by an operator for its organiser, and by nobody else", async () => {
    const eventId = await draft();
    await expectRefusal(replace(eventId, { organiserId: "acc_other" }), "EVENT_NOT_FOUND");
    for (const id of ["evt_none", "evt none", ""])
      await expectRefusal(replace(id, { organiserId: "" }), "EVENT_NOT_FOUND");
    const { event } = await replace(eventId, { organiserId: "", event: { organiserId: "acc_operator" } });
    expect(event).toMatchObject({ organiserId: mine, name: "Edited" });
    await expectRefusal(inventory.catalog.replaceDraft({ ...editOf(eventId), event: undefined }), "REQUEST_INVALID");
  });

  test("is refused with all that is wrong, as a new one is, and stays as it was", async () => {
    const eventId = await draft();
    const before = await own(eventId);
    const wrong = { name: " ", currency: "EURO" };
    const refused = await expectRefusal(replace(eventId, { event: wrong }), "REQUEST_INVALID");
    const asNew = await expectRefusal(inventory.catalog.createEvent(newEvent(wrong, [hall(3, 12)])), "REQUEST_INVALID");
    expect(refused.details).toEqual(asNew.details);
    expect(refused.message).toBe(asNew.message);
    const layout = await expectRefusal(replace(eventId, { sections: [hall(1, 5), hall(1, 5)] }), "LAYOUT_INVALID");
    expect(layout.details["problems"]).toEqual([{ at: "sections[1].section_id", problem: "is used twice" }]);
    const past = { startsAtMs: Date.now() - hour, onSaleAtMs: Date.now() - 2 * hour };
    await expectRefusal(replace(eventId, { event: past }), "REQUEST_INVALID");
    expect(await own(eventId)).toEqual(before);
  });

  test("made again by a retry of its creation is as it is by now", async () => {
    const request = newEvent();
    const { eventId = "" } = request.event ?? {};
    await inventory.catalog.createEvent(request);
    const { event } = await replace(eventId);
    expect((await inventory.catalog.createEvent(request)).event).toEqual(event);
  });

  test("from before there were revisions can be edited, once by each revision", async () => {
    const eventId = await draft();
    const events = inventory.mongodb.db(inventory.database).collection<{ _id: string }>("events");
    await events.updateOne({ _id: eventId }, { $unset: { revision: "" } });
    expect((await own(eventId)).revision).toBe("0");
    expect((await replace(eventId)).revision).toBe("1");
    await expectRefusal(replace(eventId, { event: { name: "Another" } }), "DRAFT_CHANGED");
  });
});

describe("two editors", () => {
  test("do not overwrite each other: the later one is told; the same again is no other edit", async () => {
    const eventId = await draft();
    expect((await replace(eventId, { event: { name: "One" } })).revision).toBe("1");
    const refused = await expectRefusal(replace(eventId, { event: { name: "Two" } }), "DRAFT_CHANGED");
    expect(refused.message).toContain("Read it again");
    for (const revision of ["", "7", "-1", "1.0", "rubbish"])
      await expectRefusal(replace(eventId, { event: { name: "Two" }, revision }), "DRAFT_CHANGED");
    expect((await own(eventId)).event?.name).toBe("One");

    const wish = editOf(eventId, { event: { name: "Two" }, revision: "1" });
    const first = await inventory.catalog.replaceDraft(wish);
    expect(await inventory.catalog.replaceDraft(wish)).toEqual(first);
    expect(first.revision).toBe("2");
  });

  test("of which many save at the same moment: one does", async () => {
    const eventId = await draft();
    const names = Array.from({ length: 8 }, (_, at) => `Editor ${at}`);
    const outcomes = await Promise.allSettled(
      names.map((name, at) =>
        insist(() =>
          replace(eventId, { event: { name }, sections: [hall(1, 2 + at)] }, at % 2 === 0 ? inventory : second),
        ),
      ),
    );
    const won = outcomes.flatMap((one, at) => (one.status === "fulfilled" ? [at] : []));
    expect(won).toHaveLength(1);
    for (const one of outcomes)
      if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "DRAFT_CHANGED" });
    const [winner = -1] = won;
    expect(await own(eventId)).toMatchObject({
      revision: "1",
      event: { name: `Editor ${winner}`, capacity: 2 + winner },
      sections: [{ capacity: 2 + winner }],
    });
  });
});

describe("a published event", () => {
  test("can't be edited, nor a cancelled one; the refusal says what can be done", async () => {
    const eventId = await draft();
    await publish(eventId);
    const refused = await expectRefusal(replace(eventId), "EVENT_NOT_DRAFT");
    expect(refused.message).toContain("copy it into a new event");
    expect(refused.details).toEqual({ eventStatus: "published" });
    await inventory.catalog.cancelEvent({ eventId, organiserId: mine, reason: "" });
    const late = await expectRefusal(replace(eventId), "EVENT_NOT_DRAFT");
    expect(late.details).toEqual({ eventStatus: "cancelled" });
    expect((await own(eventId)).event?.name).toBe("The Night Ferry");
  });

  test("is published as it was read, if that is asked for", async () => {
    const eventId = await draft();
    await replace(eventId);
    await expectRefusal(publish(eventId, "0"), "DRAFT_CHANGED");
    await expectRefusal(publish(eventId, "rubbish"), "DRAFT_CHANGED");
    expect((await own(eventId)).event?.status).toBe("EVENT_STATUS_DRAFT");
    expect((await publish(eventId, "1")).event?.name).toBe("Edited");
    expect((await publish(eventId, "1")).event?.name).toBe("Edited");
  });

  test("is the draft before an edit, or after it, when both come at once: never a mixture, never changed later", async () => {
    let edited = 0;
    const editMs = await timeOfEdit();
    for (let round = 0; round < 12; round++) {
      const eventId = await draft(newEvent({}, [hall(2, 10)]));
      const [saved, published] = await Promise.allSettled([
        insist(() => replace(eventId)),
        after((editMs * (round + 1)) / 10, () => insist(() => publish(eventId, undefined, second))),
      ]);
      if (published.status === "rejected") throw published.reason;
      const isEdited = saved.status === "fulfilled";
      if (isEdited) edited += 1;
      else expect(saved.reason).toMatchObject({ code: "EVENT_NOT_DRAFT" });
      const wanted = isEdited ? { name: "Edited", capacity: 36 } : { name: "The Night Ferry", capacity: 20 };
      expect(published.value.event).toMatchObject({ ...wanted, status: "EVENT_STATUS_PUBLISHED" });
      const shown = await own(eventId);
      expect(shown.event).toEqual(published.value.event);
      expect(shown.layoutSource).toBe(isEdited ? '["second"]' : '["first"]');
      expect(shown.sections).toMatchObject([{ capacity: wanted.capacity }]);
      // What is sold is that hall, too.
      const { sections } = await insist(() => inventory.seats.getAvailability({ eventId }));
      expect(sections).toMatchObject([{ free: wanted.capacity }]);
    }
    process.stdout.write(`${edited} of 12 edits came before the publication\n`);
  }, 60_000);
});

describe("an edit that breaks in the middle", () => {
  test("leaves the draft and its channels as they were, and the next one is whole", async () => {
    const eventId = await draft();
    await putChannel(eventId);
    const before = await own(eventId);
    const db = inventory.mongodb.db(inventory.database);
    // The event's document can be written, that of its channels can't.
    await db.command({ collMod: "allotments", validator: { _id: { $ne: eventId } } });
    await expectRefusal(replace(eventId, { sections: [hall(2, 10), standing(30)] }), "INTERNAL");
    await db.command({ collMod: "allotments", validator: {} });
    expect(await own(eventId)).toEqual(before);
    expect(await seatsOfChannels(eventId)).toEqual({ fans: ["A-A-1", "A-A-2"] });

    const { revision } = await replace(eventId, { sections: [hall(2, 10), standing(30)] });
    expect(revision).toBe("1");
    await publish(eventId);
    const { sections } = await inventory.seats.getAvailability({ eventId });
    expect(sections).toMatchObject([{ free: 18, blocked: 2 }, { free: 30 }]);
  });

  test("leaves nothing that is ever read: words and hall of a half-done edit are not the event's", async () => {
    const eventId = await draft();
    const before = await own(eventId);
    const db = inventory.mongodb.db(inventory.database);
    await db.collection<{ _id: string }>("layout_sources").insertOne({
      _id: `${eventId}:half-done`,
      ...{ source: '["half"]' },
    });
    expect(await own(eventId)).toEqual(before);
    await publish(eventId);
    expect((await own(eventId)).layoutSource).toBe('["first"]');
  });
});

const putChannel = (eventId: string, channel: Partial<PutChannelRequest> = {}, at = inventory) =>
  at.channels.putChannel({
    eventId,
    channelId: "fans",
    organiserId: mine,
    name: "Fan club",
    codes: ["ANCHOR-1"],
    opensAtMs: Date.now() - hour,
    closesAtMs: Date.now() + hour,
    seatsPerPerson: 0,
    seatsPerCode: 0,
    seatIds: ["A-A-1", "A-A-2"],
    places: [],
    ...channel,
  });
async function seatsOfChannels(eventId: string): Promise<Record<string, string[]>> {
  const { channels } = await inventory.channels.listChannels({ eventId, organiserId: mine });
  return Object.fromEntries(channels.map(({ channelId, seatIds }) => [channelId, seatIds]));
}

describe("a draft's channels", () => {
  test("keep their seats by their names, wherever these are in the new hall, and their codes open them", async () => {
    const eventId = await draft();
    await putChannel(eventId, { seatIds: ["A-B-1", "A-B-2"], places: [{ sectionId: "FLOOR", quantity: 5 }] });
    // A section before, a row before, a gap in the row, fewer places.
    const wider = hall(2, 10, {
      rows: ["AA", "B"].map((label) => ({
        ...{ label, firstSeat: 1, seatCount: 10, gaps: [4], blocked: [], accessible: [], companion: [] },
      })),
    });
    const sections = [hall(1, 3, { sectionId: "NEW" }), wider, standing(6)];
    await replace(eventId, { sections });
    const { channels } = await inventory.channels.listChannels({ eventId, organiserId: mine });
    expect(channels).toMatchObject([
      { seatIds: ["A-B-1", "A-B-2"], places: [{ sectionId: "FLOOR", quantity: 5 }], codeCount: 1 },
    ]);
    await publish(eventId);
    const opened = await insist(() => inventory.channels.openWithCode({ eventId, code: "anchor-1" }));
    expect(opened).toMatchObject({ free: ["A-B-1", "A-B-2"], places: [{ sectionId: "FLOOR", free: 5 }] });
    const shown = await inventory.seats.getAvailability({ eventId });
    expect(shown.sections).toMatchObject([
      { sectionId: "NEW", free: 3, blocked: 0 },
      { sectionId: "A", free: 16, blocked: 2 },
      { sectionId: "FLOOR", free: 1, blocked: 5 },
    ]);
  });

  test("stand in the way of a hall without their seats, and of times and limits that they do not fit, by name", async () => {
    const eventId = await draft();
    await putChannel(eventId, { seatIds: ["A-A-9", "A-A-10"], seatsPerPerson: 6 });
    await putChannel(eventId, {
      channelId: "press",
      name: "Press",
      codes: ["INK-1"],
      seatIds: [],
      places: [{ sectionId: "FLOOR", quantity: 10 }],
    });
    const before = await own(eventId);
    const refused = await expectRefusal(
      replace(eventId, {
        event: { seatsPerPerson: 4, offSaleAtMs: Date.now() + 60_000 },
        sections: [hall(2, 9), standing(8)],
      }),
      "CHANNEL_IN_THE_WAY",
    );
    expect(refused.details["channels"]).toEqual([
      { channelId: "fans", name: "Fan club", problem: "closes after the end of the event's sale" },
      { channelId: "fans", name: "Fan club", problem: "allows 6 seats a person, but the event 4" },
      {
        channelId: "fans",
        name: "Fan club",
        problem: "has seats that are not in the new hall",
        seats: ["A-A-10"],
      },
      { channelId: "press", name: "Press", problem: "closes after the end of the event's sale" },
      {
        channelId: "press",
        name: "Press",
        problem: "has 10 places in section FLOOR, where 8 are left for it in the new hall",
      },
    ]);
    expect(refused.message).toContain("“Fan club” has seats that are not in the new hall (A-A-10)");
    expect(await own(eventId)).toEqual(before);
    await inventory.channels.deleteChannel({ eventId, organiserId: mine, channelId: "press" });
    await putChannel(eventId, { seatIds: ["A-A-9"] });
    expect((await replace(eventId, { sections: [hall(2, 9), standing(8)] })).revision).toBe("1");
  });

  test("set aside while the draft is edited have seats of the hall that is there", async () => {
    let set = 0;
    const editMs = await timeOfEdit();
    for (let round = 0; round < 8; round++) {
      const eventId = await draft(newEvent({}, [hall(1, 10)]));
      const [saved, channel] = await Promise.allSettled([
        insist(() => replace(eventId, { sections: [hall(1, 5, { sectionId: round % 2 === 0 ? "A" : "B" })] })),
        after((editMs * round) / 7, () => insist(() => putChannel(eventId, { seatIds: ["A-A-9"] }, second))),
      ]);
      if (channel.status === "fulfilled") {
        set += 1;
        expect(saved).toMatchObject({ status: "rejected", reason: { code: "CHANNEL_IN_THE_WAY" } });
        expect(await seatsOfChannels(eventId)).toEqual({ fans: ["A-A-9"] });
      } else {
        expect(channel.reason).toMatchObject({ code: "SEAT_UNKNOWN" });
        expect(saved.status).toBe("fulfilled");
        expect(await seatsOfChannels(eventId)).toEqual({});
      }
      await publish(eventId);
      const { sections } = await insist(() => inventory.seats.getAvailability({ eventId }));
      expect(sections).toMatchObject([
        channel.status === "fulfilled" ? { free: 9, blocked: 1 } : { free: 5, blocked: 0 },
      ]);
    }
    process.stdout.write(`${set} of 8 channels came before the edit\n`);
  }, 60_000);
});
