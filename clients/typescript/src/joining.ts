// The replies to the several requests of one call, as one reply.

import { InvalidImage } from "./errors.js";
import type { ManyPredictions, Prediction, Predictions, TaskPredictions, Unreadable } from "./replies.js";

/** The part of a reply that is the same for one task and for several. */
interface Answers {
  predictions: (Prediction | Unreadable)[];
}

/**
 * The replies to several requests as one reply. The server refuses a request whose only image cannot be read; among
 * other images it is an entry with an `error`.
 *
 * @throws InvalidImage if every request was refused
 */
export function joined(outcomes: readonly (Predictions | InvalidImage)[]): Predictions {
  const replies = answered(outcomes);
  const last = replies[replies.length - 1]!;
  // The last request may have had a single image, which is judged alone.
  const mode = replies.some((reply) => reply.mode === "transductive") ? "transductive" : last.mode;
  return { ...last, mode, predictions: inOrder(outcomes), timing_ms: summed(replies) };
}

/**
 * The replies of the same tasks to several requests as one reply. A task that could not answer one request is unusable.
 *
 * @throws InvalidImage if every request was refused
 */
export function joinedMany(outcomes: readonly (ManyPredictions | InvalidImage)[]): ManyPredictions {
  const replies = answered(outcomes);
  const results = replies[0]!.results.map((_, position) => {
    const each = outcomes.map((outcome) => (outcome instanceof InvalidImage ? outcome : outcome.results[position]!));
    const failed = each.find((result) => !(result instanceof InvalidImage) && "error" in result);
    if (failed) return failed as ManyPredictions["results"][number];
    const answers = each as (TaskPredictions | InvalidImage)[];
    const usable = answered(answers);
    return { ...usable[usable.length - 1]!, predictions: inOrder(answers) };
  });
  return { results, timing_ms: summed(replies) };
}

/** The replies among the outcomes. Throws the first refusal if there are none. */
function answered<Reply>(outcomes: readonly (Reply | InvalidImage)[]): Reply[] {
  const replies = outcomes.filter((outcome): outcome is Reply => !(outcome instanceof InvalidImage));
  if (!replies.length) throw outcomes[0];
  return replies;
}

const inOrder = (outcomes: readonly (Answers | InvalidImage)[]): Answers["predictions"] =>
  outcomes.flatMap((outcome) =>
    outcome instanceof InvalidImage ? [{ error: { code: outcome.code, detail: outcome.detail } }] : outcome.predictions,
  );

/** The milliseconds of each stage over several requests. */
function summed(replies: readonly { timing_ms: Record<string, number> }[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const { timing_ms } of replies) {
    for (const [stage, milliseconds] of Object.entries(timing_ms)) total[stage] = (total[stage] ?? 0) + milliseconds;
  }
  return total;
}
