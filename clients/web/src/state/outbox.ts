// Pictures taken in, made smaller, and sent.

import { shrunk } from "../images/shrink";
import { texts } from "../texts";
import { deliver } from "./delivery";
import { type Item, items, loose, nextBatch, nextId, progress, refuse, settle } from "./items";
import { limits } from "./tasks";

/** A picture with its class; null for none of the classes. */
export interface Labelled {
  file: File;
  label: string | null;
}

const AT_ONCE = 4; // photographs that are made smaller: browsers decode beside the page

let preparing = 0;
let stopping = new AbortController();
let isDelivering = false;

/** Takes pictures for a task; null for the one to be created. They are sent together once all are small enough. */
export async function add(task: string | null, labelled: Labelled[]): Promise<void> {
  const { signal } = stopping;
  const ready: Item[] = [];
  const most = limits.value?.image_bytes ?? Infinity;
  let done = 0;
  const prepare = async ({ file, label }: Labelled, place: number) => {
    progress.value = { step: "preparing", images: labelled.length, share: done / labelled.length };
    const image = await shrunk(file);
    done++;
    if (signal.aborted) return;
    if (image.size > most) refuse(file.name, texts.tooLarge(most));
    else ready[place] = { id: nextId(), task, label, name: file.name, image, preview: URL.createObjectURL(image) };
  };
  preparing++;
  try {
    await eachOf(labelled, AT_ONCE, prepare, signal);
    if (signal.aborted) return;
    items.value = [...items.value, ...ready.filter(Boolean)];
  } finally {
    if (--preparing === 0 && !isDelivering) progress.value = null;
  }
  await send();
}

/** Does the work for each entry, for a few at once, until it is stopped. */
async function eachOf<Entry>(
  entries: Entry[],
  atOnce: number,
  work: (entry: Entry, place: number) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const left = entries.entries();
  const one = async () => {
    for (const [place, entry] of left) {
      if (signal.aborted) return;
      await work(entry, place);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, one));
}

/** Gives up what has not been sent. What the server has acknowledged stays. */
export function cancel(): void {
  stopping.abort();
  stopping = new AbortController();
  settle(items.value);
}

/** Sends what waits, in as few requests as the server's limits allow. */
async function send(): Promise<void> {
  if (isDelivering) return;
  isDelivering = true;
  try {
    while (!preparing && limits.value) {
      const batch = nextBatch(limits.value);
      if (!batch.length) break;
      await deliver(batch, stopping.signal);
    }
  } finally {
    isDelivering = false;
    if (!preparing) progress.value = null;
  }
}

addEventListener("beforeunload", (event) => {
  if (items.value.length || loose.value.length) event.preventDefault(); // The browser asks whether to leave.
});
