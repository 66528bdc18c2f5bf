// Pictures on their way to the server, and how far they are.

import { signal } from "@preact/signals";
import type { Limits } from "../api/types";

export interface Item {
  id: number;
  /** The task that it is for; null for the one to be created. */
  task: string | null;
  /** Null for a picture of none of the classes. */
  label: string | null;
  name: string;
  image: Blob;
  /** An address for `<img>`, until the picture has left. */
  preview: string;
}

export interface RefusedItem {
  id: number;
  name: string;
  reason: string;
}

/** How far the pictures are. `share` is from 0 to 1; null while the server cannot be reached. */
export interface Progress {
  step: "preparing" | "sending" | "retrying";
  images: number;
  share: number | null;
}

/** None leaves before the server has acknowledged it or refused it. */
export const items = signal<Item[]>([]);
export const refused = signal<RefusedItem[]>([]);
export const progress = signal<Progress | null>(null);

/** Classes of the pictures that wait for a task; null for the one to be created. */
export const labelsOf = (task: string | null) => [
  ...new Set(items.value.filter((item) => item.task === task).flatMap((item) => item.label ?? [])),
];

/** Classes that were named and may have no picture yet. */
export const named = signal<{ task: string | null; label: string }[]>([]);

/** Pictures whose class a person has not said yet. */
export const loose = signal<{ task: string | null; file: File }[]>([]);

let count = 0;
export const nextId = () => ++count;

/** Removes items that are done with. */
export function settle(done: Item[]): void {
  const ids = new Set(done.map((item) => item.id));
  for (const item of done) URL.revokeObjectURL(item.preview);
  items.value = items.value.filter((item) => !ids.has(item.id));
}

export function refuse(name: string, reason: string): void {
  refused.value = [...refused.value, { id: nextId(), name, reason }];
}

/** Once the task is created, what waits belongs to it. */
export function adopt(task: string): void {
  items.value = items.value.map((item) => (item.task === null ? { ...item, task } : item));
  named.value = named.value.map((each) => (each.task === null ? { ...each, task } : each));
  loose.value = loose.value.map((each) => (each.task === null ? { ...each, task } : each));
}

/**
 * The next items for one task that fit into one request; none for a new task until it has two classes. Those of no class are the
 * last, as the server counts them.
 */
export function nextBatch(limits: Limits): Item[] {
  const draftLabels = labelsOf(null);
  const ready = items.value.filter((item) => item.task !== null || draftLabels.length > 1);
  const batch: Item[] = [];
  let bytes = 0;
  for (const item of inTurn(ready.filter((each) => each.task === ready[0]?.task))) {
    bytes += item.image.size + 1000; // with the headers of its parts
    if (batch.length && (bytes > 0.95 * limits.body_bytes || batch.length >= limits.new_examples)) break;
    batch.push(item);
  }
  return batch.sort((one, other) => Number(one.label === null) - Number(other.label === null));
}

/** The first item of each class, then the second of each, and so on: a request that cannot hold all has some of every class. */
function inTurn(of: Item[]): Item[] {
  const seen = new Map<string | null, number>();
  const turns = of.map((item) => {
    const turn = seen.get(item.label) ?? 0;
    seen.set(item.label, turn + 1);
    return { item, turn };
  });
  return turns.sort((one, other) => one.turn - other.turn).map(({ item }) => item);
}
