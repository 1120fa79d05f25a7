import { describe, expect, it } from "vitest";
import { type ChannelForm, channelIdFor, emptyChannel, newCodes, readChannel } from "./channel-form.js";

const form = (changes: Partial<ChannelForm> = {}): ChannelForm => ({
  ...emptyChannel,
  name: " Fan club ",
  codes: "first code\n\n second-code \n",
  opensAt: "2027-05-01T10:00",
  closesAt: "2027-05-03T10:00",
  ...changes,
});
const read = (changes: Partial<ChannelForm> = {}, seats = ["A-A-1"]) =>
  readChannel(form(changes), seats, "Europe/Berlin");

describe("a presale channel that was typed", () => {
  it("becomes what the API takes", () => {
    expect(read({ seatsPerPerson: "2", seatsPerCode: "10", places: { GA: "50", FLOOR: "" } })).toEqual({
      faults: [],
      channel: {
        name: "Fan club",
        codes: ["first code", "second-code"],
        opensAt: "2027-05-01T08:00:00.000Z",
        closesAt: "2027-05-03T08:00:00.000Z",
        seatsPerPerson: 2,
        seatsPerCode: 10,
        seats: ["A-A-1"],
        generalAdmission: [{ section: "GA", quantity: 50 }],
      },
    });
  });

  it.each<[Partial<ChannelForm>, { at: string; key: string; values?: unknown }]>([
    [{ name: "" }, { at: "/name", key: "faultMissing" }],
    [{ codes: " \n" }, { at: "/codes", key: "faultMissing" }],
    [{ codes: "good-code\nabc" }, { at: "/codes", key: "faultCode", values: { line: 2 } }],
    [{ codes: "good-code\n\nGOOD-code " }, { at: "/codes", key: "faultCodeTwice", values: { line: 3, before: 1 } }],
    [{ opensAt: "" }, { at: "/opensAt", key: "faultMissing" }],
    [{ closesAt: "2027-05-01T10:00" }, { at: "/closesAt", key: "faultAfterOpening" }],
    [{ seatsPerPerson: "none" }, { at: "/seatsPerPerson", key: "faultWhole", values: { least: 1, most: 100 } }],
    [{ places: { GA: "0" } }, { at: "/generalAdmission/GA", key: "faultWhole", values: { least: 1, most: 60_000 } }],
  ])("%j is refused at its field", (changes, fault) => {
    expect(read(changes)).toEqual({ channel: undefined, faults: [fault] });
  });

  it("needs seats or places", () => {
    expect(read({}, []).faults).toEqual([{ at: "/seats", key: "faultNoSeats" }]);
    expect(read({ places: { GA: "1" } }, []).faults).toEqual([]);
  });

  it("has an id from its name that no other has", () => {
    expect(channelIdFor("Fan-Club Köln!", [])).toBe("fan-club-ko-ln");
    expect(channelIdFor("Fans", ["fans", "fans-2"])).toBe("fans-3");
    expect(channelIdFor("***", [])).toBe("channel");
  });

  it("can have codes made for it, all different and fit to be typed", () => {
    const codes = newCodes(200);
    expect(new Set(codes).size).toBe(200);
    for (const code of codes) expect(code).toMatch(/^([2-9A-HJKMNP-TV-Z]{4}-){2}[2-9A-HJKMNP-TV-Z]{4}$/);
  });
});
