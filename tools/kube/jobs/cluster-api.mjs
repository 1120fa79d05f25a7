// The Kubernetes API as a Job in the cluster reaches it: by its account's token, for the few calls that our Jobs make.
import { readFileSync } from "node:fs";

const account = "/var/run/secrets/kubernetes.io/serviceaccount";

/** An answer that is neither well nor "not found". */
export class Refused extends Error {
  constructor(method, path, status, text) {
    super(`${method} ${path}: the cluster answered ${status}: ${text.slice(0, 500)}`);
    this.status = status;
  }
}

/** Path below the API's root. The object answered, or undefined for 404. Tries again while the API can't be reached. */
export async function ask(method, path, body, contentType = "application/json") {
  const { KUBERNETES_SERVICE_HOST: host = "kubernetes.default.svc", KUBERNETES_SERVICE_PORT: port = "443" } =
    process.env;
  const address = host.includes(":") ? `[${host}]` : host;
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await fetch(`https://${address}:${port}${path}`, {
        method,
        headers: {
          // Read anew each time: the kubelet renews it.
          authorization: `Bearer ${readFileSync(`${account}/token`, "utf8").trim()}`,
          accept: "application/json",
          ...(body === undefined ? {} : { "content-type": contentType }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(10_000),
      });
      const text = await response.text();
      if (response.status === 404) return undefined;
      if (!response.ok) throw new Refused(method, path, response.status, text);
      return JSON.parse(text);
    } catch (error) {
      if ((error instanceof Refused && error.status < 500) || attempt >= 10) throw error;
      process.stdout.write(`the Kubernetes API does not answer yet: ${error.cause?.message ?? error.message}\n`);
      await new Promise((resolve) => setTimeout(resolve, 500 * attempt));
    }
  }
}
