// The account: who one is here, the password, language and appearance, and leaving, on this device or on all.
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useRef, useState } from "react";
import { ApiError } from "../../api/client.js";
import { refusalText } from "../../refusal-text.js";
import { changePassword, logOut, useSession } from "../../session.js";
import { useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Field } from "../../ui/field.js";
import { Notice, Problem, Skeleton } from "../../ui/notice.js";
import { Appearance, Title } from "../../ui/page.js";
import { useLoggedIn } from "./log-in-page.js";

export function AccountPage() {
  const text = useText();
  useLoggedIn();
  const session = useSession();
  const leave = useMutation({ mutationFn: logOut });
  if (session.kind !== "in") return <Skeleton className="h-64" />;
  const { account } = session;
  const since = new Intl.DateTimeFormat(text.locale, { dateStyle: "long" }).format(new Date(account.createdAt));
  return (
    <div className="mx-auto grid max-w-xl gap-6">
      <Title page={text("accountTitle")}>{text("accountTitle")}</Title>
      <Part title={text("accountDetails")}>
        <dl className="grid gap-3">
          <div>
            <dt className="text-sm font-semibold text-soft">{text("name")}</dt>
            <dd className="break-words">{account.name}</dd>
          </div>
          <div>
            <dt className="text-sm font-semibold text-soft">{text("email")}</dt>
            <dd className="break-words">{account.email}</dd>
          </div>
        </dl>
        <p className="text-sm text-soft">{text("memberSince", { date: since })}</p>
      </Part>
      <Part title={text("accountPassword")}>
        <PasswordForm email={account.email} />
      </Part>
      <Part title={text("accountAppearance")}>
        <div className="flex flex-wrap gap-x-6 gap-y-3">
          <Appearance />
        </div>
        <p className="text-sm text-soft">{text("accountAppearanceHint")}</p>
      </Part>
      <Part title={text("accountLeave")}>
        {leave.isError ? <Problem error={leave.error} /> : undefined}
        <div className="flex flex-wrap gap-3">
          <Button disabled={leave.isPending} onClick={() => leave.mutate("here")}>
            {text("logOut")}
          </Button>
          <Button
            disabled={leave.isPending}
            aria-describedby="leave-everywhere"
            onClick={() => leave.mutate("everywhere")}
          >
            {text("logOutEverywhere")}
          </Button>
        </div>
        <p id="leave-everywhere" className="text-sm text-soft">
          {text("accountLeaveHint")}
        </p>
      </Part>
    </div>
  );
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="grid gap-3 rounded-xl border border-line bg-paper p-4">
      <h2 className="text-lg font-bold">{title}</h2>
      {children}
    </section>
  );
}

function PasswordForm({ email }: { email: string }) {
  const text = useText();
  const form = useRef<HTMLFormElement>(null);
  const [shown, setShown] = useState(false);
  const change = useMutation({
    mutationFn: ({ before, after }: { before: string; after: string }) => changePassword(before, after),
    onSuccess: () => form.current?.reset(),
  });
  const submit = (happened: FormEvent<HTMLFormElement>) => {
    happened.preventDefault();
    const given = new FormData(happened.currentTarget);
    change.mutate({ before: String(given.get("before") ?? ""), after: String(given.get("after") ?? "") });
  };
  const refusal = change.error instanceof ApiError ? change.error : undefined;
  const wrong = refusal?.code === "PASSWORD_WRONG";
  const weak = refusal?.code === "PASSWORD_WEAK" ? refusal : undefined;
  return (
    <form ref={form} onSubmit={submit} className="grid gap-4">
      {/* For password managers: whose password it is. */}
      <input type="text" name="username" autoComplete="username" value={email} readOnly hidden />
      <Field
        label={text("accountPasswordNow")}
        name="before"
        type={shown ? "text" : "password"}
        autoComplete="current-password"
        required
        maxLength={256}
        problem={wrong ? text("accountPasswordWrong") : undefined}
      />
      <Field
        label={text("accountPasswordNew")}
        name="after"
        type={shown ? "text" : "password"}
        autoComplete="new-password"
        required
        maxLength={256}
        hint={text("passwordHint")}
        problem={weak && refusalText(text, weak)}
      />
      {change.isError && !wrong && !weak ? <Problem error={change.error} /> : undefined}
      {change.isSuccess ? <Notice tone="good" title={text("accountPasswordChanged")} live /> : undefined}
      <div className="flex flex-wrap gap-3">
        <Button type="submit" look="main" disabled={change.isPending}>
          {change.isPending ? text("loading") : text("accountPassword")}
        </Button>
        <Button look="quiet" aria-pressed={shown} onClick={() => setShown(!shown)}>
          {text(shown ? "accountHide" : "accountShow")}
        </Button>
      </div>
    </form>
  );
}
