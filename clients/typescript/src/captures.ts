import { type Label, labelField } from "./examples.js";
import { idempotencyKey } from "./http/idempotency.js";
import type { CallOptions, Transport } from "./http/transport.js";
import type { CapturePage, ChangedTask } from "./replies.js";

export interface CapturesOptions extends CallOptions {
  /** "most-useful" by default; "unknown" has the likeliest strangers first. */
  order?: "most-useful" | "newest" | "unknown";
  /** At most 100 entries; 20 by default. */
  limit?: number;
  /** `next_cursor` of the page before. Begin again without it once something was decided. */
  after?: string;
}

export interface ResolveOptions extends CallOptions {
  /** Ids of captures to be removed for good. */
  discard?: readonly string[];
}

/**
 * The API's captures: predictions that the server keeps, until somebody decides about them. `setCapture` says which.
 */
export class Captures {
  readonly #http: Transport;

  constructor(http: Transport) {
    this.#http = http;
  }

  /** A page of the review queue, judged anew by the active version. */
  list(
    task: string,
    { order = "most-useful", limit = 20, after, ...options }: CapturesOptions = {},
  ): Promise<CapturePage> {
    const params = { path: { task }, query: { order, limit, after: after ?? null } };
    return this.#http.send((api, each) => api.GET("/v1/tasks/{task}/captures", { params, ...each }), options);
  }

  /** The image of a capture, byte for byte as it was sent. */
  image(task: string, capture: string, options?: CallOptions): Promise<Blob> {
    const request = { params: { path: { task, capture } }, parseAs: "blob" } as const;
    return this.#http.send(
      (api, each) => api.GET("/v1/tasks/{task}/captures/{capture}/image", { ...request, ...each }),
      options,
    );
  }

  /**
   * Carries out all decisions, or none. Labelled captures become examples of one new version.
   *
   * @param labels the class of each capture, by its id; null if it is of none of the classes. In a task of several
   *   labels an image, the list of them.
   */
  resolve(
    task: string,
    labels: Readonly<Record<string, Label>>,
    { discard = [], ...options }: ResolveOptions = {},
  ): Promise<ChangedTask> {
    const decisions = [
      ...Object.entries(labels).map(([capture, label]) => ({ captures: [capture], ...labelField(label) })),
      ...(discard.length ? [{ captures: [...discard], discard: true }] : []),
    ];
    const request = { params: { path: { task }, header: idempotencyKey() }, body: { decisions } };
    return this.#http.send(
      (api, each) => api.POST("/v1/tasks/{task}/captures/resolve", { ...request, ...each }),
      options,
    );
  }
}
