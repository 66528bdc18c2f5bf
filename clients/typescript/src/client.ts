// The client: a method for everything the API does with tasks, and an object each for backbones, captures and
// refreshes.

import { environment } from "#platform";
import { Backbones } from "./backbones.js";
import { Captures } from "./captures.js";
import { type Examples, type Label, labelField, labelled } from "./examples.js";
import { checkedAddress, requestHeaders } from "./http/address.js";
import { idempotencyKey } from "./http/idempotency.js";
import { pages } from "./http/pages.js";
import { type CallOptions, Transport } from "./http/transport.js";
import { asForm, checkedImage, type Image, load } from "./images.js";
import { ServerLimits } from "./limits.js";
import type * as calls from "./options.js";
import { Queries } from "./queries.js";
import { Refreshes } from "./refreshes.js";
import type * as replies from "./replies.js";
import { type Post, Upload } from "./uploads.js";

const DEFAULT_URL = "http://127.0.0.1:8000";

/**
 * A client of one Headstart server.
 *
 * A prediction of more images than the server takes at once is sent as several requests. A request that fails because a
 * connection broke, the server was busy or a quota of the minute was used up is tried again a few times, and is never
 * carried out twice.
 */
export class Client {
  readonly url: string;
  readonly backbones: Backbones;
  readonly captures: Captures;
  readonly refreshes: Refreshes;
  readonly #http: Transport;
  readonly #limits: ServerLimits;
  readonly #queries: Queries;

  /**
   * @param url the server's address; in Node by default the environment's `HEADSTART_URL`, else this machine's port
   *   8000
   * @throws TypeError if the address, the token or a header is malformed
   */
  constructor(url?: string, { token, headers = {} }: calls.ClientOptions = {}) {
    this.url = checkedAddress(url ?? environment("HEADSTART_URL") ?? DEFAULT_URL);
    const authenticates = Object.keys(headers).some((name) => name.toLowerCase() === "authorization");
    const key = token ?? (authenticates ? undefined : environment("HEADSTART_TOKEN"));
    this.#http = new Transport(this.url, requestHeaders(key, headers));
    this.#limits = new ServerLimits(this.#http);
    this.#queries = new Queries(this.#http, this.#limits);
    this.backbones = new Backbones(this.#http);
    this.captures = new Captures(this.#http);
    this.refreshes = new Refreshes(this.#http);
  }

  /** True if a server is there and able to serve; tries once. */
  ready({ signal }: CallOptions = {}): Promise<boolean> {
    return this.#http.ready(signal);
  }

  /** Whose key the client sends, and what it allows. */
  key(options?: CallOptions): Promise<replies.Key> {
    return this.#http.send((api, each) => api.GET("/v1/key", each), options);
  }

  /** The quotas of the client's tenant and key, and how much of each is used. */
  async quotas(options?: CallOptions): Promise<replies.Quota[]> {
    return (await this.#http.send<replies.Limits>((api, each) => api.GET("/v1/limits", each), options)).quotas;
  }

  /**
   * Makes a classifier from labelled images. All are sent in one request, which makes one version.
   *
   * @param name of the task; null calls it by its id
   * @throws NoImages, RequestTooLarge, InvalidImage, TypeError
   */
  async createTask(
    name: string | null,
    examples: Examples,
    { options: head, classes = [], ...options }: calls.TaskOptions = {},
  ): Promise<replies.ChangedTask> {
    const fields = {
      ...(name !== null && { name }),
      ...(head && { options: JSON.stringify(head) }),
      ...(classes.length && { classes: JSON.stringify(classes) }),
    };
    if (classes.length && Array.isArray(examples) && !examples.length) {
      const request = { params: { header: idempotencyKey() }, body: fields, bodySerializer: asForm };
      return this.#http.send((api, each) => api.POST("/v1/tasks", { ...request, ...each }), options);
    }
    return this.#upload(examples, options, (form, header) => {
      const request = { params: { header }, body: { ...fields, ...form }, bodySerializer: asForm };
      return this.#http.send((api, each) => api.POST("/v1/tasks", { ...request, ...each }), options);
    });
  }

  /** Makes a task from a zip: one that `archive` returned, or any with a folder per class. */
  async createFromArchive(name: string | null, archive: Image, options?: CallOptions): Promise<replies.ChangedTask> {
    const { file } = await load(checkedImage("archive", archive), 0);
    const body = { ...(name !== null && { name }), archive: file };
    const request = { params: { header: idempotencyKey() }, body, bodySerializer: asForm };
    return this.#http.send((api, each) => api.POST("/v1/tasks", { ...request, ...each }), options);
  }

  /**
   * Adds examples of existing or new classes, or of none, in one request, which makes one version.
   *
   * @throws NoImages, RequestTooLarge, InvalidImage, TypeError
   */
  async addExamples(task: string, examples: Examples, options: calls.AddOptions = {}): Promise<replies.ChangedTask> {
    return this.#upload(examples, options, (form, header) => {
      const request = { params: { path: { task }, header }, body: form, bodySerializer: asForm };
      return this.#http.send((api, each) => api.POST("/v1/tasks/{task}/examples", { ...request, ...each }), options);
    });
  }

  /** Makes a version without this example. */
  removeExample(task: string, example: string, options?: CallOptions): Promise<replies.Task> {
    return this.#withoutExample(task, example, false, options);
  }

  /** Removes an example for good, with every version that was fitted with it, and makes a version without it active. */
  forgetExample(task: string, example: string, options?: CallOptions): Promise<replies.Task> {
    return this.#withoutExample(task, example, true, options);
  }

  /** Makes a version in which an example has another label, or null for none. The example gets a new id there. */
  relabelExample(task: string, example: string, label: Label, options?: CallOptions): Promise<replies.ChangedTask> {
    const request = { params: { path: { task, example } }, body: labelField(label) };
    return this.#http.send(
      (api, each) => api.PATCH("/v1/tasks/{task}/examples/{example}", { ...request, ...each }),
      options,
    );
  }

  /**
   * Predicts the labels of images, in their order.
   *
   * @throws InvalidImage if the only image cannot be read; among others it is an entry with an `error`
   * @throws NoImages if there are none
   */
  async predict(
    task: string,
    images: Image | Iterable<Image>,
    options: calls.PredictOptions = {},
  ): Promise<replies.Predictions> {
    return this.#queries.predict(task, images, options);
  }

  /**
   * Predicts the labels of images by several tasks, at little more than the cost of one task.
   *
   * @param tasks ids, or "all". In a call of several requests, "all" means the tasks that answered the first.
   * @throws InvalidImage, NoImages as `predict`
   */
  async predictMany(
    tasks: "all" | readonly string[],
    images: Image | Iterable<Image>,
    options: calls.PredictManyOptions = {},
  ): Promise<replies.ManyPredictions> {
    return this.#queries.predictMany(tasks, images, options);
  }

  /** All tasks, the newest first, fetched page by page. */
  tasks(options?: CallOptions): AsyncGenerator<replies.Task, void, undefined> {
    return pages(async (cursor) => {
      const params = { query: { cursor } };
      const page = await this.#http.send<replies.TaskPage>(
        (api, each) => api.GET("/v1/tasks", { params, ...each }),
        options,
      );
      return { ...page, items: page.tasks };
    });
  }

  /** One task. */
  task(task: string, options?: CallOptions): Promise<replies.Task> {
    return this.#http.send(
      (api, each) => api.GET("/v1/tasks/{task}", { params: { path: { task } }, ...each }),
      options,
    );
  }

  /** Gives a task another name; its id stays. */
  rename(task: string, name: string, options?: CallOptions): Promise<replies.Task> {
    return this.#change(task, { name }, options);
  }

  /** Makes a version the active one, which answers: an older one, which rolls back, or a newer one. */
  activate(task: string, version: number, options?: CallOptions): Promise<replies.Task> {
    return this.#change(task, { active_version: version }, options);
  }

  /** Sets which predictions of a task are kept for review; what is left out stays as it is. */
  setCapture(task: string, capture: replies.CaptureOptions, options?: CallOptions): Promise<replies.Task> {
    return this.#change(task, { capture }, options);
  }

  /**
   * Makes the image of a remembered or captured prediction an example of a class, existing or new, in a new version.
   * With null it is of none of the classes.
   */
  correct(task: string, prediction: string, label: Label, options?: CallOptions): Promise<replies.ChangedTask> {
    const request = {
      params: { path: { task }, header: idempotencyKey() },
      body: { prediction, ...labelField(label) },
    };
    return this.#http.send((api, each) => api.POST("/v1/tasks/{task}/corrections", { ...request, ...each }), options);
  }

  /** Removes a task with all its versions and images. */
  async delete(task: string, options?: CallOptions): Promise<void> {
    const params = { path: { task } };
    await this.#http.delete((api, each) => api.DELETE("/v1/tasks/{task}", { params, ...each }), options);
  }

  /** The examples of the active version, the oldest first, fetched page by page. */
  examples(
    task: string,
    { negatives, ...options }: calls.ExampleListOptions = {},
  ): AsyncGenerator<replies.Example, void, undefined> {
    return pages(async (cursor) => {
      const params = { path: { task }, query: { cursor, negatives: negatives ?? null } };
      const page = await this.#http.send<replies.ExamplePage>(
        (api, each) => api.GET("/v1/tasks/{task}/examples", { params, ...each }),
        options,
      );
      return { ...page, items: page.examples };
    });
  }

  /** An example's image, byte for byte as it was sent. */
  exampleImage(task: string, example: string, options?: CallOptions): Promise<Blob> {
    const request = { params: { path: { task, example } }, parseAs: "blob" } as const;
    return this.#http.send(
      (api, each) => api.GET("/v1/tasks/{task}/examples/{example}/image", { ...request, ...each }),
      options,
    );
  }

  /** The active version as a zip with a folder per class, from which `createFromArchive` makes it again. */
  archive(task: string, options?: CallOptions): Promise<Blob> {
    const request = { params: { path: { task } }, parseAs: "blob" } as const;
    return this.#http.send((api, each) => api.GET("/v1/tasks/{task}/archive", { ...request, ...each }), options);
  }

  /** The active version as a safetensors file, with which `headstart score` works without the server. */
  classifier(task: string, options?: CallOptions): Promise<Blob> {
    const request = { params: { path: { task } }, parseAs: "blob" } as const;
    return this.#http.send((api, each) => api.GET("/v1/tasks/{task}/classifier", { ...request, ...each }), options);
  }

  /**
   * Judges the active version by its own examples, and finds suspicious ones. Takes seconds for thousands of examples.
   */
  quality(task: string, options?: CallOptions): Promise<replies.Quality> {
    const params = { path: { task } };
    return this.#http.send((api, each) => api.GET("/v1/tasks/{task}/quality", { params, ...each }), options);
  }

  /**
   * Tries solvers, options and backbones on the examples of the active version, and changes nothing.
   *
   * @param candidates null tries every solver and the other open backbones; fields that a candidate leaves out stay as
   *   they are
   */
  compare(
    task: string,
    candidates: replies.Candidate[] | null = null,
    options?: CallOptions,
  ): Promise<replies.Comparison> {
    const request = { params: { path: { task } }, body: { candidates } };
    return this.#http.send((api, each) => api.POST("/v1/tasks/{task}/compare", { ...request, ...each }), options);
  }

  /** All versions of a task, the newest first. */
  async versions(task: string, options?: CallOptions): Promise<replies.Version[]> {
    const params = { path: { task } };
    const page = await this.#http.send<replies.VersionPage>(
      (api, each) => api.GET("/v1/tasks/{task}/versions", { params, ...each }),
      options,
    );
    return page.versions;
  }

  /** Events tell what happened to tasks, in that order. The answer comes at once: ask again after a while. */
  events({ after, limit = 100, ...options }: calls.EventOptions = {}): Promise<replies.EventPage> {
    const params = { query: { limit, after: after ?? null } };
    return this.#http.send((api, each) => api.GET("/v1/events", { params, ...each }), options);
  }

  #change(task: string, body: replies.TaskPatch, options?: CallOptions): Promise<replies.Task> {
    const request = { params: { path: { task } }, body };
    return this.#http.send((api, each) => api.PATCH("/v1/tasks/{task}", { ...request, ...each }), options);
  }

  async #withoutExample(task: string, example: string, forget: boolean, options?: CallOptions): Promise<replies.Task> {
    const request = { params: { path: { task, example }, query: { forget } } };
    const reply = await this.#http.delete<replies.Task>(
      (api, each) => api.DELETE("/v1/tasks/{task}/examples/{example}", { ...request, ...each }),
      options,
    );
    return reply ?? this.task(task, options);
  }

  async #upload(examples: Examples, options: calls.AddOptions, post: Post): Promise<replies.ChangedTask> {
    return new Upload(await labelled(examples), options, () => this.#limits.ask(options)).send(post);
  }
}
