// Buttons and links that look like them; at least 44 px high, for thumbs.
import type { ButtonHTMLAttributes, ReactNode } from "react";
import { Link } from "wouter";

const shapes = "inline-flex min-h-11 items-center justify-center gap-2 rounded-lg py-2 font-semibold no-underline";
const looks = {
  main: "border border-transparent px-4 bg-accent text-on-accent hover:brightness-110 disabled:opacity-50",
  plain: "px-4 border border-line bg-paper text-ink hover:bg-wash disabled:opacity-50",
  quiet: "text-ink underline underline-offset-4 hover:text-accent disabled:opacity-50",
} as const;
type Look = keyof typeof looks;

export function Button({
  look = "plain",
  className = "",
  ...rest
}: ButtonHTMLAttributes<HTMLButtonElement> & { look?: Look }) {
  return <button type="button" className={`${shapes} ${looks[look]} ${className}`} {...rest} />;
}

export function ButtonLink({
  look = "plain",
  to,
  children,
  className = "",
}: {
  look?: Look;
  to: string;
  children: ReactNode;
  className?: string;
}) {
  return (
    <Link href={to} className={`${shapes} ${looks[look]} ${className}`}>
      {children}
    </Link>
  );
}
