// The options of the client and of its calls.

import type { CallOptions } from "./http/transport.js";
import type { HeadOptions } from "./replies.js";
import type { ExampleOptions } from "./uploads.js";

export interface ClientOptions {
  /** The key of a server that asks for one; in Node by default the environment's `HEADSTART_TOKEN`. */
  token?: string;
  /** Sent with every request. */
  headers?: Record<string, string>;
}

export interface PredictManyOptions extends CallOptions {
  /** How many labels the scores of each image hold, the most probable first. */
  topK?: number;
  /** "judge" also finds images that are of none of a task's classes, and the examples nearest to each image. */
  unknown?: "judge" | "ignore";
  /** Called after every request, with how many more images are done. */
  progress?: (images: number) => void;
}

export interface PredictOptions extends PredictManyOptions {
  /** "transductive" judges the images of each request together, "inductive" each image alone. */
  mode?: "inductive" | "transductive";
  /** True has the server keep each image with its prediction, for `correct`; false has it capture none. */
  remember?: boolean;
  /** Adds to each prediction the `set` of labels that holds the right one so often, such as 0.9. */
  coverage?: number;
}

export type AddOptions = ExampleOptions & CallOptions;

export interface TaskOptions extends ExampleOptions, CallOptions {
  /** For fitting the last layer; fields left out come from the backbone's defaults. */
  options?: HeadOptions;
  /** Names of classes, which need no image where the backbone of new tasks reads text: then the examples may be []. */
  classes?: readonly string[];
}

export interface ExampleListOptions extends CallOptions {
  /** True for only the images of none of the classes, false for only the others. */
  negatives?: boolean;
}

export interface EventOptions extends CallOptions {
  /** `next` of the page before; by default the oldest event there is. "latest" has no events, but a `next`. */
  after?: string;
  /** At most 1000 events; 100 by default. */
  limit?: number;
}
