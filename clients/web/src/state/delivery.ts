// One request with pictures, sent until the server has answered it.

import * as api from "../api/calls";
import { Refused, Unreachable } from "../api/http";
import type { ChangedTaskReply } from "../api/types";
import { texts } from "../texts";
import { said } from "./failures";
import { type Item, adopt, progress, refuse, settle } from "./items";
import { changed, refresh } from "./tasks";

const LONGEST_WAIT = 4; // seconds between attempts

/** Sends a batch of one task. Settles what was stored, and what was refused with its reason; the rest stays in the outbox. */
export async function deliver(batch: Item[], signal: AbortSignal): Promise<void> {
  const task = batch[0]?.task ?? null;
  try {
    const reply = await untilAnswered(task, batch, signal);
    if (task === null) adopt(reply.id);
    changed(reply, batch.length);
    settle(batch);
  } catch (error) {
    if (!signal.aborted) drop(batch, error);
    else await refresh(); // The server may have stored them nevertheless.
  }
}

/** Repeats the same request with the same key while the server cannot be reached or asks to wait. */
async function untilAnswered(task: string | null, batch: Item[], signal: AbortSignal): Promise<ChangedTaskReply> {
  const form = formOf(task, batch);
  const key = newKey();
  const tell = (step: "sending" | "retrying", share: number | null) =>
    (progress.value = { step, images: batch.length, share });
  for (let wait = 0.5; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    try {
      tell("sending", 0);
      return await api.teach(task, form, key, signal, (share) => tell("sending", share));
    } catch (error) {
      const asked = error instanceof Refused ? error.retryAfter : null;
      if (signal.aborted || (asked === null && !(error instanceof Unreachable))) throw error;
      tell("retrying", null);
      await pause(asked ?? wait, signal);
    }
  }
}

function formOf(task: string | null, batch: Item[]): FormData {
  const form = new FormData();
  if (task === null) form.append("name", texts.newName([...new Set(batch.map((item) => item.label))]));
  for (const item of batch) {
    form.append("images", item.image, item.name);
    form.append("labels", item.label);
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

/** Waits, but not beyond the moment when the network is back or the work is given up. */
function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      done();
    };
    const timer = setTimeout(end, 1000 * seconds);
    addEventListener("online", end);
    signal.addEventListener("abort", end, { once: true });
  });
}

/** A key that nobody else has. `crypto.randomUUID` is there on https and this machine only. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
