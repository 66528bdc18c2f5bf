// Pictures that it was asked about, pictures whose class looks wrong, and pictures that are there twice.

import { imageAddress } from "../api/calls";
import type { DuplicateReply, SuspectReply } from "../api/types";
import { Picture } from "../parts/Picture";
import { Review } from "../parts/Review";
import { relabel, remove } from "../state/changes";
import { confirm, confirmed } from "../state/confirmed";
import { examples, quality, several, task } from "../state/tasks";
import { texts } from "../texts";

const LIKE = 3; // pictures of the class that a suspect resembles
const SHOWN = 20;

export function Improve() {
  if (several.value) return <p class="notice">{texts.taughtByApi}</p>;
  return (
    <>
      <Review />
      <Doubts />
    </>
  );
}

/** What looks wrong among the examples. */
function Doubts() {
  const known = quality.value;
  if (!known) return <p class="quiet">{texts.measuring}</p>;
  const suspects = known.suspects.filter((each) => !confirmed.value.has(each.example));
  return (
    <>
      <div class="lead">
        <h2>{texts.suspectsTitle}</h2>
        <p class="quiet">{suspects.length ? texts.suspectsLead : texts.noSuspects}</p>
      </div>
      {suspects.slice(0, SHOWN).map((each) => (
        <Suspect key={each.example} suspect={each} />
      ))}
      <div class="lead">
        <h2>{texts.duplicatesTitle}</h2>
        <p class="quiet">{known.duplicates.length ? texts.duplicatesLead : texts.noDuplicates}</p>
      </div>
      {known.duplicates.slice(0, SHOWN).map((each) => (
        <Duplicate key={`${each.example} ${each.of}`} pair={each} />
      ))}
    </>
  );
}

function Suspect({ suspect }: { suspect: SuspectReply }) {
  const like = (examples.value ?? []).filter((each) => each.label === suspect.suggested).slice(0, LIKE);
  return (
    <article class="card suspect">
      <figure>
        <Example id={suspect.example} alt={suspect.file_name ?? suspect.label} />
        <figcaption>{texts.isNow(suspect.label)}</figcaption>
      </figure>
      <figure class="wide">
        <div class="three">
          {like.map((each) => (
            <Example key={each.id} id={each.id} alt={each.file_name ?? suspect.suggested} />
          ))}
        </div>
        <figcaption>{texts.looksLike(suspect.suggested)}</figcaption>
      </figure>
      <div class="row">
        <button type="button" onClick={() => relabel(suspect.example, suspect.suggested)}>
          {texts.move(suspect.suggested)}
        </button>
        <button type="button" onClick={() => confirm(suspect.example)}>
          {texts.keep(suspect.label)}
        </button>
        <button type="button" onClick={() => remove(suspect.example)}>
          {texts.removeIt}
        </button>
      </div>
    </article>
  );
}

function Duplicate({ pair }: { pair: DuplicateReply }) {
  const sameClass = pair.label === pair.of_label;
  return (
    <article class="card suspect pair">
      <figure>
        <Example id={pair.of} alt={pair.of_file_name ?? pair.of_label} />
        <figcaption>{pair.of_label}</figcaption>
      </figure>
      <figure>
        <Example id={pair.example} alt={pair.file_name ?? pair.label} />
        <figcaption>{pair.label}</figcaption>
      </figure>
      <div class="row">
        {sameClass ? (
          <button type="button" onClick={() => remove(pair.example)}>
            {texts.removeCopy}
          </button>
        ) : (
          [
            [pair.of, pair.of_label] as const,
            [pair.example, pair.label] as const,
          ].map(([id, label]) => (
            <button type="button" key={id} onClick={() => remove(id)}>
              {texts.removeFrom(label)}
            </button>
          ))
        )}
      </div>
    </article>
  );
}

function Example({ id, alt }: { id: string; alt: string }) {
  const now = task.value;
  const isKept = examples.value?.find((each) => each.id === id)?.image_kept ?? true;
  return <Picture source={now && isKept ? imageAddress(now.id, id) : null} alt={alt} />;
}
