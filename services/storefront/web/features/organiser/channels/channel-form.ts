// A presale channel as an organiser types it, what is wrong with it, and what the API takes. Pure, but for making codes.
import type { Schemas } from "../../../api/client.js";
import { momentOf } from "../events/zoned-time.js";
import { type Fault, faultKeys, readWhole } from "../hall/layout-form.js";

export interface ChannelForm {
  readonly name: string;
  /** One a line. */
  readonly codes: string;
  readonly opensAt: string;
  readonly closesAt: string;
  readonly seatsPerPerson: string;
  readonly seatsPerCode: string;
  /** By section of general admission: how many places. */
  readonly places: Readonly<Record<string, string>>;
}

export const emptyChannel: ChannelForm = {
  name: "",
  codes: "",
  opensAt: "",
  closesAt: "",
  seatsPerPerson: "",
  seatsPerCode: "",
  places: {},
};

export const channelFaults = {
  code: "faultCode",
  codeTwice: "faultCodeTwice",
  tooManyCodes: "faultTooManyCodes",
  time: "faultTime",
  afterOpening: "faultAfterOpening",
  noSeats: "faultNoSeats",
} as const;

const mostCodes = 10_000;
const mostPlaces = 60_000;

/** As the inventory compares them: without case and surrounding spaces. */
const plain = (code: string): string => code.trim().toLowerCase();

export interface ReadChannel {
  /** Undefined while there are faults. */
  readonly channel: Schemas["NewChannel"] | undefined;
  readonly faults: readonly Fault[];
}

export function readChannel(form: ChannelForm, seats: readonly string[], timeZone: string): ReadChannel {
  const faults: Fault[] = [];
  const say = (at: string, key: string, values?: Fault["values"]) =>
    faults.push({ at, key, ...(values ? { values } : {}) });
  const name = form.name.trim();
  if (name === "") say("/name", faultKeys.missing);

  const lines = form.codes.split("\n").map((line) => line.trim());
  const codes = lines.filter(Boolean);
  const firstLine = new Map<string, number>();
  if (codes.length === 0) say("/codes", faultKeys.missing);
  if (codes.length > mostCodes) say("/codes", channelFaults.tooManyCodes, { most: mostCodes });
  for (const [at, code] of lines.entries()) {
    if (code === "") continue;
    const before = firstLine.get(plain(code));
    if (before !== undefined) say("/codes", channelFaults.codeTwice, { line: at + 1, before });
    else firstLine.set(plain(code), at + 1);
    if (code.length < 4 || code.length > 64) say("/codes", channelFaults.code, { line: at + 1 });
  }

  const time = (at: string, wall: string): number | undefined => {
    const ms = momentOf(wall, timeZone);
    if (ms === undefined) say(at, wall === "" ? faultKeys.missing : channelFaults.time);
    return ms;
  };
  const opensAt = time("/opensAt", form.opensAt);
  const closesAt = time("/closesAt", form.closesAt);
  if (opensAt !== undefined && closesAt !== undefined && closesAt <= opensAt)
    say("/closesAt", channelFaults.afterOpening);

  const count = (at: string, text: string, most: number): number | undefined => {
    if (text.trim() === "") return undefined;
    const value = readWhole(text, 1, most);
    if (value === undefined) say(at, faultKeys.whole, { least: 1, most });
    return value;
  };
  const seatsPerPerson = count("/seatsPerPerson", form.seatsPerPerson, 100);
  const seatsPerCode = count("/seatsPerCode", form.seatsPerCode, mostPlaces);
  const generalAdmission = Object.entries(form.places).flatMap(([section, text]) => {
    const quantity = count(`/generalAdmission/${section}`, text, mostPlaces);
    return quantity === undefined ? [] : [{ section, quantity }];
  });
  if (seats.length + generalAdmission.length === 0) say("/seats", channelFaults.noSeats);

  if (faults.length > 0 || opensAt === undefined || closesAt === undefined) return { channel: undefined, faults };
  return {
    faults,
    channel: {
      name,
      codes,
      opensAt: new Date(opensAt).toISOString(),
      closesAt: new Date(closesAt).toISOString(),
      ...(seatsPerPerson === undefined ? {} : { seatsPerPerson }),
      ...(seatsPerCode === undefined ? {} : { seatsPerCode }),
      ...(seats.length > 0 ? { seats: [...seats] } : {}),
      ...(generalAdmission.length > 0 ? { generalAdmission } : {}),
    },
  };
}

/** "Fan club" as "fan-club", or "fan-club-2" when there is one. */
export function channelIdFor(name: string, taken: readonly string[]): string {
  const plainName = name
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 48);
  const base = plainName || "channel";
  for (let number = 1; ; number++) {
    const id = number === 1 ? base : `${base}-${number}`;
    if (!taken.includes(id)) return id;
  }
}

/** Without letters and digits that look alike: they are read aloud and typed from paper. 30 signs, so 12 of them are 58 bits. */
const signs = "23456789ABCDEFGHJKMNPQRSTVWXYZ";
/** Bytes from here on would make the first signs likelier. */
const fair = 256 - (256 % signs.length);

function randomSign(): string {
  for (;;) {
    const [byte = 0] = crypto.getRandomValues(new Uint8Array(1));
    if (byte < fair) return signs.charAt(byte % signs.length);
  }
}

/** As "K7QM-2XBD-9TRA". */
export function newCodes(count: number): string[] {
  const group = () => Array.from({ length: 4 }, randomSign).join("");
  return Array.from({ length: count }, () => [group(), group(), group()].join("-"));
}
