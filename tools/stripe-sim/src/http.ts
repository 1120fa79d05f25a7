// What every part of the server does with a request and an answer.
import type { IncomingMessage, ServerResponse } from "node:http";
import { pageHeaders } from "./pages.js";

export const maxBodyBytes = 1024 * 1024;

export function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  const one = Array.isArray(value) ? value[0] : value;
  return one === "" ? undefined : one;
}

/** Undefined when it is too long; the rest of it is read and thrown away, so that the answer can be heard. */
export async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= maxBodyBytes) chunks.push(chunk);
  }
  return length > maxBodyBytes ? undefined : Buffer.concat(chunks).toString();
}

export function json(value: object): string {
  return JSON.stringify(value, null, 2);
}

export function html(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, pageHeaders).end(text);
}
