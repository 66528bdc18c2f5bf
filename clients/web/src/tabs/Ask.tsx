// Pictures asked about: dropped, pasted, chosen, or seen by the camera.

import { useEffect, useState } from "preact/hooks";
import type { Found } from "../images/dropped";
import { type Answer, answers, ask, clear } from "../state/answers";
import { mayWrite } from "../state/access";
import { several, task } from "../state/tasks";
import { DropZone } from "../parts/DropZone";
import { FileButton } from "../parts/FileButton";
import { LiveCamera } from "../parts/LiveCamera";
import { Picture } from "../parts/Picture";
import { Correction, Verdict } from "../parts/Verdict";
import { texts } from "../texts";

export function Ask() {
  const [live, setLive] = useState(false);
  const take = (found: Found[]) => void ask(found.map((each) => each.file));
  useEffect(() => {
    const pasted = (event: ClipboardEvent) => {
      const files = Array.from(event.clipboardData?.files ?? []);
      if (files.length) void ask(files);
    };
    addEventListener("paste", pasted);
    return () => removeEventListener("paste", pasted);
  }, []);
  return (
    <>
      <DropZone label={texts.dropImages} class={answers.value.length || live ? "" : "large"} onFound={take}>
        <h2>{texts.askTitle}</h2>
        <p class="quiet">
          {texts.dropImages}. {texts.dropImagesHint[task.value?.capture.keep ?? "none"]}
        </p>
        <div class="row">
          <FileButton class="main" text={texts.chooseImages} onFound={take} />
          <button type="button" onClick={() => setLive(!live)}>
            {live ? texts.closeCamera : texts.openCamera}
          </button>
          {answers.value.length > 0 && (
            <button type="button" class="plain" onClick={clear}>
              {texts.clear}
            </button>
          )}
        </div>
      </DropZone>
      {live && <LiveCamera />}
      <div class="answers" aria-live="polite">
        {answers.value.map((answer) => (
          <AnswerCard key={answer.id} answer={answer} />
        ))}
      </div>
    </>
  );
}

function AnswerCard({ answer }: { answer: Answer }) {
  return (
    <article class="card answer">
      <div class="asked">
        <Picture source={answer.preview} alt={answer.file.name} />
        <p class="quiet">{answer.file.name}</p>
      </div>
      {answer.failed !== null ? (
        <p class="notice bad">{answer.failed}</p>
      ) : answer.prediction ? (
        <div class="verdict">
          <Verdict prediction={answer.prediction} />
          {mayWrite.value && !several.value && <Correction answer={answer} />}
        </div>
      ) : (
        <p class="quiet">{texts.asking}</p>
      )}
    </article>
  );
}
