// What the page has to say: a problem, a warning, good news, or that there is nothing. And grey shapes while it loads.
import type { ReactNode } from "react";
import { ApiError } from "../api/client.js";
import { isOffline, refusalText } from "../refusal-text.js";
import { useText } from "../text.js";
import { Button, ButtonLink } from "./button.js";

const tones = { bad: "border-accent", warn: "border-warn", good: "border-good", plain: "border-line" } as const;

export function Notice({
  tone = "plain",
  title,
  children,
  live = false,
}: {
  tone?: keyof typeof tones;
  title?: string;
  children?: ReactNode;
  live?: boolean;
}) {
  return (
    <div
      role={live ? (tone === "bad" ? "alert" : "status") : undefined}
      className={`rounded-lg border-l-4 bg-paper p-4 shadow-sm ${tones[tone]}`}
    >
      {title ? <p className="font-semibold">{title}</p> : undefined}
      {children ? <div className={title ? "mt-1 text-soft" : ""}>{children}</div> : undefined}
    </div>
  );
}

/** What an error means for the person who reads it. */
export function useErrorText(): (error: unknown) => { title: string; text: string } {
  const text = useText();
  return (error) => {
    if (!isOffline(error)) return { title: text("errorTitle"), text: refusalText(text, error as ApiError) };
    return { title: text("offlineTitle"), text: text("offlineText") };
  };
}

export function Problem({ error, retry }: { error: unknown; retry?: (() => void) | undefined }) {
  const text = useText();
  const told = useErrorText()(error);
  return (
    <Notice tone="bad" title={told.title} live>
      <p>{told.text}</p>
      {error instanceof ApiError && error.status === 404 ? (
        // It will not be there the next time either.
        <ButtonLink to="/" className="mt-3">
          {text("toConcerts")}
        </ButtonLink>
      ) : retry ? (
        <Button className="mt-3" onClick={retry}>
          {text("tryAgain")}
        </Button>
      ) : undefined}
    </Notice>
  );
}

export function Empty({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="rounded-xl border border-dashed border-line px-6 py-12 text-center">
      <p className="text-lg font-semibold">{title}</p>
      <div className="mx-auto mt-2 max-w-md text-soft">{children}</div>
    </div>
  );
}

/** Of the size that the content will have, so that nothing jumps. */
export function Skeleton({ className }: { className: string }) {
  return <div aria-hidden className={`animate-pulse rounded-lg bg-wash ${className}`} />;
}
