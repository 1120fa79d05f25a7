// Cancelling an event for good: it goes off sale, and every order is given back.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { answered, api, newKey } from "../../../api/client.js";
import { Button } from "../../../ui/button.js";
import { Field } from "../../../ui/field.js";
import { Problem } from "../../../ui/notice.js";
import { type OwnEvent, ownEventKey } from "../organiser-api.js";
import { Confirm } from "../organiser-frame.js";
import { useOrganiserText } from "../organiser-text.js";

export function CancelEvent({ event }: { event: OwnEvent }) {
  const text = useOrganiserText();
  const queries = useQueryClient();
  const [sure, setSure] = useState<string>();
  const [reason, setReason] = useState("");
  const cancel = useMutation({
    mutationFn: (key: string) =>
      answered(
        api.POST("/v1/organiser/events/{eventId}/cancel", {
          params: { path: { eventId: event.eventId }, header: { "Idempotency-Key": key } },
          body: reason.trim() ? { reason: reason.trim() } : {},
        }),
      ),
    onSuccess: (cancelled) => queries.setQueryData(ownEventKey(event.eventId), cancelled),
  });
  return (
    <section className="grid gap-3">
      {cancel.isError ? <Problem error={cancel.error} /> : undefined}
      {sure === undefined ? (
        <Button look="quiet" className="justify-self-start" onClick={() => setSure(newKey())}>
          {text("cancelEvent")}
        </Button>
      ) : (
        <Confirm
          question={text("cancelEventSure", { name: event.name })}
          yes={text("cancelEventYes")}
          busy={cancel.isPending}
          onYes={() => cancel.mutate(sure)}
          onNo={() => setSure(undefined)}
        >
          <p className="text-soft">{text("cancelEventText")}</p>
          <Field
            label={text("reasonLabel")}
            value={reason}
            maxLength={200}
            onChange={(change) => setReason(change.target.value)}
          />
        </Confirm>
      )}
    </section>
  );
}
