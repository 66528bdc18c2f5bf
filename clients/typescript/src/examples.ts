// The forms in which callers give labelled images.

import { labelledFolder } from "#platform";
import { checkedImage, type Image, isIterable, kindOf, oneOrMany } from "./images.js";

/**
 * The class of an image; null says that it is of none of them. In a task of several labels an image it may be the list
 * of its labels.
 */
export type Label = string | readonly string[] | null;

/** Images by label, or [label, image] pairs; in Node also the path of a folder that has a folder for each class. */
export type Examples =
  string | Readonly<Record<string, Image | Iterable<Image>>> | Iterable<readonly [label: Label, image: Image]>;

export type Labelled = [label: Label, image: Image];

/** Examples in any form as [label, image] pairs. Throws a TypeError that says where they are in no such form. */
export async function labelled(examples: Examples): Promise<Labelled[]> {
  if (typeof examples === "string") return labelledFolder(examples);
  if (isIterable(examples)) return Array.from(examples, (example, position) => pair(`examples[${position}]`, example));
  if (typeof examples !== "object" || examples === null) {
    throw new TypeError(`examples: images by label, or [label, image] pairs, not ${kindOf(examples)}`);
  }
  return Object.entries(examples).flatMap(([label, images]) =>
    oneOrMany(`examples[${JSON.stringify(label)}]`, images).map((image): Labelled => [label, image]),
  );
}

/** The field of a JSON body that says the label of an image, or where it may have several the list of them. */
export const labelField = (label: Label): { label: string | null } | { labels: string[] } =>
  label === null || typeof label === "string" ? { label } : { labels: [...label] };

function pair(argument: string, example: unknown): Labelled {
  if (!Array.isArray(example) || example.length !== 2) {
    throw new TypeError(`${argument}: a [label, image] pair, not ${kindOf(example)}`);
  }
  const [label, image] = example as [unknown, unknown];
  if (!isLabel(label)) throw new TypeError(`${argument}: a label is text, not ${kindOf(label)}`);
  return [label, checkedImage(argument, image)];
}

const isLabel = (label: unknown): label is Label =>
  label === null ||
  typeof label === "string" ||
  (Array.isArray(label) && label.every((each) => typeof each === "string"));
