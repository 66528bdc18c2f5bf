// Replies that did not come from a Headstart server, as errors that say where to look.

import { ProxyError, UnexpectedReply } from "../errors.js";

const UNAVAILABLE = "it got no usable answer from the server behind it: is that running?";
const MEANS: Readonly<Record<number, string>> = {
  401: "it asks for authentication: give a token, or the header that it expects",
  403: "it does not let this request through: does it expect a token or a header?",
  408: "it waited too long for the request: raise its time limit for request bodies",
  413: "the request is too large for it: raise its limit (nginx: client_max_body_size), or send fewer or smaller images",
  429: "it lets no more requests through for now; try again later",
  502: UNAVAILABLE,
  503: "the server behind it is not available: is that running?",
  504: "the server behind it did not answer in time: raise its time limit, or send fewer images at once",
};

/**
 * The error for a reply that is not of this API.
 *
 * @param asked what was asked, such as `GET http://127.0.0.1:8000/v1/tasks`
 */
export function foreignReply(asked: string, response: Response): UnexpectedReply {
  const { status } = response;
  if (response.type === "opaqueredirect" || (status >= 300 && status < 400)) {
    return new UnexpectedReply(`${asked} was sent on to another address; is the address right?`);
  }
  const means = MEANS[status] ?? (status >= 520 && status <= 530 ? UNAVAILABLE : undefined); // Cloudflare's
  if (means) {
    const who = response.headers.get("Server") ?? "it does not say what";
    return new ProxyError(
      status,
      `${asked} was answered with ${status} by something in front of the Headstart server (${who}): ${means}`,
    );
  }
  const kind = response.headers.get("Content-Type") ?? "no content type";
  return new UnexpectedReply(`${asked} was answered with ${status} and ${kind}, which is not this API`);
}
