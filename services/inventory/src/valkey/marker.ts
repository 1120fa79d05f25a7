// The marker beside an event's seats: which generation of them Valkey has, and on which life of the server it was made.

/** One connection to one life of the server that has an event. After a reconnect it is another, and what was known is not. */
export interface Life {
  /** Changes whenever the server starts, another takes over, or another has the event. */
  readonly serverLife: string;
  readonly connection: number;
}

/** Which generation of an event's seats Valkey has. */
export interface Marker {
  readonly epoch: number;
  readonly open: boolean;
  readonly serverLife: string;
  /** The last epoch before this one that was open; 0: none. */
  readonly before: number;
}

/** A generation to read from and write to, on the connection where it was found trustworthy. */
export interface Generation {
  readonly eventId: string;
  readonly epoch: number;
  readonly marker: string;
  readonly connection: number;
}

export function writeMarker({ epoch, open, serverLife, before }: Marker): string {
  return `${epoch}|${open ? "open" : "closed"}|${serverLife}|${before}`;
}

export function readMarker(text: string | null): Marker | undefined {
  const [, epoch, state, serverLife = "", before] = /^(\d+)\|(open|closed)\|([0-9a-f]+)\|(\d+)$/.exec(text ?? "") ?? [];
  return epoch === undefined
    ? undefined
    : { epoch: Number(epoch), open: state === "open", serverLife, before: Number(before) };
}
