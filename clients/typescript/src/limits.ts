// The server's limits of one request.

import { ApiError, UnexpectedReply } from "./errors.js";
import type { CallOptions, Transport } from "./http/transport.js";
import type { Limits as Reply } from "./replies.js";

export type Limits = Pick<Reply, "body_bytes" | "images" | "new_examples">;

/** The limits of a server with default settings. */
export const DEFAULT_LIMITS: Limits = { body_bytes: 64_000_000, images: 256, new_examples: 1024 };

/** The limits of one server, asked for once: to ask before every call would cost each a round trip. */
export class ServerLimits {
  readonly #http: Transport;
  #known: Limits | undefined;

  constructor(http: Transport) {
    this.#http = http;
  }

  /** The limits; the defaults if the server is too old to say. */
  async ask(options: CallOptions): Promise<Limits> {
    return (this.#known ??= await this.#ask(options));
  }

  async #ask(options: CallOptions): Promise<Limits> {
    try {
      return await this.#http.send<Reply>((api, each) => api.GET("/v1/limits", each), options);
    } catch (error) {
      if (error instanceof UnexpectedReply || (error instanceof ApiError && error.status === 404)) {
        return DEFAULT_LIMITS;
      }
      throw error;
    }
  }
}
