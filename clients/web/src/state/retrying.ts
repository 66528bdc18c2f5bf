// A request that is repeated until the server has answered it.

import { Refused, Unreachable } from "../api/http";
import { unlocked } from "./access";

const LONGEST_WAIT = 4; // seconds between attempts

/**
 * Repeats a request while the server cannot be reached, asks to wait, or asks for a key. Throws what else it is answered, or what
 * ended it.
 *
 * @param waits is called before each pause
 */
export async function untilAnswered<Reply>(send: () => Promise<Reply>, waits: () => void, signal?: AbortSignal): Promise<Reply> {
  for (let wait = 0.5; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
    try {
      return await send();
    } catch (error) {
      const asked = error instanceof Refused ? error.retryAfter : null;
      if (error instanceof Refused && error.code === "unauthenticated" && !signal?.aborted) {
        waits();
        await unlocked(signal);
        continue;
      }
      if (signal?.aborted || (asked === null && !(error instanceof Unreachable))) throw error;
      waits();
      await pause(asked ?? wait, signal);
    }
  }
}

/** A key that nobody else has. `crypto.randomUUID` is there on https and this machine only. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Waits, but not beyond the moment when the network is back or the work is given up. */
function pause(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      done();
    };
    const timer = setTimeout(end, 1000 * seconds);
    addEventListener("online", end);
    signal?.addEventListener("abort", end, { once: true });
  });
}
