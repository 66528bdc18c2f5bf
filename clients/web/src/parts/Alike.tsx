// Pictures that look like the one under review: one decision serves all, save those that a person takes out.

import { captureAddress } from "../api/calls";
import type { CaptureReply } from "../api/types";
import { chosen } from "../state/route";
import { texts } from "../texts";
import { Picture } from "./Picture";

interface Properties {
  entry: CaptureReply;
  /** Ids of those that are taken out; null while nobody has looked. */
  out: ReadonlySet<string> | null;
  onOut: (out: ReadonlySet<string> | null) => void;
}

export function Alike({ entry, out, onOut }: Properties) {
  if (!entry.alike.length) return null;
  const turn = (id: string) => {
    const next = new Set(out);
    if (!next.delete(id)) next.add(id);
    onOut(next);
  };
  return (
    <div class="alike">
      <div class="row">
        <strong>{texts.alike(entry.alike.length)}</strong>
        <button type="button" aria-expanded={out !== null} onClick={() => onOut(out ? null : new Set())}>
          {out ? texts.closeAlike : texts.openAlike}
        </button>
      </div>
      {out && (
        <fieldset>
          <legend class="quiet">{texts.alikeLead}</legend>
          <div class="thumbs">
            {entry.alike.map((id, place) => (
              <label class={`thumb ${out.has(id) ? "waiting" : ""}`} key={id}>
                <input type="checkbox" checked={!out.has(id)} onChange={() => turn(id)} />
                <Picture source={entry.image && captureAddress(chosen.value ?? "", id)} alt={texts.alikePicture(place + 1)} />
              </label>
            ))}
          </div>
        </fieldset>
      )}
    </div>
  );
}
