// The account: who one is here, and leaving, on this device or on all.
import { useMutation } from "@tanstack/react-query";
import { logOut, useSession } from "../../session.js";
import { useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Problem, Skeleton } from "../../ui/notice.js";
import { Title } from "../../ui/page.js";
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
      <dl className="grid gap-3 rounded-xl border border-line bg-paper p-4">
        <div>
          <dt className="text-sm font-semibold text-soft">{text("name")}</dt>
          <dd>{account.name}</dd>
        </div>
        <div>
          <dt className="text-sm font-semibold text-soft">{text("email")}</dt>
          <dd className="break-words">{account.email}</dd>
        </div>
      </dl>
      <p className="text-sm text-soft">{text("memberSince", { date: since })}</p>
      {leave.isError ? <Problem error={leave.error} /> : undefined}
      <div className="flex flex-wrap gap-3">
        <Button disabled={leave.isPending} onClick={() => leave.mutate("here")}>
          {text("logOut")}
        </Button>
        <Button disabled={leave.isPending} onClick={() => leave.mutate("everywhere")}>
          {text("logOutEverywhere")}
        </Button>
      </div>
    </div>
  );
}
