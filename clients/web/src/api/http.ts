// One call to the server, and what can come of it.

import { key as apiKey, lock, withKey } from "./key";
import { AT_LEAST, remember, withKnown } from "./known";
import type { Problem, ProblemImage } from "./types";

/** The server refused, in its own words. */
export class Refused extends Error {
  constructor(
    readonly code: string,
    detail: string,
    readonly images: ProblemImage[],
    /** Seconds after which the same may succeed; null where waiting does not help. */
    readonly retryAfter: number | null,
  ) {
    super(detail);
  }
}

/** The server cannot be reached, or ended the connection. */
export class Unreachable extends Error {}

/** Asks the server, and returns its reply. Throws Refused, Unreachable, or what the signal says where it was aborted. */
export async function call<Reply>(method: string, path: string, options: RequestInit = {}): Promise<Reply> {
  // Addresses are relative to the page, so that they hold behind a proxy that adds a path.
  const text = await answered(`v1/${path}`, { ...options, method }, (response) => response.text());
  return (text ? JSON.parse(text) : undefined) as Reply;
}

/** Reads a picture or an archive, which an address alone cannot where the server asks for a key. Throws as `call` does. */
export const file = (address: string, options: RequestInit = {}): Promise<Blob> =>
  answered(address, options, (response) => response.blob());

async function answered<Content>(
  address: string,
  options: RequestInit,
  read: (response: Response) => Promise<Content>,
): Promise<Content> {
  const sent = apiKey.value;
  let response: Response;
  let text: string;
  try {
    response = await fetch(address, { ...options, headers: withKnown(withKey(options.headers)) });
    remember(response.headers.get(AT_LEAST));
    if (response.ok) return await read(response);
    text = await response.text();
  } catch (error) {
    throw options.signal?.aborted ? error : new Unreachable();
  }
  throw refusal(text, response.headers.get("Retry-After"), sent);
}

export function asJson(body: unknown, headers: Record<string, string> = {}): RequestInit {
  return { body: JSON.stringify(body), headers: { ...headers, "Content-Type": "application/json" } };
}

/**
 * Sends pictures that create a task, or that are added to one, and tells how far it is, which `fetch` cannot. The same form with
 * the same key is done once, however often it is sent. Throws as `call` does.
 *
 * @param told is called with the share of the form that has left, from 0 to 1
 */
export function upload<Reply>(
  path: string,
  form: FormData,
  key: string,
  signal: AbortSignal,
  told: (share: number) => void,
): Promise<Reply> {
  return new Promise((done, failed) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    const sent = apiKey.value;
    const text = () => request.responseText;
    request.open("POST", `v1/${path}`);
    withKnown(withKey({ "Idempotency-Key": key })).forEach((value, name) => request.setRequestHeader(name, value));
    request.upload.onprogress = (event) => event.lengthComputable && told(event.loaded / event.total);
    request.onload = () => {
      remember(request.getResponseHeader(AT_LEAST));
      if (request.status < 300) done(JSON.parse(text()));
      else failed(refusal(text(), request.getResponseHeader("Retry-After"), sent));
    };
    request.onerror = () => failed(new Unreachable());
    request.onabort = () => failed(signal.reason);
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

/** Returns what a reply that is no success says. A proxy answers in its own words for a server that is down. */
function refusal(text: string, retryAfter: string | null, sent: string | null): Error {
  try {
    const problem = JSON.parse(text) as Problem;
    if (problem.code === "unauthenticated") lock(sent);
    return new Refused(problem.code, problem.detail, problem.images ?? [], retryAfter ? Number(retryAfter) : null);
  } catch {
    return new Unreachable();
  }
}
