// Examples whose class looked wrong and that a person found to be right. The browser keeps their ids.

import { computed, signal } from "@preact/signals";
import { chosen } from "./route";

const PREFIX = "headstart confirmed ";

const byTask = signal<ReadonlyMap<string, string[]>>(new Map());

/** Ids of those of the chosen task. */
export const confirmed = computed(() => new Set(chosen.value ? of(chosen.value) : []));

export function confirm(example: string): void {
  const task = chosen.value;
  if (task) write(task, [...new Set([...of(task), ...read(task), example])]); // with those of another window
}

/** Forgets those of a task that is deleted. */
export const unconfirm = (task: string) => write(task, []);

const of = (task: string) => byTask.value.get(task) ?? read(task);

function write(task: string, examples: string[]): void {
  byTask.value = new Map(byTask.value).set(task, examples);
  try {
    if (examples.length) localStorage.setItem(PREFIX + task, JSON.stringify(examples));
    else localStorage.removeItem(PREFIX + task);
  } catch {
    // The browser keeps nothing for pages. They last until the page is closed.
  }
}

function read(task: string): string[] {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + task) ?? "[]");
  } catch {
    return [];
  }
}
