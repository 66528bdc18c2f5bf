// The camera of the machine, for as long as a part of the page shows it.

import { useEffect, useRef, useState } from "preact/hooks";
import { drawn } from "../images/shrink";
import { texts } from "../texts";

const SIDE = 640; // pixels of a frame's longer side: the server looks at fewer

export interface Camera {
  video: { current: HTMLVideoElement | null };
  failed: string | null;
  ready: boolean;
  /** Returns what the camera sees now, as a JPEG; null while it sees nothing. */
  grab: () => Promise<Blob | null>;
}

export function useCamera(): Camera {
  const video = useRef<HTMLVideoElement>(null);
  const [failed, setFailed] = useState<string | null>(null);
  const [ready, setReady] = useState(false);
  useEffect(() => {
    let stream: MediaStream | null = null;
    let closed = false;
    const stop = () => stream?.getTracks().forEach((track) => track.stop());
    open()
      .then((opened) => {
        stream = opened;
        if (closed || !video.current) return stop();
        video.current.onloadeddata = () => setReady(true);
        video.current.srcObject = opened;
      })
      .catch((error: unknown) => !closed && setFailed(reason(error)));
    return () => {
      closed = true;
      stop();
    };
  }, []);
  const grab = async () => {
    const { videoWidth: width = 0, videoHeight: height = 0 } = video.current ?? {};
    if (!video.current || !width) return null;
    const scale = Math.min(1, SIDE / Math.max(width, height));
    return drawn(video.current, width * scale, height * scale);
  };
  return { video, failed, ready, grab };
}

async function open(): Promise<MediaStream> {
  if (!navigator.mediaDevices) throw new Error(texts.cameraInsecure);
  return navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
}

function reason(error: unknown): string {
  if (error instanceof DOMException) return error.name === "NotAllowedError" ? texts.cameraRefused : texts.noCamera;
  return error instanceof Error ? error.message : texts.noCamera;
}
