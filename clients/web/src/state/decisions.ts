// Decisions about captured pictures that the server does not have yet. The browser keeps them, so that neither a reload nor a lost
// connection loses one.

import { computed, signal } from "@preact/signals";
import type { Decision } from "../api/types";
import { newKey } from "./retrying";
import { chosen } from "./route";

/** The decisions of one request, which are carried out once however often they are sent. */
export interface Batch {
  key: string;
  decisions: Decision[];
}

export interface Kept {
  /** Those that can still be taken back. */
  decisions: Decision[];
  /** Those that were sent and are not answered yet. */
  batches: Batch[];
}

const NONE: Kept = { decisions: [], batches: [] };
const PREFIX = "headstart decisions ";

const byTask = signal<ReadonlyMap<string, Kept>>(new Map());

/** Those about the chosen task. */
export const kept = computed(() => (chosen.value ? of(chosen.value) : NONE));

/** Ids of the captures that they are about. */
export const decided = computed(() => new Set(all(kept.value).flatMap((each) => each.captures)));

export const all = (of: Kept): Decision[] => [...of.batches.flatMap((batch) => batch.decisions), ...of.decisions];

export function of(task: string): Kept {
  return byTask.value.get(task) ?? read(task);
}

export function decide(task: string, decision: Decision): void {
  const now = of(task);
  write(task, { ...now, decisions: [...now.decisions, decision] });
}

/** Takes back the latest decision. Returns whether there was one. */
export function takeBack(task: string): boolean {
  const now = of(task);
  write(task, { ...now, decisions: now.decisions.slice(0, -1) });
  return now.decisions.length > 0;
}

/** Makes requests of what was decided, each about so many captures at most. */
export function close(task: string, most: number): void {
  const now = of(task);
  const batches: Batch[] = [];
  let room = 0;
  for (const decision of now.decisions) {
    for (let captures = decision.captures; captures.length; ) {
      if (room === 0) {
        batches.push({ key: newKey(), decisions: [] });
        room = most;
      }
      batches.at(-1)?.decisions.push({ ...decision, captures: captures.slice(0, room) });
      const taken = Math.min(room, captures.length);
      captures = captures.slice(taken);
      room -= taken;
    }
  }
  write(task, { decisions: [], batches: [...now.batches, ...batches] });
}

/** Removes a request that was carried out. */
export function settle(task: string, key: string): void {
  const now = of(task);
  write(task, { ...now, batches: now.batches.filter((batch) => batch.key !== key) });
}

/** Makes decisions again of what the server refused, and of what would follow it. */
export function giveBack(task: string, key: string): void {
  const now = of(task);
  if (now.batches.some((batch) => batch.key === key)) write(task, { decisions: all(now), batches: [] });
}

/** Forgets decisions about captures that are there no more. Returns about how many. */
export function drop(task: string, isGone: (capture: string) => boolean): number {
  const now = of(task);
  const decisions = now.decisions
    .map((each) => ({ ...each, captures: each.captures.filter((capture) => !isGone(capture)) }))
    .filter((each) => each.captures.length);
  write(task, { ...now, decisions });
  const count = (some: Decision[]) => some.reduce((sum, each) => sum + each.captures.length, 0);
  return count(now.decisions) - count(decisions);
}

/** Forgets those about a task that is deleted. */
export function forget(task: string): void {
  write(task, NONE);
}

function write(task: string, now: Kept): void {
  byTask.value = new Map(byTask.value).set(task, now);
  try {
    if (all(now).length) localStorage.setItem(PREFIX + task, JSON.stringify(now));
    else localStorage.removeItem(PREFIX + task);
  } catch {
    // The browser keeps nothing for pages. They last until the page is closed.
  }
}

function read(task: string): Kept {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + task) ?? "null") ?? NONE;
  } catch {
    return NONE;
  }
}

// Another window of this browser decides about the same pictures.
addEventListener("storage", (event) => {
  const task = event.key?.startsWith(PREFIX) ? event.key.slice(PREFIX.length) : null;
  if (task) byTask.value = new Map(byTask.value).set(task, read(task));
});
