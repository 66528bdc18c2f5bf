// The review queue of the chosen task, and what comes of the decisions about it.

import { computed, effect, signal, untracked } from "@preact/signals";
import * as api from "../api/calls";
import { Refused } from "../api/http";
import type { CapturePage, CaptureReply, Decision } from "../api/types";
import { texts } from "../texts";
import { type Batch, all, close, decide, decided, drop, giveBack, kept, of, settle, takeBack } from "./decisions";
import { previous, undo } from "./changes";
import { attempt, failure, said } from "./failures";
import { untilAnswered } from "./retrying";
import { chosen } from "./route";
import { changed, limits, refresh, task, tasks } from "./tasks";

const LEAST = 10; // entries at hand, before more are read

interface Queue extends CapturePage {
  task: string;
}

/** What was read of the queue so far; null until something was. */
export const queue = signal<Queue | null>(null);
/** Entries that nothing was decided about. */
export const waiting = computed(() => {
  const read = queue.value?.task === chosen.value ? queue.value.captures : [];
  return read.filter((each) => !decided.value.has(each.id));
});
/** How many captures they are with their look-alikes, and with those that were not read yet. */
export const count = computed(() => {
  const read = queue.value;
  return read ? Math.max(0, read.total - read.duplicates - read.other_backbone - decided.value.size) : 0;
});
/** Whether decisions are on their way; `retrying` while the server cannot be reached. */
export const delivery = signal<"none" | "sending" | "retrying">("none");
/** What the last step did, in words. */
export const told = signal("");
const version = computed(() => `${chosen.value} ${task.value?.version}`);
effect(() => {
  version.value; // It was about another one.
  told.value = "";
});
/** The version that learnt from decisions last, until something else was done. */
const learnt = signal<{ task: string; version: number } | null>(null);

/** Reads the queue from its begin, as the active version judges it now. */
export async function look(): Promise<void> {
  const id = chosen.value;
  if (!id) return;
  await attempt(async () => {
    const page = await api.captures(id, null);
    if (chosen.value !== id) return;
    queue.value = { ...page, task: id };
    if (page.version !== task.value?.version) await refresh(); // Somebody else made a version meanwhile.
  });
  await fill();
}

/** Reads on, until there are entries at hand. */
async function fill(): Promise<void> {
  while (waiting.value.length < LEAST && (await more()));
}

/** Reads one more page. Returns whether there was one. */
async function more(): Promise<boolean> {
  const now = queue.value;
  if (!now?.next_cursor || now.task !== chosen.value) return false;
  return attempt(async () => {
    const page = await api.captures(now.task, now.next_cursor);
    if (queue.value === now) queue.value = { ...page, task: now.task, captures: [...now.captures, ...page.captures] };
  });
}

/** Decides about an entry and those look-alikes of it that are meant. */
export function put(entry: CaptureReply, alike: string[], judgement: { label: string | null } | { discard: true }): void {
  const id = chosen.value;
  if (!id || decided.value.has(entry.id)) return;
  decide(id, { captures: [entry.id, ...alike], ...judgement });
  learnt.value = null;
  told.value = texts.decided("label" in judgement ? (judgement.label ?? texts.noneOfThese) : null, alike.length);
  void fill();
}

/** Whether there is something to take back, and whether that is a version. */
export const undoable = computed<"decision" | "version" | null>(() => {
  if (kept.value.decisions.length) return "decision";
  const now = task.value;
  const isLast = learnt.value?.task === now?.id && learnt.value?.version === now?.version;
  return isLast && previous.value !== null ? "version" : null;
});

/** Takes back the latest decision; once they were sent, the version that learnt from them. */
export async function back(): Promise<void> {
  const id = chosen.value;
  const kind = undoable.value;
  if (!id || !kind) return;
  if (kind === "decision" && takeBack(id)) told.value = texts.takenBack;
  if (kind === "version" && (await undo())) told.value = texts.rolledBack;
}

/** Sends what was decided: one new version. */
export function learn(): void {
  const id = chosen.value;
  if (id && kept.value.decisions.length) close(id, limits.value?.new_examples ?? 1);
}

const isDelivering = new Set<string>(); // ids of tasks

// Also after a reload of the page, and what another window of this browser began.
effect(() => {
  const id = task.value?.id;
  if (id && kept.value.batches.length) untracked(() => void deliver(id));
});

/** Sends a task's closed decisions until the server has answered. */
async function deliver(id: string): Promise<void> {
  if (isDelivering.has(id)) return;
  isDelivering.add(id);
  try {
    for (let batch = of(id).batches[0]; batch; batch = of(id).batches[0]) await deliverOne(id, batch);
  } finally {
    isDelivering.delete(id);
    delivery.value = "none";
  }
}

async function deliverOne(id: string, batch: Batch): Promise<void> {
  const send = () => {
    delivery.value = "sending";
    return api.resolve(id, batch.decisions, batch.key);
  };
  try {
    const reply = await untilAnswered(send, () => (delivery.value = "retrying"));
    const before = tasks.value?.find((each) => each.id === id)?.version;
    const labelled = size(batch.decisions.filter((each) => "label" in each));
    leave(batch.decisions);
    settle(id, batch.key);
    changed(reply, labelled);
    learnt.value = labelled ? { task: id, version: reply.version } : null;
    told.value = texts.learnt(reply.version, labelled, size(batch.decisions) - labelled);
    if (reply.version === before) await look(); // Another version is looked at by itself.
  } catch (error) {
    giveBack(id, batch.key);
    if (error instanceof Refused && error.code === "capture_not_found") await sort(id);
    else failure.value = said(error);
  }
}

const size = (decisions: Decision[]) => decisions.reduce((sum, each) => sum + each.captures.length, 0);

/** Takes what was carried out from the queue as it was read. */
function leave(decisions: Decision[]): void {
  const now = queue.value;
  const done = new Set(decisions.flatMap((each) => each.captures));
  if (now) {
    queue.value = { ...now, captures: now.captures.filter((each) => !done.has(each.id)), total: now.total - done.size };
  }
}

/** Reads the queue again, and forgets decisions about what somebody else has decided about meanwhile. */
async function sort(id: string): Promise<void> {
  await look();
  const there = () => new Set(queue.value?.captures.flatMap((each) => [each.id, ...each.alike]));
  const isGone = () => all(of(id)).some((each) => each.captures.some((capture) => !there().has(capture)));
  while (isGone() && (await more()));
  if (queue.value?.task !== id) return;
  const found = there();
  told.value = texts.decidedElsewhere(drop(id, (capture) => !found.has(capture)));
}
