// One class, or the pictures of none: how well they are recognised, and ways to add to them.

import { imageAddress } from "../api/calls";
import type { Found } from "../images/dropped";
import { remove } from "../state/changes";
import { items } from "../state/items";
import { add } from "../state/outbox";
import { chosen } from "../state/route";
import { examples, quality, task } from "../state/tasks";
import { texts } from "../texts";
import { Bar } from "./Bar";
import { DropZone } from "./DropZone";
import { FileButton } from "./FileButton";
import { Picture } from "./Picture";

const SHOWN = 11;

interface Properties {
  /** Null for pictures of none of the classes. */
  label: string | null;
  onCamera?: () => void;
}

export function Basket({ label, onCamera }: Properties) {
  const title = label ?? texts.noneOfThese;
  const now = task.value;
  const waiting = items.value.filter((item) => item.task === chosen.value && item.label === label);
  const known = (now && examples.value?.filter((each) => each.label === label)) || [];
  const learnt = (label === null ? now?.negatives : now?.classes.find((each) => each.label === label)?.examples) ?? 0;
  const count = learnt + waiting.length;
  const shown = known.slice(-Math.max(0, SHOWN - waiting.length)).reverse();
  const hidden = count - Math.min(waiting.length, SHOWN) - shown.length;
  const take = (found: Found[]) => add(chosen.value, found.map(({ file }) => ({ file, label })));
  return (
    <DropZone label={texts.addPicturesTo(title)} class="card basket" onFound={take}>
      <div class="row between">
        <h3>{title}</h3>
        <span class="quiet">{texts.pictures(count)}</span>
      </div>
      {label === null ? <p class="quiet">{texts.negativesLead}</p> : <ClassBar label={label} />}
      <div class="thumbs">
        {waiting.slice(0, SHOWN).map((item) => (
          <span class="thumb waiting" key={item.id}>
            <Picture source={item.preview} alt={item.name} />
          </span>
        ))}
        {now &&
          shown.map((each) => (
            <span class="thumb" key={each.id}>
              <Picture source={each.image_kept ? imageAddress(now.id, each.id) : null} alt={each.file_name ?? title} />
              <button
                type="button"
                class="corner"
                aria-label={texts.removePicture(title, each.file_name ?? "")}
                onClick={() => remove(each.id)}
              >
                ×
              </button>
            </span>
          ))}
        {hidden > 0 && count > SHOWN && <span class="quiet">{texts.more(hidden)}</span>}
      </div>
      <div class="row">
        <FileButton text={texts.addPictures} label={texts.addPicturesTo(title)} onFound={take} />
        {onCamera && (
          <button type="button" aria-label={texts.takePictureFor(title)} onClick={onCamera}>
            {texts.takePicture}
          </button>
        )}
      </div>
    </DropZone>
  );
}

function ClassBar({ label }: { label: string }) {
  const judged = task.value && quality.value?.classes.find((each) => each.label === label);
  if (!judged || judged.accuracy === null) return null;
  return (
    <div class="class-bar">
      <Bar share={judged.accuracy} interval={judged.interval} />
      <span class="quiet">{texts.classRight(judged.recognised, judged.judged)}</span>
    </div>
  );
}
