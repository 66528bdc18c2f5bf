// What a person can say of the picture under review, each with its key.

import { useId, useState } from "preact/hooks";
import type { CaptureReply } from "../api/types";
import { task } from "../state/tasks";
import { texts } from "../texts";

export type Judgement = { label: string | null } | { discard: true };

const NUMBERED = 9; // classes that have a key

const numbered = () => task.value?.classes.slice(0, NUMBERED).map((each) => each.label) ?? [];
const suggested = (entry: CaptureReply): Judgement => ({ label: entry.known ? entry.label : null });

/** What a key says of an entry; null where it says nothing. */
export function judgementOf(key: string, entry: CaptureReply): Judgement | null {
  if (key === " ") return suggested(entry);
  if (key === "0" || key === "n") return { label: null };
  if (key === "x") return { discard: true };
  const label = numbered()[Number(key) - 1];
  return label === undefined ? null : { label };
}

interface Properties {
  entry: CaptureReply;
  onJudged: (judgement: Judgement) => void;
}

export function Choices({ entry, onJudged }: Properties) {
  const suggestion = entry.known ? entry.label : texts.noneOfThese;
  return (
    <div class="choices">
      <Choice text={texts.accept(suggestion)} shortcut="Space" shown={texts.keys.space} main onClick={() => onJudged(suggested(entry))} />
      {numbered().map((label, place) => (
        <Choice key={label} text={label} shortcut={`${place + 1}`} onClick={() => onJudged({ label })} />
      ))}
      <Choice text={texts.noneOfThese} shortcut="0" onClick={() => onJudged({ label: null })} />
      <Choice text={texts.discard} shortcut="x" onClick={() => onJudged({ discard: true })} />
      <Another onLabel={(label) => onJudged({ label })} />
    </div>
  );
}

interface ChoiceProperties {
  text: string;
  shortcut: string;
  shown?: string;
  main?: boolean;
  onClick: () => void;
}

function Choice({ text, shortcut, shown = shortcut, main = false, onClick }: ChoiceProperties) {
  return (
    <button type="button" class={main ? "main" : ""} aria-keyshortcuts={shortcut} onClick={onClick}>
      {text}
      <kbd aria-hidden="true">{shown}</kbd>
    </button>
  );
}

/** A class by its name: a new one, or one that has no key. */
function Another({ onLabel }: { onLabel: (label: string) => void }) {
  const [label, setLabel] = useState("");
  const known = useId();
  const send = (event: Event) => {
    event.preventDefault();
    if (!label.trim()) return;
    setLabel("");
    onLabel(label.trim());
  };
  return (
    <form class="row" onSubmit={send}>
      <input
        aria-label={texts.anotherClass}
        placeholder={texts.anotherClass}
        list={known}
        maxLength={128}
        value={label}
        onInput={(event) => setLabel(event.currentTarget.value)}
      />
      <datalist id={known}>
        {task.value?.classes.map((each) => (
          <option key={each.label} value={each.label} />
        ))}
      </datalist>
      <button type="submit">{texts.anotherIs}</button>
    </form>
  );
}
