// One request with pictures, sent until the server has answered it.

import * as api from "../api/calls";
import { Refused } from "../api/http";
import type { ChangedTaskReply } from "../api/types";
import { texts } from "../texts";
import { said } from "./failures";
import { type Item, adopt, progress, refuse, settle } from "./items";
import { newKey, untilAnswered } from "./retrying";
import { changed, refresh } from "./tasks";

/** Sends a batch of one task. Settles what was stored, and what was refused with its reason; the rest stays in the outbox. */
export async function deliver(batch: Item[], signal: AbortSignal): Promise<void> {
  const task = batch[0]?.task ?? null;
  try {
    const reply = await send(task, batch, signal);
    if (task === null) adopt(reply.id);
    changed(reply, batch.length);
    settle(batch);
  } catch (error) {
    if (!signal.aborted) drop(batch, error);
    else await refresh(); // The server may have stored them nevertheless.
  }
}

/** Repeats the same request with the same key until it is answered, and tells how far it is. */
function send(task: string | null, batch: Item[], signal: AbortSignal): Promise<ChangedTaskReply> {
  const form = formOf(task, batch);
  const key = newKey();
  const tell = (step: "sending" | "retrying", share: number | null) =>
    (progress.value = { step, images: batch.length, share });
  const attempt = () => {
    tell("sending", 0);
    return api.teach(task, form, key, signal, (share) => tell("sending", share));
  };
  return untilAnswered(attempt, () => tell("retrying", null), signal);
}

function formOf(task: string | null, batch: Item[]): FormData {
  const form = new FormData();
  if (task === null) form.append("name", texts.newName([...new Set(batch.flatMap((item) => item.label ?? []))]));
  for (const { image, name, label } of batch) {
    form.append(label === null ? "negatives" : "images", image, name);
    if (label !== null) form.append("labels", label);
  }
  return form;
}

/** Takes the pictures out that the server named, so that the others go again without them; all, where it named none. */
function drop(batch: Item[], error: unknown): void {
  const named = new Map(error instanceof Refused ? error.images.map((each) => [each.position, each.detail]) : []);
  const dropped = named.size ? batch.filter((_, position) => named.has(position)) : batch;
  for (const item of dropped) refuse(item.name, named.get(batch.indexOf(item)) ?? said(error));
  settle(dropped);
}
