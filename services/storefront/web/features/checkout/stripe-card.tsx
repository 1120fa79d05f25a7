// Stripe's own Payment Element: the card is typed into Stripe's frame, and all that we get is the id of a payment method.
import type { Stripe, StripeElements, StripePaymentElement } from "@stripe/stripe-js";
import { loadStripe } from "@stripe/stripe-js/pure/index.js";
import { useEffect, useRef, useState } from "react";
import { useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Notice, Skeleton } from "../../ui/notice.js";
import { isDark } from "../../ui/page.js";

export interface StripeCardProps {
  readonly publishableKey: string;
  readonly amount: number;
  readonly currency: string;
  readonly label: string;
  readonly busy: boolean;
  /** Nothing can be paid any more. */
  readonly over: boolean;
  readonly onMethod: (paymentMethodId: string) => void;
}

export function StripeCard({ publishableKey, amount, currency, label, busy, over, onMethod }: StripeCardProps) {
  const text = useText();
  const place = useRef<HTMLDivElement>(null);
  const parts = useRef<{ stripe: Stripe; elements: StripeElements }>(undefined);
  const [form, setForm] = useState<"loading" | "ready" | "failed">("loading");
  const [tries, setTries] = useState(1);
  const [problem, setProblem] = useState<string>();
  const [asking, setAsking] = useState(false);
  const { language } = text;

  // biome-ignore lint/correctness/useExhaustiveDependencies: tries, so that it is tried again when asked
  useEffect(() => {
    let element: StripePaymentElement | undefined;
    let left = false;
    const fail = () => {
      if (left) return;
      element?.destroy();
      element = undefined;
      setForm("failed");
    };
    setForm("loading");
    setProblem(undefined);
    loadStripe(publishableKey).then((stripe) => {
      if (left || !stripe || !place.current) return;
      const elements = stripe.elements({
        mode: "payment",
        amount,
        currency: currency.toLowerCase(),
        captureMethod: "manual",
        paymentMethodCreation: "manual",
        // As the payment service asks for: what can't be captured later would be refused there.
        allowedPaymentMethodTypes: ["card"],
        locale: language,
        appearance: { theme: isDark() ? "night" : "stripe" },
      });
      element = elements.create("payment");
      element.on("ready", () => !left && setForm("ready"));
      element.on("loaderror", fail);
      element.mount(place.current);
      parts.current = { stripe, elements };
    }, fail);
    return () => {
      left = true;
      element?.destroy();
    };
  }, [publishableKey, amount, currency, language, tries]);

  async function ask(): Promise<void> {
    if (!parts.current) return;
    setAsking(true);
    setProblem(undefined);
    const { stripe, elements } = parts.current;
    try {
      const { error: fault } = await elements.submit();
      // What is wrong in the form is said in the form.
      if (fault) return fault.type === "validation_error" ? undefined : setProblem(fault.message ?? text("errorTitle"));
      const { paymentMethod, error } = await stripe.createPaymentMethod({ elements });
      if (paymentMethod) onMethod(paymentMethod.id);
      else setProblem(error.message ?? text("errorTitle"));
    } catch {
      setProblem(text("errorTitle"));
    } finally {
      setAsking(false);
    }
  }

  return (
    <div className="grid gap-3">
      {form === "failed" ? (
        <Notice tone="bad" title={text("cardFormFailed")} live>
          <p>{text("cardFormFailedText")}</p>
          <Button className="mt-3" onClick={() => setTries(tries + 1)}>
            {text("tryAgain")}
          </Button>
        </Notice>
      ) : undefined}
      <div className={form === "failed" ? "hidden" : "relative min-h-48"}>
        {form === "loading" ? <Skeleton className="absolute inset-0" /> : undefined}
        <div ref={place} />
      </div>
      {problem ? <Notice tone="bad" title={problem} live /> : undefined}
      {form === "failed" ? undefined : (
        <Button look="main" disabled={busy || asking || over || form === "loading"} onClick={() => void ask()}>
          {busy || asking ? text("statusPaying") : label}
        </Button>
      )}
    </div>
  );
}
