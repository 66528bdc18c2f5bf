// Sends the images of predictions, in as few requests as the server's limits allow.

import { ApiError, InvalidImage } from "./errors.js";
import type { Transport } from "./http/transport.js";
import { asForm, type Image, inRequests, oneOrMany } from "./images.js";
import { joined, joinedMany } from "./joining.js";
import { DEFAULT_LIMITS, type ServerLimits } from "./limits.js";
import type { PredictManyOptions, PredictOptions } from "./options.js";
import type { ManyPredictions, Predictions } from "./replies.js";

const TASKS_SHARE = 64; // One 64th of a body is kept free for the ids of many tasks.

type Images = Image | Iterable<Image>;

export class Queries {
  readonly #http: Transport;
  readonly #limits: ServerLimits;

  constructor(http: Transport, limits: ServerLimits) {
    this.#http = http;
    this.#limits = limits;
  }

  /** The predictions of one task: see `Client.predict`. */
  predict(task: string, images: Images, options: PredictOptions): Promise<Predictions> {
    const { topK, unknown = "judge", mode = "inductive", remember, coverage } = options;
    const query = { top_k: topK ?? null, unknown, mode, remember: remember ?? null, coverage: coverage ?? null };
    const params = { path: { task }, query };
    const ask = (files: File[]) =>
      this.#http.send<Predictions>((api, each) => {
        const body = { images: files };
        return api.POST("/v1/tasks/{task}/predict", { params, body, bodySerializer: asForm, ...each });
      }, options);
    return this.#inBatches(images, options, ask, joined);
  }

  /** The predictions of several tasks: see `Client.predictMany`. */
  predictMany(tasks: "all" | readonly string[], images: Images, options: PredictManyOptions): Promise<ManyPredictions> {
    const { topK = 1, unknown = "ignore" } = options;
    const params = { query: { top_k: topK, unknown } };
    let asked = tasks === "all" ? [tasks] : [...tasks];
    const ask = async (files: File[]) => {
      const body = { images: files, tasks: [asked.join(",")] };
      const reply = await this.#http.send<ManyPredictions>(
        (api, each) => api.POST("/v1/predict", { params, body, bodySerializer: asForm, ...each }),
        options,
      );
      if (reply.results.length) asked = reply.results.map((result) => result.task); // "all" stays what it was
      return reply;
    };
    return this.#inBatches(images, options, ask, joinedMany);
  }

  async #inBatches<Reply>(
    given: Images,
    { progress, ...options }: PredictManyOptions,
    ask: (files: File[]) => Promise<Reply>,
    join: (outcomes: (Reply | InvalidImage)[]) => Reply,
  ): Promise<Reply> {
    const images = oneOrMany("images", given);
    const limits = images.length > 1 ? await this.#limits.ask(options) : DEFAULT_LIMITS;
    const room = limits.body_bytes - Math.floor(limits.body_bytes / TASKS_SHARE);
    const outcomes: (Reply | InvalidImage)[] = [];
    let first = "";
    for await (const batch of inRequests(images, limits.images, room)) {
      first ||= batch[0]!.name;
      const files = batch.map((image) => image.file);
      outcomes.push(batch.length > 1 ? await ask(files) : await ask(files).catch(refusal));
      progress?.(batch.length);
    }
    try {
      return join(outcomes);
    } catch (error) {
      throw error instanceof InvalidImage ? new InvalidImage(error, `${first}: ${error.detail}`, error.images) : error;
    }
  }
}

/** The refusal of a request's only image; throws any other error. */
function refusal(error: unknown): InvalidImage {
  if (error instanceof InvalidImage) return error;
  if (!(error instanceof ApiError) || error.code !== "body_too_large") throw error;
  return new InvalidImage(error, error.detail, [{ position: 0, code: error.code, detail: error.detail }]);
}
