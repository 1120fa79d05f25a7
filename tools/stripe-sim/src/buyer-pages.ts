// The pages that a buyer sees: where a card is typed, and where the bank asks whether it was they.
import type { IncomingMessage, ServerResponse } from "node:http";
import { amountInWords } from "./amounts.js";
import { StripeFailure } from "./failures.js";
import { noFaults } from "./faults.js";
import { emptyTree, parseForm } from "./form.js";
import { html, readBody } from "./http.js";
import { approvalPage, cardPage, messagePage, pageHeaders, readExpiry, safeReturnUrl, withParams } from "./pages.js";
import { authenticate, createMethod } from "./payment-desk.js";
import type { Payment } from "./payment-intents.js";
import type { ServerOptions } from "./server.js";

export class BuyerPages {
  private readonly options: ServerOptions;

  constructor(options: ServerOptions) {
    this.options = options;
  }

  async approval(request: IncomingMessage, response: ServerResponse, sourceId: string): Promise<void> {
    const body = await readBody(request);
    const payment = this.options.books.paymentOfSource(sourceId);
    if (payment === undefined)
      return html(
        response,
        404,
        messagePage("Nothing to approve here", "This link is not known. Go back to the shop and try again."),
      );
    if (payment.action?.sourceId !== sourceId)
      return html(
        response,
        request.method === "POST" ? 409 : 200,
        messagePage(
          "This is settled",
          "The payment has been answered or has ended. Go back to the shop to see how it stands.",
        ),
      );
    if (request.method === "GET" || request.method === "HEAD") {
      await this.options.durable();
      return html(response, 200, approvalPage(this.approvalOf(payment)));
    }
    const form = parseForm(body ?? "");
    const outcome = form.ok ? form.tree["outcome"] : undefined;
    if (request.method !== "POST" || (outcome !== "approve" && outcome !== "fail"))
      return html(response, 400, messagePage("That is no answer", "Approve or refuse the payment."));
    const done = await this.answerBuyer(payment, outcome);
    const back = payment.action.returnUrl;
    if (back === undefined)
      return html(response, 200, messagePage("Thank you", "You can close this page and go back to the shop."));
    const location = withParams(back, {
      payment_intent: payment.id,
      payment_intent_client_secret: payment.clientSecret,
      redirect_status: done ? "succeeded" : "failed",
    });
    response.writeHead(303, { ...pageHeaders, location }).end();
  }

  private approvalOf({ amount, currency, description, methodId }: Payment) {
    const card = this.options.books.tables.methods.get(methodId ?? "")?.card;
    return {
      amount: amountInWords(amount, currency),
      description,
      card: card === undefined ? "" : `${card.brand[0]!.toUpperCase()}${card.brand.slice(1)} ending in ${card.last4}`,
    };
  }

  /** Whether the payment went through. */
  private async answerBuyer(payment: Payment, outcome: "approve" | "fail"): Promise<boolean> {
    const call = this.options.newCall(undefined);
    const done = authenticate(call, payment, outcome);
    await this.options.commit(call.draft.entry(), call.draft.events, noFaults.webhooks);
    return outcome === "approve" && done.failure === undefined;
  }

  async card(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const body = await readBody(request);
    const form = request.method === "POST" ? parseForm(body ?? "") : { ok: true as const, tree: emptyTree() };
    const field = (name: string) => {
      const value = form.ok ? form.tree[name] : undefined;
      return typeof value === "string" ? value : "";
    };
    const returnUrl = safeReturnUrl(
      request.method === "POST" ? field("return_url") : (url.searchParams.get("return_url") ?? undefined),
    );
    if (returnUrl === undefined)
      return html(
        response,
        400,
        messagePage("This page was opened wrongly", "It needs return_url, an http or https address to go back to."),
      );
    if (request.method !== "POST") return html(response, 200, cardPage({ returnUrl }));
    const expiry = readExpiry(field("expiry"));
    if (expiry === undefined)
      return html(response, 422, cardPage({ returnUrl, problem: "Write the expiry as on the card: month / year." }));
    const call = this.options.newCall(undefined);
    try {
      const method = createMethod(call, {
        card: { number: field("number"), expMonth: expiry.month, expYear: expiry.year, cvc: field("cvc").trim() },
        billing: {},
        metadata: {},
      });
      await this.options.commit(call.draft.entry(), [], noFaults.webhooks);
      response.writeHead(303, { ...pageHeaders, location: withParams(returnUrl, { payment_method: method.id }) }).end();
    } catch (error) {
      if (!(error instanceof StripeFailure)) throw error;
      html(response, 422, cardPage({ returnUrl, problem: error.message }));
    }
  }
}
