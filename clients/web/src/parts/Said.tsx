// What the server takes a picture for, and how sure it is.

import { texts } from "../texts";

interface Properties {
  label: string;
  probability: number;
  known: boolean;
  /** All that apply, of a task with several labels an image, with the probability of each. */
  labels?: [string, number][] | undefined;
}

export function Said({ label, probability, known, labels }: Properties) {
  const all = labels?.map(([each]) => each) ?? [label];
  const sure = all.length > 1 ? labels?.map(([each, share]) => `${each} ${texts.percent(share)}`).join(", ") : texts.sure(probability);
  return (
    <div>
      <p class={`label ${known ? "" : "unknown"}`}>{known ? all.join(", ") : texts.noneOfThese}</p>
      <p class="quiet">{known ? sure : texts.likest(label)}</p>
    </div>
  );
}
