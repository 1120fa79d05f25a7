// What a hold is asked with, and what one is.
import { derivedHex64 } from "@onsale/kit/ids";
import type { BestChoice } from "../best-available/choice.js";
import type { EventRecord } from "../events/events.js";

export type Selection =
  /** `accessible`: accessible and companions' seats may be among them. */
  | { readonly seatIds: readonly string[]; readonly accessible?: boolean | undefined }
  /** Places of general admission, or seats side by side in this section. */
  | { readonly sectionId: string; readonly quantity: number }
  | { readonly best: BestWish };

export interface BestWish {
  readonly quantity: number;
  /** Empty: any section with rows. */
  readonly sectionIds: readonly string[];
  /** Of a seat, in minor units, both ends included. */
  readonly minAmount?: number | undefined;
  readonly maxAmount?: number | undefined;
  /** So many of the quantity are accessible seats, and so many are for who comes with them. */
  readonly accessible: number;
  readonly companions: number;
  readonly split: boolean;
}

/** A wish for seats that the service chooses, once its sections are known. */
export type Party = Pick<BestChoice, "sections" | "quantity" | "accessible" | "companions" | "split">;

export interface HoldWish {
  readonly checkoutId: string;
  readonly userId: string;
  readonly eventId: string;
  readonly selection: Selection;
  /** Opens a channel's seats. A secret. */
  readonly accessCode?: string | undefined;
  /** What the buyer has seen. */
  readonly layoutVersion?: string | undefined;
  /** Epoch milliseconds by which whoever asks stops waiting. */
  readonly deadline?: number | undefined;
}

export interface Hold {
  readonly holdId: string;
  readonly epoch: number;
  /** By Valkey's clock. */
  readonly deadlineMs: number;
  readonly event: EventRecord;
  readonly seats: readonly HeldSeat[];
  readonly amount: number;
}

export interface HeldSeat {
  readonly seatId: string;
  readonly sectionId: string;
  /** Empty in general admission. */
  readonly row: string;
  readonly number: string;
  readonly tierId: string;
  readonly amount: number;
}

export interface ReleaseWish {
  readonly eventId: string;
  readonly checkoutId: string;
  readonly holdId: string;
  readonly userId: string;
  /** Empty: whichever the hold has. */
  readonly seatIds: readonly string[];
}

export const holdIdOf = (checkoutId: string): string => derivedHex64("hold", checkoutId);
