import { idempotencyKey } from "./http/idempotency.js";
import { pages } from "./http/pages.js";
import type { CallOptions, Transport } from "./http/transport.js";
import type { Refresh, RefreshedTask, RefreshedTaskPage, RefreshPage } from "./replies.js";

export interface RefreshOptions extends CallOptions {
  /**
   * A task stays where it is if its accuracy would fall by more than this; 0.02 by default. A task with one example a
   * class tells no accuracy: it moves only if both bundles' evaluations favour the move. At 1 all tasks move.
   */
  maxDrop?: number;
}

/** The API's refreshes: moves of tasks onto another bundle. The server works on them whether or not anybody watches. */
export class Refreshes {
  readonly #http: Transport;

  constructor(http: Transport) {
    this.#http = http;
  }

  /** Has the server move tasks, ids or "all", onto a bundle, `name@version`, and answers at once. */
  start(
    to: string,
    tasks: "all" | readonly string[] = "all",
    { maxDrop = 0.02, ...options }: RefreshOptions = {},
  ): Promise<Refresh> {
    const body = { to, tasks: tasks === "all" ? tasks : [...tasks], max_drop: maxDrop };
    const request = { params: { header: idempotencyKey() }, body };
    return this.#http.send((api, each) => api.POST("/v1/refreshes", { ...request, ...each }), options);
  }

  /** All refreshes, the newest first, fetched page by page. */
  list(options?: CallOptions): AsyncGenerator<Refresh, void, undefined> {
    return pages(async (cursor) => {
      const params = { query: { cursor } };
      const page = await this.#http.send<RefreshPage>(
        (api, each) => api.GET("/v1/refreshes", { params, ...each }),
        options,
      );
      return { ...page, items: page.refreshes };
    });
  }

  /** One refresh, with its progress. */
  get(refresh: string, options?: CallOptions): Promise<Refresh> {
    const params = { path: { refresh } };
    return this.#http.send((api, each) => api.GET("/v1/refreshes/{refresh}", { params, ...each }), options);
  }

  /** Each task of a refresh and its outcome, the oldest task first, fetched page by page. */
  tasks(refresh: string, options?: CallOptions): AsyncGenerator<RefreshedTask, void, undefined> {
    return pages(async (cursor) => {
      const params = { path: { refresh }, query: { cursor } };
      const page = await this.#http.send<RefreshedTaskPage>(
        (api, each) => api.GET("/v1/refreshes/{refresh}/tasks", { params, ...each }),
        options,
      );
      return { ...page, items: page.tasks };
    });
  }

  /** Stops moving tasks until the refresh is resumed. */
  pause(refresh: string, options?: CallOptions): Promise<Refresh> {
    return this.#change("pause", refresh, options);
  }

  /** Goes on with a paused refresh. */
  resume(refresh: string, options?: CallOptions): Promise<Refresh> {
    return this.#change("resume", refresh, options);
  }

  /** Stops moving tasks for good. Tasks that were moved stay so; `rollback` can return them. */
  cancel(refresh: string, options?: CallOptions): Promise<Refresh> {
    return this.#change("cancel", refresh, options);
  }

  /** Has the server return every task that a refresh moved, and answers at once. Examples changed since stay so. */
  rollback(refresh: string, options?: CallOptions): Promise<Refresh> {
    return this.#change("rollback", refresh, options);
  }

  #change(
    action: "pause" | "resume" | "cancel" | "rollback",
    refresh: string,
    options?: CallOptions,
  ): Promise<Refresh> {
    const params = { path: { refresh } };
    return this.#http.send((api, each) => api.POST(`/v1/refreshes/{refresh}/${action}`, { params, ...each }), options);
  }
}
