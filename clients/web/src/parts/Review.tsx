// The review queue: pictures that the task was asked about, to be decided about by key or by button.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { captureAddress } from "../api/calls";
import type { CaptureReply } from "../api/types";
import { all, kept } from "../state/decisions";
import { back, count, delivery, learn, look, put, queue, told, undoable, waiting } from "../state/review";
import { chosen } from "../state/route";
import { task } from "../state/tasks";
import { texts } from "../texts";
import { Alike } from "./Alike";
import { CaptureSwitch } from "./CaptureSwitch";
import { Choices, type Judgement, judgementOf } from "./Choices";
import { Nearest } from "./Nearest";
import { Picture } from "./Picture";
import { Said } from "./Said";

export function Review() {
  const now = task.value;
  useEffect(() => void look(), [now?.id, now?.version]);
  const known = queue.value?.task === chosen.value ? queue.value : null;
  const leftOut = known && texts.leftOut(known.duplicates, known.other_backbone);
  return (
    <section class="card section" aria-label={texts.reviewTitle}>
      <h2>{texts.reviewTitle}</h2>
      <CaptureSwitch />
      {known && (
        <div class="row between">
          <p class="quiet">
            {count.value ? texts.toDecide(count.value) : texts.nothingToDecide} {leftOut}
          </p>
          <button type="button" onClick={look}>
            {texts.lookAgain}
          </button>
        </div>
      )}
      {known && (waiting.value.length > 0 || all(kept.value).length > 0 || told.value) && <Deciding />}
    </section>
  );
}

/** The first entry with what can be said of it, by button or by key. */
function Deciding() {
  const group = useRef<HTMLDivElement>(null);
  const [looked, setLooked] = useState<{ entry: string; out: ReadonlySet<string> } | null>(null);
  const entry = waiting.value[0] ?? null;
  const out = looked?.entry === entry?.id ? (looked?.out ?? null) : null;
  const focus = () => group.current?.focus({ preventScroll: true });
  useLayoutEffect(() => {
    if (nobodyElseHasFocus()) focus();
  }, []);
  const judge = (judgement: Judgement) => {
    if (entry) put(entry, entry.alike.filter((id) => !out?.has(id)), judgement);
    focus();
  };
  const press = (event: KeyboardEvent) => {
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey || event.altKey || !group.current || !isFor(event.target, key, group.current)) return;
    const judgement = entry && judgementOf(key, entry);
    if (key !== "u" && key !== "enter" && !judgement) return;
    event.preventDefault();
    if (event.repeat) return; // One press is one decision.
    if (judgement) judge(judgement);
    else if (key === "enter") learn();
    else void back();
  };
  useLayoutEffect(() => {
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  });
  return (
    <div class="deciding" role="group" aria-label={texts.reviewKeys} tabIndex={-1} ref={group}>
      {entry && (
        <div class="answer">
          <Asked entry={entry} />
          <div class="verdict">
            <div aria-live="polite">
              <Said {...entry} />
            </div>
            <Alike entry={entry} out={out} onOut={(next) => setLooked(next && { entry: entry.id, out: next })} />
            <Choices entry={entry} onJudged={judge} />
            <Nearest nearest={entry.nearest} known={entry.known} />
          </div>
        </div>
      )}
      <Decided onDone={focus} />
    </div>
  );
}

/** Whether a key that was pressed somewhere decides: nothing else has a use for it, and the queue can be seen. */
function isFor(target: EventTarget | null, key: string, group: HTMLElement): boolean {
  if (!(target instanceof HTMLElement) || target.matches("input:not([type=checkbox]), textarea, select")) return false;
  if (target.matches("button, input, a")) return group.contains(target) && key !== " " && key !== "enter";
  const { top, bottom } = group.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

/** Whether keys go nowhere yet: nothing has the focus, or a tab that was clicked. */
function nobodyElseHasFocus(): boolean {
  const held = document.activeElement;
  return held === null || held === document.body || held.matches("[role=tab]:not(:focus-visible)");
}

function Asked({ entry }: { entry: CaptureReply }) {
  const when = texts.askedOn(new Date(entry.created_at));
  return (
    <div class="asked">
      <Picture source={entry.image && captureAddress(chosen.value ?? "", entry.id)} alt={when} />
      <p class="quiet">{when}</p>
    </div>
  );
}

/** What was decided, on its way to the server or not yet. */
function Decided({ onDone }: { onDone: (done: void) => void }) {
  const { decisions } = kept.value;
  const sent = all(kept.value).length - decisions.length;
  return (
    <div class="decided">
      <div role="status">
        {sent > 0 ? (
          <p class={delivery.value === "retrying" ? "notice bad" : ""}>
            {delivery.value === "retrying" ? texts.decisionsWait(sent) : texts.learningDecisions(sent)}
          </p>
        ) : (
          told.value && <p class="change">{told.value}</p>
        )}
      </div>
      <div class="row">
        {decisions.length > 0 && (
          <button type="button" class="main" aria-keyshortcuts="Enter" onClick={() => onDone(learn())}>
            {texts.learnFrom(decisions.length)}
            <kbd aria-hidden="true">{texts.keys.enter}</kbd>
          </button>
        )}
        {undoable.value && (
          <button type="button" aria-keyshortcuts="u" onClick={async () => onDone(await back())}>
            {undoable.value === "version" ? texts.undoLearning : texts.undo}
            <kbd aria-hidden="true">u</kbd>
          </button>
        )}
        {decisions.length > 0 && <p class="quiet">{texts.decisionsKept}</p>}
      </div>
    </div>
  );
}
