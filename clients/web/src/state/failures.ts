// What failed last, for the line below the page's head.

import { signal } from "@preact/signals";
import { Refused, Unreachable } from "../api/http";
import { locked } from "../api/key";
import { texts } from "../texts";
import { access } from "./access";

export const failure = signal<string | null>(null);

/** Does the work, and tells of its failure. Returns whether it succeeded. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    failure.value = null;
    return true;
  } catch (error) {
    failure.value = locked.value ? null : said(error); // The form for a key says that one is missing.
    return false;
  }
}

export function said(error: unknown): string {
  if (error instanceof Unreachable) return texts.unreachable;
  if (error instanceof Refused && error.code === "forbidden" && access.value) {
    return texts.forbidden(access.value.scope, access.value.task !== null);
  }
  return error instanceof Error ? error.message : String(error);
}
