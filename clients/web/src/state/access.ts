// What the key of this browser allows, and signing in and out.

import { computed, signal } from "@preact/signals";
import { forgetKey, locked, useKey } from "../api/key";
import type { OwnKeyReply } from "../api/types";

/** Null until it is known. */
export const access = signal<OwnKeyReply | null>(null);
export const mayWrite = computed(() => access.value?.scope !== "predict");

/** Takes a key that a person typed. What waits for one goes on. */
export function signIn(given: string, isKept: boolean): void {
  if (!/^[\x21-\x7e]+$/.test(given)) {
    locked.value = "invalid"; // A header cannot carry it.
    return;
  }
  useKey(given, isKept);
  locked.value = null;
}

/** Forgets the key, and with the page all that was read with it. */
export function signOut(): void {
  forgetKey();
  history.replaceState(null, "", location.pathname + location.search);
  location.reload();
}

/** Waits until a key was given, or the work is given up. */
export function unlocked(signal?: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const look = () => (locked.value === null || signal?.aborted) && end();
    const end = () => {
      stop();
      signal?.removeEventListener("abort", look);
      done();
    };
    const stop = locked.subscribe(() => queueMicrotask(look));
    signal?.addEventListener("abort", look);
  });
}
