// What the server takes a picture for, and how sure it is.

import { texts } from "../texts";

interface Properties {
  label: string;
  probability: number;
  known: boolean;
  /** All that apply, of a task with several labels an image. */
  labels?: string[] | null | undefined;
}

export function Said({ label, probability, known, labels }: Properties) {
  return (
    <div>
      <p class={`label ${known ? "" : "unknown"}`}>{known ? (labels ?? [label]).join(", ") : texts.noneOfThese}</p>
      <p class="quiet">{known ? texts.sure(probability) : texts.likest(label)}</p>
    </div>
  );
}
