// The texts of the review queue, in English.

import { plural, sentences } from "./words";

export const reviewTexts = {
  reviewTitle: "What was it asked?",
  keepSwitch: "Keep pictures that it is unsure about",
  keeping: {
    none: "Now it looks at pictures and forgets them. Turn this on, and the server keeps those that it is unsure about, so that you can say here what they show.",
    uncertain: "The server keeps pictures that it is unsure about, so that you can say here what they show.",
    all: "The server keeps every picture that it is asked about, so that you can say here what they show.",
  },
  keepingBounds: (limit: number, days: number) =>
    `At most ${plural(limit, "picture")} wait, the oldest leave first, and none is kept for more than ${plural(days, "day")}.`,
  toDecide: (count: number) => `${plural(count, "picture")} to decide about, the most useful first.`,
  nothingToDecide: "No picture waits for a decision.",
  leftOut: (copies: number, others: number) =>
    sentences(
      copies && `${plural(copies, "further one")} ${copies === 1 ? "is" : "are"} nearly the same as pictures that it knows.`,
      others && `${plural(others, "further one")} cannot be judged since the network was changed.`,
    ),
  lookAgain: "Look again",
  reviewKeys: "What does it show? Keys: 1 to 9 a class, space accept, 0 none of these, x discard, u undo, enter learn",
  askedOn: (when: Date) => `Asked on ${when.toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })}`,
  accept: (suggestion: string) => `Yes: ${suggestion}`,
  keys: { space: "space", enter: "enter" },
  discard: "Discard",
  anotherClass: "Another class",
  anotherIs: "It is that",
  alike: (count: number) => `and ${count.toLocaleString("en")} that ${count === 1 ? "looks" : "look"} like it`,
  openAlike: "Look at them",
  closeAlike: "All of them",
  alikeLead: "What you say counts for those that are ticked. The others are asked about later.",
  alikePicture: (place: number) => `look-alike ${place}`,
  decided: (label: string | null, alike: number) =>
    `${label === null ? "Discarded" : `Marked as ${label}`}${alike ? `, with ${alike.toLocaleString("en")} that ${alike === 1 ? "looks" : "look"} like it` : ""}.`,
  takenBack: "Taken back.",
  rolledBack: "It is back at the version before. The pictures that it had learnt from are not asked about again.",
  learnFrom: (decisions: number) => `Learn from ${plural(decisions, "decision")}`,
  learningDecisions: (decisions: number) => `Learning from ${plural(decisions, "decision")} …`,
  decisionsWait: (decisions: number) =>
    `The server cannot be reached. ${plural(decisions, "decision")} ${decisions === 1 ? "waits" : "wait"} here and will be sent again.`,
  decisionsKept: "They are kept in this browser until then.",
  learnt: (version: number, labelled: number, discarded: number) =>
    sentences(
      labelled && `Version ${version} has learnt from ${plural(labelled, "picture")}.`,
      discarded && `${plural(discarded, "picture")} discarded.`,
    ),
  undoLearning: "Undo what it learnt",
  decidedElsewhere: (captures: number) =>
    `Somebody else has decided about ${plural(captures, "picture")} meanwhile. The others are still here to be learnt from.`,
};
