// How far pictures are on their way to the server, and which could not be used.

import { locked } from "../api/key";
import { progress, refused } from "../state/items";
import { cancel } from "../state/outbox";
import { texts } from "../texts";

export function OnTheirWay() {
  return (
    <div class="on-their-way">
      <div role="status">{progress.value && <Moving />}</div>
      {refused.value.length > 0 && (
        <div class="notice bad" role="alert">
          <div>
            <p>
              <strong>{texts.refusedTitle(refused.value.length)}</strong>
            </p>
            <ul>
              {refused.value.map((each) => (
                <li key={each.id}>
                  <b>{each.name}</b>: {each.reason}
                </li>
              ))}
            </ul>
          </div>
          <button type="button" onClick={() => (refused.value = [])}>
            {texts.dismiss}
          </button>
        </div>
      )}
    </div>
  );
}

function Moving() {
  const now = progress.value;
  if (!now) return null;
  const doing = locked.value ? texts.waitingForKey : texts[now.step];
  const learning = now.step === "sending" && now.share === 1;
  return (
    <div class={`notice ${now.step === "retrying" ? "bad" : ""}`}>
      <div class="moving">
        <p>{learning ? texts.learning(now.images) : doing(now.images)}</p>
        {now.step !== "retrying" && (
          <progress max={1} aria-label={doing(now.images)} {...(learning ? {} : { value: now.share ?? 0 })} />
        )}
      </div>
      <button type="button" onClick={cancel}>
        {texts.stop}
      </button>
    </div>
  );
}
