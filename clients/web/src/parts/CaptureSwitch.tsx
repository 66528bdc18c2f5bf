// Whether pictures that the chosen task is asked about are kept for review, and what that means.

import { keep } from "../state/changes";
import { task } from "../state/tasks";
import { texts } from "../texts";

export function CaptureSwitch() {
  const capture = task.value?.capture;
  if (!capture) return null;
  const isOn = capture.keep !== "none";
  return (
    <div class="keeping">
      <button type="button" role="switch" aria-checked={isOn} class="switch" onClick={() => keep(isOn ? "none" : "uncertain")}>
        {texts.keepSwitch}
      </button>
      <p class="quiet">
        {texts.keeping[capture.keep]} {texts.keepingBounds(capture.limit, capture.days)}
      </p>
    </div>
  );
}
