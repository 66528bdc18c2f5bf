// What failed last, for the line below the page's head.

import { signal } from "@preact/signals";
import { Unreachable } from "../api/http";
import { texts } from "../texts";

export const failure = signal<string | null>(null);

/** Does the work, and tells of its failure. Returns whether it succeeded. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    failure.value = null;
    return true;
  } catch (error) {
    failure.value = said(error);
    return false;
  }
}

export function said(error: unknown): string {
  if (error instanceof Unreachable) return texts.unreachable;
  return error instanceof Error ? error.message : String(error);
}
