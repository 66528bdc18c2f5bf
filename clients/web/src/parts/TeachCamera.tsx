// Pictures taken with the camera, each into the class that is chosen.

import { useId, useRef } from "preact/hooks";
import { add } from "../state/outbox";
import { chosen } from "../state/route";
import { texts } from "../texts";
import { useCamera } from "./camera";

interface Properties {
  labels: string[];
  label: string;
  onLabel: (label: string) => void;
}

export function TeachCamera({ labels, label, onLabel }: Properties) {
  const { video, failed, ready, grab } = useCamera();
  const count = useRef(0);
  const known = useId();
  const take = async (into: string | null) => {
    const image = await grab();
    if (!image) return;
    const file = new File([image], `camera-${++count.current}.jpg`, { type: "image/jpeg" });
    await add(chosen.value, [{ file, label: into }]);
  };
  if (failed) return <p class="notice bad">{failed}</p>;
  return (
    <section class="card camera" aria-label={texts.openCamera}>
      <video ref={video} autoplay playsInline muted />
      <div class="row">
        <input
          aria-label={texts.pictureFor}
          placeholder={texts.className}
          list={known}
          maxLength={128}
          value={label}
          onInput={(event) => onLabel(event.currentTarget.value)}
        />
        <datalist id={known}>
          {labels.map((each) => (
            <option key={each} value={each} />
          ))}
        </datalist>
        <button type="button" class="main" disabled={!ready || !label.trim()} onClick={() => take(label.trim())}>
          {texts.takePicture}
        </button>
        {labels.length > 0 && (
          <button type="button" disabled={!ready} onClick={() => take(null)}>
            {texts.takeNegative}
          </button>
        )}
      </div>
    </section>
  );
}
