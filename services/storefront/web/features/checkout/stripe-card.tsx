// Stripe's own Payment Element: the card is typed into Stripe's frame, and all that we get is the id of a payment method.
import { useEffect, useRef, useState } from "react";
import { useText } from "../../text.js";
import { Button } from "../../ui/button.js";
import { Notice } from "../../ui/notice.js";

// What we use of https://docs.stripe.com/js
interface Elements {
  create(type: "payment"): { mount(element: HTMLElement): void; destroy(): void };
  submit(): Promise<{ error?: { message?: string } }>;
}
interface Stripe {
  elements(options: object): Elements;
  createPaymentMethod(options: {
    elements: Elements;
  }): Promise<{ paymentMethod?: { id: string }; error?: { message?: string } }>;
}
declare global {
  interface Window {
    Stripe?: (key: string) => Stripe;
  }
}

let loading: Promise<void> | undefined;
function loadStripe(): Promise<void> {
  loading ??= new Promise<void>((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "https://js.stripe.com/v3/";
    script.onload = () => resolve();
    script.onerror = () => {
      loading = undefined;
      script.remove();
      reject(new Error("Stripe's script could not be loaded."));
    };
    document.head.append(script);
  });
  return loading;
}

export interface StripeCardProps {
  readonly publishableKey: string;
  readonly amount: number;
  readonly currency: string;
  readonly label: string;
  readonly busy: boolean;
  readonly onMethod: (paymentMethodId: string) => void;
}

export function StripeCard({ publishableKey, amount, currency, label, busy, onMethod }: StripeCardProps) {
  const text = useText();
  const place = useRef<HTMLDivElement>(null);
  const parts = useRef<{ stripe: Stripe; elements: Elements }>(undefined);
  const [problem, setProblem] = useState<string>();
  const [asking, setAsking] = useState(false);
  const { language } = text;

  useEffect(() => {
    let element: ReturnType<Elements["create"]> | undefined;
    let left = false;
    loadStripe().then(
      () => {
        const stripe = window.Stripe?.(publishableKey);
        if (left || !stripe || !place.current) return;
        const elements = stripe.elements({
          mode: "payment",
          amount,
          currency: currency.toLowerCase(),
          captureMethod: "manual",
          paymentMethodCreation: "manual",
          locale: language,
        });
        element = elements.create("payment");
        element.mount(place.current);
        parts.current = { stripe, elements };
      },
      (error: Error) => setProblem(error.message),
    );
    return () => {
      left = true;
      element?.destroy();
    };
  }, [publishableKey, amount, currency, language]);

  async function ask(): Promise<void> {
    if (!parts.current) return;
    setAsking(true);
    setProblem(undefined);
    const { stripe, elements } = parts.current;
    const checked = await elements.submit();
    const made = checked.error ? checked : await stripe.createPaymentMethod({ elements });
    setAsking(false);
    if (made.error) return setProblem(made.error.message ?? text("errorTitle"));
    const method = (made as Awaited<ReturnType<Stripe["createPaymentMethod"]>>).paymentMethod;
    if (method) onMethod(method.id);
  }

  return (
    <div className="grid gap-3">
      <div ref={place} className="min-h-48" />
      {problem ? <Notice tone="bad" title={problem} live /> : undefined}
      <Button look="main" disabled={busy || asking} onClick={() => void ask()}>
        {busy || asking ? text("statusPaying") : label}
      </Button>
    </div>
  );
}
