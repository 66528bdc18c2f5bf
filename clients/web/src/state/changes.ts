// What a person can do to the chosen task beside teaching it.

import { computed } from "@preact/signals";
import * as api from "../api/calls";
import type { CaptureSettingReply } from "../api/types";
import { unconfirm } from "./confirmed";
import { forget } from "./decisions";
import { attempt } from "./failures";
import { go } from "./route";
import { changed, left, news, put, task, tasks, versions } from "./tasks";

/** The version that undoing returns to; null where there is none. */
export const previous = computed(() => {
  const now = task.value;
  if (!now || !versions.value) return null;
  const there = versions.value.map((each) => each.version);
  const way = left.get(now.id)?.filter((each) => there.includes(each)) ?? [];
  return way.at(-1) ?? there.find((each) => each < now.version) ?? null;
});

/** Returns to the version before. Returns whether it succeeded. */
export async function undo(): Promise<boolean> {
  const to = previous.value;
  const now = task.value;
  if (!to || !now) return false;
  const isDone = await activate(to);
  if (isDone) left.set(now.id, (left.get(now.id) ?? []).slice(0, -1));
  return isDone;
}

export const activate = (version: number) =>
  onTask(async (id) => {
    put(await api.activate(id, version));
    news.value = null;
  });

export const relabel = (example: string, label: string) =>
  onTask(async (id) => changed(await api.relabel(id, example, label), 0));

export const remove = (example: string) => onTask(async (id) => changed(await api.removeExample(id, example), 0));

/** Sets which of the pictures that it is asked about are kept for review. */
export const keep = (kind: CaptureSettingReply["keep"]) => onTask(async (id) => put(await api.keep(id, kind)));

export const rename = (name: string) => onTask(async (id) => put(await api.rename(id, name)));

export const deleteTask = () =>
  onTask(async (id) => {
    await api.deleteTask(id);
    forget(id);
    unconfirm(id);
    tasks.value = (tasks.value ?? []).filter((each) => each.id !== id);
    go(tasks.value[0]?.id ?? null, "teach");
  });

/** Does something to the chosen task, and tells of its failure. Returns whether it succeeded. */
function onTask(work: (id: string) => Promise<unknown>): Promise<boolean> {
  const now = task.value;
  return now ? attempt(() => work(now.id)) : Promise.resolve(false);
}
