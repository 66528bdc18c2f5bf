import { UnreadableImages } from "./errors.js";
import type { Prediction, Unreadable } from "./replies.js";

/**
 * The predictions of a reply, for callers to whom an image that could not be read is an error.
 *
 * @throws UnreadableImages if there is one
 */
export function checked({ predictions }: { predictions: readonly (Prediction | Unreadable)[] }): Prediction[] {
  const unreadable = new Map<number, string>();
  for (const [position, result] of predictions.entries()) {
    if ("error" in result) unreadable.set(position, result.error.detail);
  }
  if (unreadable.size) throw new UnreadableImages(unreadable);
  return predictions as Prediction[];
}
