// The camera's picture with an answer to it: the next frame is sent when the server has answered the one before.

import { useEffect, useState } from "preact/hooks";
import * as api from "../api/calls";
import type { JudgedPrediction } from "../api/types";
import { said } from "../state/failures";
import { chosen } from "../state/route";
import { texts } from "../texts";
import { useCamera } from "./camera";
import { Verdict } from "./Verdict";

const PAUSE = 1000; // milliseconds after a failure

interface Seen {
  prediction: JudgedPrediction | null;
  failed: string | null;
  rate: number;
}

export function LiveCamera() {
  const { video, failed, grab } = useCamera();
  const [seen, setSeen] = useState<Seen>({ prediction: null, failed: null, rate: 0 });
  useEffect(() => {
    const stopping = new AbortController();
    void watch(grab, stopping.signal, setSeen);
    return () => stopping.abort();
  }, []);
  if (failed) return <p class="notice bad">{failed}</p>;
  return (
    <section class="card answer camera" aria-label={texts.live}>
      <div class="asked">
        <video ref={video} autoplay playsInline muted />
        <p class="quiet">{seen.rate > 0 && texts.frames(seen.rate)}</p>
      </div>
      {seen.failed !== null && <p class="notice bad">{seen.failed}</p>}
      <div class="verdict">{seen.prediction && <Verdict prediction={seen.prediction} />}</div>
    </section>
  );
}

/** Asks about frame after frame until it is stopped. */
async function watch(grab: () => Promise<Blob | null>, signal: AbortSignal, tell: (seen: Seen) => void): Promise<void> {
  const task = chosen.value;
  let rate = 0;
  while (task && !signal.aborted) {
    const began = performance.now();
    try {
      const frame = await grab();
      const found = frame && (await api.predictFrame(task, frame, signal)).predictions[0];
      if (signal.aborted) return;
      if (found && "label" in found) {
        const current = 1000 / (performance.now() - began);
        rate = rate ? 0.8 * rate + 0.2 * current : current;
        tell({ prediction: found, failed: null, rate });
      }
    } catch (error) {
      if (signal.aborted) return;
      tell({ prediction: null, failed: said(error), rate: 0 });
      await new Promise((done) => setTimeout(done, PAUSE));
    }
    await new Promise(requestAnimationFrame); // The page is drawn between two frames, and a hidden page asks nothing.
  }
}
