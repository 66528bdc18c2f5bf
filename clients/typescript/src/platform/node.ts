// The environment and files, in Node.

import { readdir, readFile } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { env } from "node:process";
import { NoImages } from "../errors.js";

// Wider than what the server reads: a GIF should be refused by name rather than left out.
const IMAGES = /^\.(avif|bmp|gif|heic|heif|hif|jfif|jpe|jpeg|jpg|png|tif|tiff|webp)$/i;

/** A variable of the environment; undefined where it is empty. */
export const environment = (name: string): string | undefined => env[name] || undefined;

/** An image file, with its name. */
export async function readImage(path: string): Promise<File> {
  return new File([await readFile(path)], basename(path));
}

/**
 * Reads a folder that has a folder for each class: `birds/robin/1.jpg` is an example of `robin`. Hidden files, and
 * files that are no images by their names, are left out.
 *
 * @returns label and path of each image, by path
 * @throws NoImages if the folder has no folders, or one of them has no images
 */
export async function labelledFolder(path: string): Promise<[label: string, path: string][]> {
  const classes = (await visible(path)).filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  if (!classes.length) {
    throw new NoImages(`${path} has no folders; it needs one for each class, with the images of that class inside`);
  }
  const examples: [string, string][] = [];
  for (const label of classes) {
    const images = (await visible(join(path, label))).filter((entry) => IMAGES.test(extname(entry.name)));
    if (!images.length) throw new NoImages(`${join(path, label)} holds no images`);
    examples.push(...images.map((entry): [string, string] => [label, join(path, label, entry.name)]));
  }
  return examples;
}

/** The entries of a folder that are not hidden, by name. */
async function visible(folder: string) {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries.filter((entry) => !entry.name.startsWith(".")).sort((one, other) => (one.name < other.name ? -1 : 1));
}
