// The forms in which callers give images, and how images are cut into requests.

import { readImage } from "#platform";
import { NoImages } from "./errors.js";

/** A File or Blob, or the bytes of an image file (a Buffer, for example); in Node also the path of one. */
export type Image = Blob | ArrayBuffer | ArrayBufferView | string;

/** An image as it is sent. */
export interface Loaded {
  /** Its path or file name, or else its place in the call. */
  name: string;
  file: File;
}

const KINDS = "an image is a File, a Blob, bytes, or in Node a path";
const NO_NAME = "."; // A part of a form needs a file name; the server takes this for none.
const PART_BYTES = 1000; // of a form: the headers around an image, and its label of at most 128 characters

/** The most bytes that an image takes in a form. */
export const formBytes = (image: Loaded): number => PART_BYTES + image.file.size;

/** The image, or a TypeError that names the argument. */
export function checkedImage(argument: string, image: unknown): Image {
  if (isImage(image)) return image;
  throw new TypeError(`${argument}: ${KINDS}, not ${kindOf(image)}`);
}

/** The images as a list; a single one becomes a list of one. Throws a TypeError for what is none. */
export function oneOrMany(argument: string, images: unknown): Image[] {
  if (isImage(images)) return [images];
  if (!isIterable(images)) throw new TypeError(`${argument}: ${KINDS}, or several of these, not ${kindOf(images)}`);
  return Array.from(images, (image, position) => checkedImage(`${argument}[${position}]`, image));
}

export const isIterable = (value: unknown): value is Iterable<unknown> =>
  typeof value === "object" && value !== null && Symbol.iterator in value;

export const kindOf = (value: unknown): string =>
  value === null ? "null" : typeof value === "object" ? (value.constructor?.name ?? "an object") : typeof value;

/** Reads an image of a call, from its path if it has one. */
export async function load(image: Image, position: number): Promise<Loaded> {
  if (typeof image === "string") return { name: image, file: await readImage(image) };
  const name = image instanceof File && image.name;
  if (name) return { name, file: image };
  return { name: `image ${position + 1}`, file: new File([image as BlobPart], NO_NAME) };
}

/**
 * Reads images and cuts them, in their order, into requests of limited size. An image above `mostBytes` goes alone.
 *
 * @throws NoImages if there are none
 */
export async function* inRequests(
  images: readonly Image[],
  mostImages: number,
  mostBytes: number,
): AsyncGenerator<Loaded[]> {
  if (!images.length) throw new NoImages("no images were given");
  let batch: Loaded[] = [];
  let size = 0;
  for (const [position, image] of images.entries()) {
    const loaded = await load(image, position);
    if (batch.length && (batch.length === mostImages || size + formBytes(loaded) > mostBytes)) {
      yield batch;
      [batch, size] = [[], 0];
    }
    batch.push(loaded);
    size += formBytes(loaded);
  }
  yield batch;
}

/** The fields of an object as a form; those of a list are sent one after the other under the same name. */
export function asForm(fields: object): FormData {
  const form = new FormData();
  for (const [name, values] of Object.entries(fields) as [string, string | Blob | readonly (string | Blob)[]][]) {
    for (const value of Array.isArray(values) ? values : [values]) form.append(name, value);
  }
  return form;
}

function isImage(image: unknown): image is Image {
  return (
    typeof image === "string" || image instanceof Blob || image instanceof ArrayBuffer || ArrayBuffer.isView(image)
  );
}
