// Values that can't work are refused, with a sentence that says what to change.
import { describe, expect, it, vi } from "vitest";
import { helm, render, withoutHelm } from "./chart.js";

// helm and its like are programs of their own, which may have to wait for a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const cases: readonly (readonly [what: string, file: string | undefined, set: readonly string[], sentence: string])[] =
  [
    [
      "nothing at all",
      undefined,
      [],
      "There is no Temporal: set dependencies.temporal.address to the host:port of its frontend",
    ],
    [
      "no MongoDB",
      undefined,
      ["dependencies.temporal.address=t:7233"],
      "There is no MongoDB: set dependencies.mongodb.uri",
    ],
    [
      "no Valkey",
      undefined,
      ["dependencies.temporal.address=t:7233"],
      "There is no Valkey: set dependencies.valkey.url",
    ],
    ["no secrets", undefined, [], "set secrets.existingSecret to a Secret of this namespace with grpc-shared-secret"],
    [
      "an unknown key",
      "values-small.yaml",
      ["services.gateway.replica=3"],
      "at '/services/gateway': additional properties 'replica' not allowed",
    ],
    ["an unknown part", "values-small.yaml", ["redis.url=x"], "additional properties 'redis' not allowed"],
    [
      "a text for a number",
      "values-small.yaml",
      ["services.account.autoscaling.max=many"],
      "at '/services/account/autoscaling/max': got string, want integer",
    ],
    [
      "a word that is no choice",
      "values-small.yaml",
      ["logLevel=loud"],
      "at '/logLevel': value must be one of 'trace'",
    ],
    [
      "an address without a port",
      "values-small.yaml",
      ["dependencies.temporal.address=temporal"],
      "at '/dependencies/temporal/address'",
    ],
    [
      "a password in the values",
      "values-small.yaml",
      ["dependencies.mongodb.uri=mongodb://me:mine@db/"],
      "at '/dependencies/mongodb/uri'",
    ],
    [
      "a secret among the settings",
      "values-small.yaml",
      ["services.payment.config.STRIPE_SECRET_KEY=sk"],
      "services.payment.config.STRIPE_SECRET_KEY is a secret, and values are not",
    ],
    [
      "a service that is half described",
      "values-small.yaml",
      ["services.shop.replicas=1"],
      "missing properties 'kind', 'calls'",
    ],
    [
      "a demo store and a given one",
      "values-demo.yaml",
      ["dependencies.valkey.url=redis://cache:6379"],
      "demo.valkey.enabled and dependencies.valkey.url contradict each other",
    ],
    [
      "demo secrets beside real ones",
      "values-demo.yaml",
      ["secrets.existingSecret=real"],
      "demo.enabled and secrets.existingSecret contradict each other",
    ],
    [
      "stripe-sim and another Stripe",
      "values-demo.yaml",
      ["dependencies.stripe.apiBase=https://stripe.example"],
      "demo.stripeSim.enabled and dependencies.stripe.apiBase contradict each other",
    ],
    [
      "replicas beside an autoscaler",
      "values-small.yaml",
      ["services.gateway.replicas=3"],
      "services.gateway.replicas and services.gateway.autoscaling.enabled contradict each other",
    ],
    [
      "min above max",
      "values-small.yaml",
      ["services.ticket.autoscaling.min=9"],
      "services.ticket.autoscaling.min (9) is more than max (2)",
    ],
    [
      "no time to drain",
      "values-small.yaml",
      ["services.gateway.terminationGracePeriodSeconds=20"],
      "services.gateway.terminationGracePeriodSeconds (20) is shorter than its drain needs (48)",
    ],
    [
      "no trust",
      "values-small.yaml",
      ["trust.sharedSecret=false", "trust.mutualTls.enabled=false"],
      "Services would trust anyone: set trust.sharedSecret or trust.mutualTls.enabled",
    ],
    [
      "an issuer for certificates that a Job makes",
      "values-small.yaml",
      ["trust.mutualTls.certificates=job", "trust.mutualTls.issuerRef.name=ca"],
      "trust.mutualTls.issuerRef is for cert-manager, but trust.mutualTls.certificates is job",
    ],
    [
      "certificates of others that are not named",
      "values-small.yaml",
      ["trust.mutualTls.certificates=existing"],
      "trust.mutualTls.existingSecrets has no Secret for gateway",
    ],
    [
      "a way in to nowhere",
      "values-small.yaml",
      ["publicUrl="],
      "There is a way in (ingress or gatewayApi), but no publicUrl",
    ],
    [
      "a certificate for a Temporal without TLS",
      "values-small.yaml",
      ["dependencies.temporal.tls.clientSecret=mine"],
      "dependencies.temporal.tls.clientSecret is for TLS, but dependencies.temporal.tls.enabled is false",
    ],
    [
      "a key for Temporal in the clear",
      "values-small.yaml",
      ["dependencies.temporal.apiKey=true"],
      "dependencies.temporal.apiKey would send the key in the clear",
    ],
    [
      "TLS to the demo's Temporal",
      "values-demo.yaml",
      ["dependencies.temporal.tls.enabled=true"],
      "demo.temporal.enabled and dependencies.temporal.tls.enabled contradict each other",
    ],
    [
      "an authority for a Valkey without TLS",
      "values-small.yaml",
      ["dependencies.valkey.caSecret=ca", "dependencies.valkey.url=redis://a:6379\\,b:6379"],
      "dependencies.valkey.caSecret is for TLS, but the address begins with redis",
    ],
    [
      "a user in one of a cluster's addresses",
      "values-small.yaml",
      ["dependencies.valkey.url=redis://a:6379\\,me:mine@b:6379"],
      "at '/dependencies/valkey/url'",
    ],
    [
      "pages that could take no cards",
      "values-small.yaml",
      ["dependencies.stripe.publishableKey="],
      "The storefront could take no cards: set dependencies.stripe.publishableKey",
    ],
    [
      "Stripe's card form before stripe-sim",
      "values-demo.yaml",
      ["dependencies.stripe.publishableKey=pk_test_1"],
      "demo.stripeSim.enabled and dependencies.stripe.publishableKey contradict each other",
    ],
    [
      "a secret key as the public one",
      "values-small.yaml",
      ["dependencies.stripe.publishableKey=sk_test_1"],
      "at '/dependencies/stripe/publishableKey'",
    ],
    [
      "a codec server for what is not encrypted",
      "values-small.yaml",
      ["dependencies.temporal.encryptPayloads=false"],
      "services.codec decrypts what is encrypted for Temporal, but dependencies.temporal.encryptPayloads is false",
    ],
    [
      "a codec server for nobody",
      "values-small.yaml",
      ["dependencies.temporal.uiUrl="],
      "services.codec answers the Temporal Web UI only: set dependencies.temporal.uiUrl",
    ],
    [
      "a host for what serves no HTTP",
      "values-small.yaml",
      ["services.ticket.host=ticket.example.com"],
      "services.ticket.host is for services of kind http, and its kind is grpc",
    ],
    [
      "calls to a worker",
      "values-small.yaml",
      ["services.ticket.calls={mongodb,worker}"],
      "services.ticket.calls names worker, which serves nothing",
    ],
    [
      "an objective that can't be missed",
      "values-large.yaml",
      ["monitoring.prometheusRule.objectives.api=100"],
      "at '/monitoring/prometheusRule/objectives/api'",
    ],
    ["an ingress without a host", "values-small.yaml", ["ingress.host="], "ingress.enabled needs ingress.host"],
    [
      "a route without a gateway",
      "values-large.yaml",
      ["json:gatewayApi.parentRefs=[]"],
      "gatewayApi.enabled needs gatewayApi.parentRefs",
    ],
    [
      "a route to nothing",
      "values-small.yaml",
      ["services.storefront.enabled=false"],
      "routes sends / to storefront, which is no running service of kind http",
    ],
    [
      "calls to what does not run",
      "values-small.yaml",
      ["services.ticket.enabled=false"],
      "services.gateway.calls names ticket, which does not run",
    ],
    [
      "an on-sale of what does not scale",
      "values-large.yaml",
      ["services.account.autoscaling.enabled=false"],
      "onSales opening-night scales account, which has no autoscaler",
    ],
    [
      "an on-sale above the bound",
      "values-large.yaml",
      ["services.inventory.autoscaling.max=5"],
      "onSales opening-night wants 6 pods of inventory, but services.inventory.autoscaling.max is 5",
    ],
  ];

describe.skipIf(!helm)(`bad values are refused${helm ? "" : ` (skipped: ${withoutHelm})`}`, () => {
  it.each(cases)("%s", (_what, file, set, sentence) => {
    const { refusal, manifests } = render(file, set);
    expect(manifests).toEqual([]);
    expect(refusal.replace(/\s+/g, " ")).toContain(sentence);
  });

  it("says everything that is wrong at once", () => {
    const { refusal } = render(undefined, []);
    expect(refusal.match(/^ {2}- /gm)?.length).toBe(5);
  });
});
