/**
 * All errors that the client itself throws:
 *
 *     HeadstartError
 *     ├── NoImages            an empty list, or a folder or class without images; nothing was sent
 *     ├── RequestTooLarge     more examples than the server takes in one request; nothing was sent
 *     ├── ServerUnreachable   no answer: nothing listens, or the connection broke
 *     ├── UnexpectedReply     something answered that does not speak this API
 *     │   └── ProxyError      a proxy or gateway in front of the server answered in its place
 *     ├── UnreadableImages    `checked` was given predictions with images that the server could not read
 *     └── ApiError            the server refused the request; `code` says why
 *         └── InvalidImage    an image is broken, too large or of an unsupported format
 *
 * An argument of the wrong kind is a `TypeError`, an aborted call throws the reason of its signal, and a file that
 * cannot be opened is an error of Node's.
 */

import type { Problem } from "./replies.js";

/** Base of all errors of the client. */
export class HeadstartError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** The call lacks images that it needs; nothing was sent. */
export class NoImages extends HeadstartError {}

/** The examples of a call are more than the server takes in one request; nothing was sent. */
export class RequestTooLarge extends HeadstartError {}

/** No reply came; the server may or may not have carried out the request. */
export class ServerUnreachable extends HeadstartError {}

/** Something answered that does not speak this API: another service, a proxy, a server of another version. */
export class UnexpectedReply extends HeadstartError {}

/** A proxy or gateway in front of the server answered in its place. The message says what to do. */
export class ProxyError extends UnexpectedReply {
  constructor(
    /** HTTP status of its reply. */
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Some images of a prediction could not be read. */
export class UnreadableImages extends HeadstartError {
  constructor(
    /** The server's reason for each, by the image's position in the call. */
    readonly details: ReadonlyMap<number, string>,
  ) {
    super([...details].map(([position, detail]) => `image ${position + 1}: ${detail}`).join("; "));
  }
}

/** The server refused the request. */
export class ApiError extends HeadstartError {
  constructor(
    /** HTTP status of the reply. */
    readonly status: number,
    /** Stable, for programs: `task_not_found`, for example. The documentation of the API lists them. */
    readonly code: string,
    /** For people. */
    readonly detail: string,
    /** Identifies the request in the server's log. */
    readonly requestId: string | undefined,
    /** Seconds to wait before another try; undefined if the server does not say. */
    readonly retryAfter: number | undefined,
  ) {
    super(`${detail} (${code})`);
  }
}

/** An image of a refused request, by its position from 0. */
export interface BrokenImage {
  position: number;
  code: string;
  detail: string;
}

/** Some of the images are broken, too large or of an unsupported format. */
export class InvalidImage extends ApiError {
  constructor(
    refusal: ApiError,
    detail: string,
    /** The refused ones; empty if the server does not say. */
    readonly images: readonly BrokenImage[],
  ) {
    super(refusal.status, refusal.code, detail, refusal.requestId, refusal.retryAfter);
  }
}

const OF_IMAGES = new Set(["image_broken", "image_unsupported", "image_too_large"]);

/** The error for an `application/problem+json` body; undefined if it is none. */
export function apiError(status: number, body: unknown, retryAfter: number | undefined): ApiError | undefined {
  const problem = body as Partial<Problem> | null | undefined;
  if (typeof problem?.code !== "string" || typeof problem.detail !== "string") return undefined;
  const error = new ApiError(status, problem.code, problem.detail, problem.request_id, retryAfter);
  return OF_IMAGES.has(error.code) ? new InvalidImage(error, error.detail, problem.images ?? []) : error;
}
