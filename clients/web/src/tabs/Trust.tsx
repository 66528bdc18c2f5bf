// How good the task is, class by class and version by version.

import type { Quality } from "../api/types";
import { Bar } from "../parts/Bar";
import { Compare } from "../parts/Compare";
import { Confusions } from "../parts/Confusions";
import { Reliability } from "../parts/Reliability";
import { Accuracy } from "../parts/Status";
import { Versions } from "../parts/Versions";
import { quality, several } from "../state/tasks";
import { texts } from "../texts";

export function Trust() {
  const known = quality.value;
  return (
    <>
      <section class="card section">
        <h2>{texts.trustTitle}</h2>
        <Accuracy />
        {known && <p>{known.advice}</p>}
      </section>
      {known && <Classes known={known} />}
      {known && known.judged > 0 && !several.value && <Confusions known={known} />}
      {known && <Reliability bins={known.reliability} />}
      <Versions />
      {!several.value && <Compare />}
    </>
  );
}

function Classes({ known }: { known: Quality }) {
  return (
    <section class="card section">
      <h2>{texts.perClass}</h2>
      <dl class="classes">
        {known.classes.map((each) => (
          <div key={each.label}>
            <dt>{each.label}</dt>
            <dd>
              {each.accuracy === null ? (
                <span class="quiet">{texts.classNotJudged(each.examples)}</span>
              ) : (
                <>
                  <Bar share={each.accuracy} interval={each.interval} />
                  <span class="quiet">
                    {texts.classRight(each.recognised, each.judged)}
                    {each.interval && `; ${texts.probably(each.interval)}`}
                  </span>
                </>
              )}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
