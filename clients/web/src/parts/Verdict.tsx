// What the server makes of a picture: the label, how sure it is, and what that rests on.

import type { JudgedPrediction } from "../api/types";
import { type Answer, teach } from "../state/answers";
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

/** Asks what a picture shows, where the answer is wrong. */
export function Correction({ answer }: { answer: Answer }) {
  if (answer.taught !== null) return <p class="change">{texts.taught(answer.taught)}</p>;
  const labels = [...(task.value?.classes.map((each) => each.label) ?? []), null];
  const choose = (choice: string) => {
    const label = labels[Number(choice)];
    if (choice && label !== undefined) teach(answer, label);
  };
  return (
    <label class="correction quiet">
      {texts.teachThis}
      <select value="" onChange={(event) => choose(event.currentTarget.value)}>
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
