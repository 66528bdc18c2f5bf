// What the server makes of a picture: the label, how sure it is, and what that rests on.

import { useState } from "preact/hooks";
import type { JudgedPrediction } from "../api/types";
import type { Answer } from "../state/answers";
import { add } from "../state/outbox";
import { chosen } from "../state/route";
import { task } from "../state/tasks";
import { texts } from "../texts";
import { Bar } from "./Bar";
import { Nearest } from "./Nearest";
import { Said } from "./Said";

const SCORES = 3;

export function Verdict({ prediction }: { prediction: JudgedPrediction }) {
  const { label, probability, known, nearest, labels } = prediction;
  const scores = Object.entries(prediction.scores)
    .sort(([, one], [, other]) => other - one) // Labels such as "2" and "10" stand in their own order otherwise.
    .slice(0, Math.max(SCORES, labels?.length ?? 0));
  return (
    <>
      <Said label={label} probability={probability} known={known} labels={labels?.map((each) => [each, prediction.scores[each] ?? 0])} />
      {known && (
        <dl class="scores">
          {scores.map(([each, share]) => (
            <div key={each}>
              <dt>{each}</dt>
              <dd>
                <Bar share={share} />
                <span>{texts.percent(share)}</span>
              </dd>
            </div>
          ))}
        </dl>
      )}
      <Nearest nearest={nearest} known={known} />
    </>
  );
}

/** Adds a picture to the class that a person says it shows, or to none of them. */
export function Correction({ answer }: { answer: Answer }) {
  const [taught, setTaught] = useState<string | null>(null);
  if (taught !== null) return <p class="change">{texts.taught(taught)}</p>;
  const labels = [...(task.value?.classes.map((each) => each.label) ?? []), null];
  const teach = (choice: string) => {
    const label = labels[Number(choice)];
    if (!choice || label === undefined) return;
    setTaught(label ?? texts.noneOfThese);
    void add(chosen.value, [{ file: answer.file, label }]);
  };
  return (
    <label class="correction quiet">
      {texts.teachThis}
      <select value="" onChange={(event) => teach(event.currentTarget.value)}>
        <option value="">…</option>
        {labels.map((each, place) => (
          <option key={place} value={place}>
            {each ?? texts.noneOfThese}
          </option>
        ))}
      </select>
    </label>
  );
}
