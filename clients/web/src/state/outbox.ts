// Pictures taken in, made smaller, and sent.

import { shrunk } from "../images/shrink";
import { texts } from "../texts";
import { deliver } from "./delivery";
import { type Item, items, nextBatch, nextId, progress, refuse, settle } from "./items";
import { limits } from "./tasks";

/** A picture with its class. */
export interface Labelled {
  file: File;
  label: string;
}

let preparing = 0;
let stopping = new AbortController();
let isDelivering = false;

/** Takes pictures for a task; null for the one to be created. They are sent together once all are small enough. */
export async function add(task: string | null, labelled: Labelled[]): Promise<void> {
  const { signal } = stopping;
  const ready: Item[] = [];
  preparing++;
  try {
    for (const { file, label } of labelled) {
      progress.value = { step: "preparing", images: labelled.length, share: ready.length / labelled.length };
      const image = await shrunk(file);
      if (signal.aborted) return;
      const most = limits.value?.image_bytes ?? Infinity;
      if (image.size > most) refuse(file.name, texts.tooLarge(most));
      else ready.push({ id: nextId(), task, label, name: file.name, image, preview: URL.createObjectURL(image) });
    }
    items.value = [...items.value, ...ready];
  } finally {
    if (--preparing === 0 && !isDelivering) progress.value = null;
  }
  await send();
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
  if (items.value.length) event.preventDefault(); // The browser asks whether to leave.
});
