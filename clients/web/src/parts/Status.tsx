// What the chosen task can do now, what the last change did to it, and the way back.

import { useEffect, useState } from "preact/hooks";
import { previous, undo } from "../state/changes";
import { go } from "../state/route";
import { news, quality, several, task } from "../state/tasks";
import { texts } from "../texts";
import { Bar } from "./Bar";

export function Status() {
  const now = task.value;
  if (!now) return null;
  const pictures = now.classes.reduce((sum, each) => sum + each.examples, 0);
  const answering = several.value
    ? texts.answeringSeveral(now.version, now.classes.length)
    : texts.answering(now.version, now.classes.length, pictures, now.negatives);
  return (
    <section class="card status" aria-label={answering}>
      <div role="status" class="status-text">
        <p>{answering}</p>
        <Accuracy />
        <LastChange />
      </div>
      <div class="row">
        {previous.value !== null && (
          <button type="button" aria-label={texts.undoTo(previous.value)} onClick={undo}>
            {texts.undo}
          </button>
        )}
        <button type="button" class="main" onClick={() => go(now.id, "ask")}>
          {texts.askNow}
        </button>
      </div>
    </section>
  );
}

export function Accuracy() {
  const known = quality.value;
  if (!known) return <p class="quiet">{texts.measuring}</p>;
  if (known.accuracy === null) {
    const { prior } = known;
    return (
      <p class="quiet">
        {texts.notJudged} {prior && texts.prior(prior.accuracy, prior.lowest, prior.highest)}
      </p>
    );
  }
  return (
    <div class="accuracy">
      <strong class="figure">{texts.accuracy(known.accuracy)}</strong>
      <Bar share={known.accuracy} interval={known.interval} />
      <span class="quiet">{texts.accuracyMeans(known.judged, known.interval)}</span>
      {known.forecast.map((each) => (
        <span key={each.factor}>{texts.forecast(each.factor, each.accuracy, each.interval)}</span>
      ))}
    </div>
  );
}

function LastChange() {
  const now = task.value;
  const last = news.value;
  const [shown, setShown] = useState("");
  const isOfThis = now !== null && last?.task === now.id && last.version === now.version;
  const accuracy = quality.value?.accuracy;
  useEffect(() => {
    if (!isOfThis) setShown("");
    else if (accuracy !== undefined) setShown(texts.change(last.added, last.before, accuracy));
  }, [last, isOfThis, accuracy]);
  return shown ? <p class="change">{shown}</p> : null;
}
