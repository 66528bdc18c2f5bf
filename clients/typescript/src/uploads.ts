// Sends labelled images in one request, because each request makes a version.

import { InvalidImage, NoImages, RequestTooLarge } from "./errors.js";
import type { Label, Labelled } from "./examples.js";
import { type IdempotencyKey, idempotencyKey } from "./http/idempotency.js";
import { formBytes, load, type Loaded } from "./images.js";
import { DEFAULT_LIMITS, type Limits } from "./limits.js";
import type { ChangedTask } from "./replies.js";

const LABEL_BYTES = 600; // of one of several labels, with what separates them
const NAMED = 10; // labels or images in a message
const ONE_VERSION =
  "Each request makes a version, so nothing was sent. Give fewer, and add the others in a second call";

/** Called with the name of an image that cannot be read (its path or file name if it has one) and the reason. */
export type Broken = (name: string, detail: string) => void;

/** Options of the calls that send examples. */
export interface ExampleOptions {
  /**
   * Lets an image have any number of labels: the label of a pair may be a list. Equal images are sent once, with all
   * labels.
   */
  severalLabels?: boolean;
  /** Called for every image that cannot be read; the image is left out. Without it, such an image is an error. */
  broken?: Broken;
}

/** The fields of a form with examples. */
export interface ExampleForm {
  images?: File[];
  labels?: string[];
  negatives?: File[];
  label_mode?: "multiple";
}

/** Sends a form, and returns the task after that. The same form with the same key is done once. */
export type Post = (form: ExampleForm, key: IdempotencyKey) => Promise<ChangedTask>;

interface Labelling extends Loaded {
  label: Label;
}

export class Upload {
  readonly #given: readonly Labelled[];
  readonly #several: boolean;
  readonly #broken: Broken | undefined;

  /**
   * @param limits returns the server's limits; called only for more than a server takes by default
   * @throws TypeError if an image has a list of labels, and an image may not have several
   */
  constructor(
    given: readonly Labelled[],
    { severalLabels = false, broken }: ExampleOptions,
    readonly limits: () => Promise<Limits>,
  ) {
    if (!severalLabels && given.some(([label]) => Array.isArray(label))) {
      throw new TypeError("examples: a list of labels is for tasks of several labels an image; set severalLabels");
    }
    // Negatives are the last in a form, and the server counts its images in this order.
    this.#given = [...given.filter(([label]) => label !== null), ...given.filter(([label]) => label === null)];
    this.#several = severalLabels;
    this.#broken = broken;
  }

  /**
   * Sends the examples by `post`, and returns the task after that.
   *
   * @throws NoImages if there are no examples, or none of a class that can be read
   * @throws RequestTooLarge if they are more than the server takes in one request
   * @throws InvalidImage if some of them cannot be read; the detail names them
   */
  async send(post: Post): Promise<ChangedTask> {
    const images = await this.#load();
    try {
      return await post(this.#form(images), idempotencyKey());
    } catch (error) {
      if (!(error instanceof InvalidImage) || !error.images.length) throw error;
      const unreadable = new Map(error.images.map(({ position, detail }) => [images[position]!, detail]));
      if (!this.#broken || unreadable.size === images.length) {
        throw new InvalidImage(
          error,
          someOf([...unreadable].map(([{ name }, detail]) => `${name}: ${detail}`)),
          error.images,
        );
      }
      for (const [{ name }, detail] of unreadable) this.#broken(name, detail);
      const readable = images.filter((image) => !unreadable.has(image));
      const taught = classes(readable);
      const untaught = [...classes(images)].filter((label) => !taught.has(label));
      if (untaught.length) throw new NoImages(`no image of ${someOf(untaught.sort())} can be read`);
      return post(this.#form(readable), idempotencyKey());
    }
  }

  async #load(): Promise<Labelling[]> {
    const count = this.#given.length;
    if (!count) throw new NoImages("no images were given");
    let images: Labelling[] = [];
    for (const [position, [label, image]] of this.#given.entries()) {
      images.push({ ...(await load(image, position)), label: this.#several ? listOf(label) : label });
    }
    if (this.#several) images = await merged(images);
    const bytes = images.reduce((sum, image) => sum + sizeOf(image), 0);
    if (images.length <= DEFAULT_LIMITS.new_examples && bytes <= DEFAULT_LIMITS.body_bytes) return images;
    const limits = await this.limits();
    if (images.length > limits.new_examples) {
      throw new RequestTooLarge(
        `${images.length} examples are more than the ${limits.new_examples} that the server takes in one request. ` +
          `${ONE_VERSION}, or start the server with a larger --queue-images.`,
      );
    }
    if (bytes > limits.body_bytes) {
      const [size, most] = [bytes, limits.body_bytes].map((each) => `${(each / 1e6).toFixed(1)} MB`);
      throw new RequestTooLarge(
        `${images.length} examples take ${size}; the server takes ${most} in one request. ` +
          `${ONE_VERSION}, or start the server with a larger --max-body-bytes.`,
      );
    }
    return images;
  }

  #form(images: readonly Labelling[]): ExampleForm {
    const [positive, negative] = [
      images.filter(({ label }) => label !== null),
      images.filter(({ label }) => label === null),
    ];
    return {
      ...(positive.length && {
        images: positive.map(({ file }) => file),
        labels: positive.map(({ label }) => asText(label)),
      }),
      ...(negative.length && { negatives: negative.map(({ file }) => file) }),
      ...(this.#several && { label_mode: "multiple" }),
    };
  }
}

const listOf = (label: Label): readonly string[] => (label === null ? [] : typeof label === "string" ? [label] : label);

/** The text of a form that carries a label, or as JSON several labels. */
const asText = (label: Label): string => (typeof label === "string" ? label : JSON.stringify(label));

const sizeOf = (image: Labelling): number =>
  formBytes(image) + (typeof image.label === "string" || image.label === null ? 0 : image.label.length * LABEL_BYTES);

/** The classes that images have; what is none of them counts as one. */
const classes = (images: readonly Labelling[]): Set<string> =>
  new Set(images.flatMap(({ label }) => (label === null ? ["none of the classes"] : listOf(label))));

/** The images, each once, with all the labels that its copies have, of a task of several labels an image. */
async function merged(images: readonly Labelling[]): Promise<Labelling[]> {
  const found = new Map<string, Labelling>();
  for (const image of images) {
    const bytes = new Uint8Array(await image.file.arrayBuffer());
    const key = new TextDecoder("latin1").decode(bytes); // equal for equal bytes only
    const labels = new Set([...listOf(found.get(key)?.label ?? null), ...listOf(image.label)]);
    found.set(key, { ...(found.get(key) ?? image), label: [...labels] });
  }
  return [...found.values()];
}

function someOf(texts: readonly string[]): string {
  const more = texts.length > NAMED ? ` and ${texts.length - NAMED} more` : "";
  return texts.slice(0, NAMED).join("; ") + more;
}
