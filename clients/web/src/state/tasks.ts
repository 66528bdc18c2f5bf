// What the page knows of the server's tasks.

import { computed, effect, signal, untracked } from "@preact/signals";
import * as api from "../api/calls";
import type { ChangedTaskReply, ExampleReply, Limits, Quality, TaskReply, VersionReply } from "../api/types";
import { access, mayWrite } from "./access";
import { attempt } from "./failures";
import { chosen, go, isNamed } from "./route";

export const limits = signal<Limits | null>(null);
/** Newest first; null until they are known. */
export const tasks = signal<TaskReply[] | null>(null);
export const task = computed(() => tasks.value?.find((each) => each.id === chosen.value) ?? null);
/** Whether an image of the chosen task may have several labels. The sizes of its classes then sum to more than the images. */
export const several = computed(() => task.value?.labels === "multiple");

/** What is known of the chosen task's active version; each null until it is known. */
export const quality = signal<Quality | null>(null);
export const examples = signal<ExampleReply[] | null>(null);
export const versions = signal<VersionReply[] | null>(null);

/** What the last change of a task did. */
export interface News {
  task: string;
  version: number;
  added: number;
  before: number | null;
}
export const news = signal<News | null>(null);

/** By task, the versions that were active before the one that is now, the latest last. */
export const left = new Map<string, number[]>();

const replied = new Map<string, Quality>(); // by task and version, as the reply that made it says
const keyOf = (each: TaskReply) => `${each.id}@${each.version}`;

export async function start(): Promise<void> {
  await attempt(async () => {
    tasks.value = null; // With another key they may be others.
    access.value = await api.ownKey();
    limits.value = await api.limits();
    const known = joined(await api.allTasks());
    tasks.value = known;
    if (!isNamed() || (chosen.value && !task.value)) go(known[0]?.id ?? null);
  });
}

/** The tasks of the first list, and those that were put while it was on its way, which are newer. */
function joined(listed: TaskReply[]): TaskReply[] {
  const newer = tasks.value ?? [];
  return [...newer, ...listed.filter((each) => !newer.some(({ id }) => id === each.id))];
}

/** Reads the tasks again. */
export const refresh = () => attempt(async () => (tasks.value = await api.allTasks()));

/** Takes a reply that brought a task into another version. */
export function changed(reply: ChangedTaskReply, added: number): void {
  const before = tasks.value?.find((each) => each.id === reply.id);
  if (before && before.version !== reply.version) left.set(reply.id, [...(left.get(reply.id) ?? []), before.version]);
  if (reply.quality) replied.set(keyOf(reply), reply.quality);
  const accuracy = chosen.value === reply.id ? (quality.value?.accuracy ?? null) : null;
  put(reply);
  if (!before && chosen.value === null) go(reply.id);
  news.value = { task: reply.id, version: reply.version, added, before: accuracy };
}

/** Puts a task as it is now into the list. */
export function put(reply: TaskReply): void {
  const others = tasks.value ?? [];
  const isKnown = others.some((each) => each.id === reply.id);
  tasks.value = isKnown ? others.map((each) => (each.id === reply.id ? reply : each)) : [reply, ...others];
}

let shown: TaskReply | null = null;

effect(() => {
  const now = task.value;
  if (now?.id === shown?.id && now?.version === shown?.version) return;
  if (now?.id !== shown?.id) examples.value = versions.value = null;
  quality.value = (now && replied.get(keyOf(now))) ?? null;
  shown = now;
  if (now) void untracked(() => look(now));
});

/** Reads what belongs to a task's active version, unless another was chosen meanwhile. */
async function look(now: TaskReply): Promise<void> {
  await attempt(async () => {
    const isShown = () => shown && keyOf(shown) === keyOf(now);
    if (!mayWrite.value) return; // Nothing of this is for such a key.
    const [page, history] = await Promise.all([api.examples(now.id), api.versions(now.id)]);
    if (!isShown()) return;
    examples.value = page.examples;
    versions.value = history.versions;
    const judged = replied.get(keyOf(now)) ?? (await api.quality(now.id)); // which may take seconds
    if (isShown()) quality.value = judged;
  });
}
