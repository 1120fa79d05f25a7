// Logging in and signing up; afterwards back to where one wanted to go.
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useEffect } from "react";
import { Link, useLocation, useSearchParams } from "wouter";
import { ApiError } from "../../api/client.js";
import { refusalText } from "../../refusal-text.js";
import { logIn, signUp, useSession } from "../../session.js";
import { useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Field } from "../../ui/field.js";
import { Problem } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";

/** Sends whoever is not logged in to the log-in page, and back afterwards. */
export function useLoggedIn(): void {
  const session = useSession();
  const [here, go] = useLocation();
  useEffect(() => {
    if (session.kind === "out") go(`/login?next=${encodeURIComponent(here)}`, { replace: true });
  }, [session.kind, here, go]);
}

/** Only a path of this shop: an address in a link must not lead elsewhere. */
export const safeNext = (next: string | null): string => (next && /^\/(?![/\\])/.test(next) ? next : "/");

export function LogInPage() {
  return <Entry kind="logIn" />;
}
export function SignUpPage() {
  return <Entry kind="signUp" />;
}

function Entry({ kind }: { kind: "logIn" | "signUp" }) {
  const text = useText();
  const session = useSession();
  const [params] = useSearchParams();
  const [, go] = useLocation();
  const next = safeNext(params.get("next"));
  useEffect(() => {
    if (session.kind === "in") go(next, { replace: true });
  }, [session.kind, next, go]);
  const enter = useMutation({
    mutationFn: ({ name, email, password }: { name: string; email: string; password: string }) =>
      kind === "logIn" ? logIn(email, password) : signUp(name, email, password),
  });
  const submit = (happened: FormEvent<HTMLFormElement>) => {
    happened.preventDefault();
    const form = new FormData(happened.currentTarget);
    const field = (name: string) => String(form.get(name) ?? "");
    enter.mutate({ name: field("name"), email: field("email"), password: field("password") });
  };
  /** A refusal that is about one field is said beside it. */
  const problem = (code: string) =>
    enter.error instanceof ApiError && enter.error.code === code ? refusalText(text, enter.error) : undefined;
  const [taken, weak] = [problem("EMAIL_TAKEN"), problem("PASSWORD_WEAK")];
  const other = kind === "logIn" ? "signUp" : "logIn";
  return (
    <div className="mx-auto grid max-w-sm gap-6">
      <Title page={text(kind)}>{text(kind)}</Title>
      <form onSubmit={submit} className="grid gap-4 rounded-xl border border-line bg-paper p-4">
        {kind === "signUp" ? (
          <Field label={text("name")} name="name" autoComplete="name" required maxLength={100} />
        ) : undefined}
        <Field
          label={text("email")}
          name="email"
          type="email"
          autoComplete="email"
          required
          maxLength={254}
          problem={taken}
        />
        <Field
          label={text("password")}
          name="password"
          type="password"
          autoComplete={kind === "logIn" ? "current-password" : "new-password"}
          required
          maxLength={256}
          hint={kind === "signUp" ? text("passwordHint") : undefined}
          problem={weak}
        />
        {enter.isError && !taken && !weak ? <Problem error={enter.error} /> : undefined}
        <Button type="submit" look="main" disabled={enter.isPending}>
          {enter.isPending ? text("loading") : text(kind)}
        </Button>
      </form>
      <p className="text-center text-sm">
        {text(kind === "logIn" ? "noAccount" : "haveAccount")}{" "}
        <Link
          href={`/${other === "logIn" ? "login" : "signup"}${next === "/" ? "" : `?next=${encodeURIComponent(next)}`}`}
          className="font-semibold underline underline-offset-4"
        >
          {text(other)}
        </Link>
      </p>
    </div>
  );
}
