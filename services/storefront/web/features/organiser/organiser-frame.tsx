// What the organiser's pages have in common: for whom they are, the way between them, questions before what can't be undone.
import { type ReactNode, useEffect, useRef } from "react";
import { Link, useLocation } from "wouter";
import { useSession } from "../../session.js";
import { Button, ButtonLink } from "../../ui/button.js";
import { Empty, Skeleton } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";
import { useLoggedIn } from "../account/log-in-page.js";
import type { OwnEvent } from "./organiser-api.js";
import { type OrganiserKey, useOrganiserText } from "./organiser-text.js";

/** The API refuses whoever has not the role; here it is only said in time, and what to do. */
export function ForOrganisers({ children }: { children: ReactNode }) {
  const text = useOrganiserText();
  useLoggedIn();
  const session = useSession();
  if (session.kind !== "in") return <Skeleton className="h-64" />;
  if (session.account.roles.some((role) => role === "organiser" || role === "operator")) return children;
  return (
    <div className="grid gap-6">
      <Title page={text("organiserTitle")}>{text("organiserTitle")}</Title>
      <Empty title={text("notOrganiserTitle")}>
        <p>{text("notOrganiserText")}</p>
        <ButtonLink to="/" className="mt-4">
          {text("toConcerts")}
        </ButtonLink>
      </Empty>
    </div>
  );
}

interface Place {
  readonly to: string;
  readonly label: string;
}

function Places({ label, places }: { label: string; places: readonly Place[] }) {
  const [here] = useLocation();
  return (
    <nav aria-label={label} className="-mx-4 overflow-x-auto px-4">
      <ul className="flex min-w-max gap-1 border-b border-line">
        {places.map(({ to, label: name }) => (
          <li key={to}>
            <Link
              href={to}
              aria-current={here === to ? "page" : undefined}
              className={`inline-flex min-h-11 items-center border-b-2 px-2 font-semibold max-sm:text-sm sm:px-3 no-underline hover:text-accent ${here === to ? "border-accent text-accent" : "border-transparent"}`}
            >
              {name}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  );
}

export function OrganiserNav() {
  const text = useOrganiserText();
  return (
    <Places
      label={text("organiserTitle")}
      places={[
        { to: "/organiser", label: text("eventsTab") },
        { to: "/organiser/orders", label: text("ordersTab") },
      ]}
    />
  );
}

export function EventNav({ event }: { event: Pick<OwnEvent, "eventId" | "name"> }) {
  const text = useOrganiserText();
  const base = `/organiser/events/${event.eventId}`;
  return (
    <Places
      label={event.name}
      places={[
        { to: base, label: text("salesTab") },
        { to: `${base}/channels`, label: text("channelsTab") },
        { to: `${base}/blocks`, label: text("blocksTab") },
      ]}
    />
  );
}

const statusKeys = { draft: "statusDraft", published: "statusPublished", cancelled: "statusOff" } as const;
const statusLooks = {
  draft: "border-warn text-warn",
  published: "border-good text-good",
  cancelled: "border-accent text-accent",
} as const;

export function StatusMark({ status }: { status: OwnEvent["status"] }) {
  const text = useOrganiserText();
  return (
    <span
      className={`rounded-full border px-2.5 py-0.5 text-sm font-semibold whitespace-nowrap ${statusLooks[status]}`}
    >
      {text(statusKeys[status] satisfies OrganiserKey)}
    </span>
  );
}

/** Asks before something that can't be undone. It takes the focus; Escape is no. */
export function Confirm({
  question,
  children,
  yes,
  busy,
  onYes,
  onNo,
}: {
  question: string;
  children?: ReactNode;
  yes: string;
  busy: boolean;
  onYes: () => void;
  onNo: () => void;
}) {
  const text = useOrganiserText();
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const around = box.current?.parentElement;
    box.current?.focus();
    return () => {
      // The button that asked is there again: the keyboard goes on from it, not from the top of the page.
      setTimeout(() => {
        if (document.activeElement === document.body) around?.querySelector("button")?.focus();
      });
    };
  }, []);
  return (
    <div
      ref={box}
      role="alertdialog"
      aria-label={question}
      tabIndex={-1}
      className="grid gap-3 rounded-lg border-2 border-accent bg-paper p-4"
      onKeyDown={(pressed) => {
        if (pressed.key === "Escape" && !busy) onNo();
      }}
    >
      <p className="font-semibold">{question}</p>
      {children}
      <div className="flex flex-wrap gap-2">
        <Button look="main" disabled={busy} onClick={onYes}>
          {busy ? text("working") : yes}
        </Button>
        <Button disabled={busy} onClick={onNo}>
          {text("confirmNo")}
        </Button>
      </div>
    </div>
  );
}
