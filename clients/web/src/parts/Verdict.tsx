// What the server makes of a picture: the label, how sure it is, and what that rests on.

import { useState } from "preact/hooks";
import { imageAddress } from "../api/calls";
import type { JudgedPrediction } from "../api/types";
import type { Answer } from "../state/answers";
import { add } from "../state/outbox";
import { chosen } from "../state/route";
import { task } from "../state/tasks";
import { texts } from "../texts";
import { Bar } from "./Bar";
import { Picture } from "./Picture";

const SCORES = 3;

export function Verdict({ prediction }: { prediction: JudgedPrediction }) {
  const id = chosen.value ?? "";
  const scores = Object.entries(prediction.scores).slice(0, SCORES);
  return (
    <>
      <div>
        <p class={`label ${prediction.known ? "" : "unknown"}`}>
          {prediction.known ? prediction.label : texts.noneOfThese}
        </p>
        <p class="quiet">{prediction.known ? texts.sure(prediction.probability) : texts.likest(prediction.label)}</p>
      </div>
      {prediction.known && (
        <dl class="scores">
          {scores.map(([label, share]) => (
            <div key={label}>
              <dt>{label}</dt>
              <dd>
                <Bar share={share} />
                <span>{texts.percent(share)}</span>
              </dd>
            </div>
          ))}
        </dl>
      )}
      <div class="nearest">
        <p class="quiet">{prediction.known ? texts.because : texts.nearest}</p>
        <ul>
          {prediction.nearest.map((each) => (
            <li key={each.example}>
              <Picture source={each.image && imageAddress(id, each.example)} alt={each.file_name ?? each.label} />
              <span>{each.label}</span>
            </li>
          ))}
        </ul>
      </div>
    </>
  );
}

/** Adds a picture to the class that a person says it shows. */
export function Correction({ answer }: { answer: Answer }) {
  const [taught, setTaught] = useState<string | null>(null);
  if (taught !== null) return <p class="change">{texts.taught(taught)}</p>;
  const teach = (label: string) => {
    if (!label) return;
    setTaught(label);
    void add(chosen.value, [{ file: answer.file, label }]);
  };
  return (
    <label class="correction quiet">
      {texts.teachThis}
      <select value="" onChange={(event) => teach(event.currentTarget.value)}>
        <option value="">…</option>
        {task.value?.classes.map((each) => (
          <option key={each.label} value={each.label}>
            {each.label}
          </option>
        ))}
      </select>
    </label>
  );
}
