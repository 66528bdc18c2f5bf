// Pictures that were asked about, and what the server answered.

import { effect, signal } from "@preact/signals";
import * as api from "../api/calls";
import type { JudgedPrediction } from "../api/types";
import { shrunk } from "../images/shrink";
import { texts } from "../texts";
import { said } from "./failures";
import { nextId } from "./items";
import { add } from "./outbox";
import { chosen } from "./route";
import { limits } from "./tasks";

export interface Answer {
  id: number;
  file: File;
  preview: string;
  prediction: JudgedPrediction | null;
  failed: string | null;
  /** The class that it was added to, since the answer was wrong; null while nobody said so. */
  taught: string | null;
}

const AT_ONCE = 16; // images of a request: enough for the server to work at its best, few enough to see the first soon

/** The latest first. */
export const answers = signal<Answer[]>([]);

effect(() => {
  chosen.value; // Another task would answer otherwise.
  clear();
});

export function clear(): void {
  for (const answer of answers.peek()) URL.revokeObjectURL(answer.preview);
  answers.value = [];
}

/** Asks the chosen task about pictures. */
export async function ask(files: File[]): Promise<void> {
  const task = chosen.value;
  if (!task) return;
  const nothing = { prediction: null, failed: null, taught: null };
  const asked = files.map((file) => ({ id: nextId(), file, preview: URL.createObjectURL(file), ...nothing }));
  answers.value = [...asked, ...answers.value];
  const many = Math.min(AT_ONCE, limits.value?.images ?? 1);
  for (let first = 0; first < asked.length; first += many) {
    if (chosen.value !== task) return;
    await askSome(task, asked.slice(first, first + many));
  }
}

/** Adds a picture to the class that a person says it shows, or with null to none of them. */
export function teach(answer: Answer, label: string | null): void {
  put(answer, { taught: label ?? texts.noneOfThese });
  void add(chosen.value, [{ file: answer.file, label }]);
}

async function askSome(task: string, asked: Answer[]): Promise<void> {
  try {
    const images = await Promise.all(asked.map((each) => shrunk(each.file)));
    const { predictions } = await api.predict(task, images);
    predictions.forEach((found, position) => {
      const failed = "error" in found;
      put(asked[position], failed ? { failed: found.error.detail } : { prediction: found });
    });
  } catch (error) {
    for (const each of asked) put(each, { failed: said(error) });
  }
}

function put(asked: Answer | undefined, found: Partial<Answer>): void {
  answers.value = answers.value.map((each) => (each.id === asked?.id ? { ...each, ...found } : each));
}
