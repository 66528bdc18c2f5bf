// The calls that the page makes.

import { asJson, call, upload } from "./http";
import type {
  CapturePage,
  CaptureSettingReply,
  ChangedTaskReply,
  ComparisonReply,
  Decision,
  ExamplePage,
  Limits,
  OwnKeyReply,
  PredictReply,
  Quality,
  TaskPage,
  TaskReply,
  VersionPage,
} from "./types";

/** What the key of this browser allows; on a server without keys, everything. */
export const ownKey = () => call<OwnKeyReply>("GET", "key");
export const limits = () => call<Limits>("GET", "limits");

export async function allTasks(): Promise<TaskReply[]> {
  const found: TaskReply[] = [];
  let cursor = "";
  do {
    const page = await call<TaskPage>("GET", `tasks?limit=1000${cursor}`);
    found.push(...page.tasks);
    cursor = page.next_cursor ? `&cursor=${encodeURIComponent(page.next_cursor)}` : "";
  } while (cursor);
  return found;
}

export const rename = (task: string, name: string) => call<TaskReply>("PATCH", `tasks/${task}`, asJson({ name }));
export const deleteTask = (task: string) => call<void>("DELETE", `tasks/${task}`);
export const activate = (task: string, version: number) =>
  call<TaskReply>("PATCH", `tasks/${task}`, asJson({ active_version: version }));
export const versions = (task: string) => call<VersionPage>("GET", `tasks/${task}/versions`);
export const quality = (task: string) => call<Quality>("GET", `tasks/${task}/quality`);
export const compare = (task: string) => call<ComparisonReply>("POST", `tasks/${task}/compare`);

/** The first thousand examples: enough to show what the classes look like. */
export const examples = (task: string) => call<ExamplePage>("GET", `tasks/${task}/examples?limit=1000`);

export const relabel = (task: string, example: string, label: string) =>
  call<ChangedTaskReply>("PATCH", `tasks/${task}/examples/${example}`, asJson({ label }));
export const removeExample = (task: string, example: string) =>
  call<ChangedTaskReply>("DELETE", `tasks/${task}/examples/${example}`);

export const imageAddress = (task: string, example: string) => `v1/tasks/${task}/examples/${example}/image`;

export const archiveAddress = (task: string) => `v1/tasks/${task}/archive`;

export const keep = (task: string, kind: CaptureSettingReply["keep"]) =>
  call<TaskReply>("PATCH", `tasks/${task}`, asJson({ capture: { keep: kind } }));
/** A page of the review queue, after a cursor or from its begin. */
export const captures = (task: string, after: string | null) =>
  call<CapturePage>("GET", `tasks/${task}/captures?limit=50${after ? `&after=${encodeURIComponent(after)}` : ""}`);
export const captureAddress = (task: string, capture: string) => `v1/tasks/${task}/captures/${capture}/image`;
/** Carries out all decisions or none. The same with the same key is done once. */
export const resolve = (task: string, decisions: Decision[], key: string) =>
  call<ChangedTaskReply>("POST", `tasks/${task}/captures/resolve`, asJson({ decisions }, { "Idempotency-Key": key }));

export const teach = (
  task: string | null,
  form: FormData,
  key: string,
  signal: AbortSignal,
  told: (share: number) => void,
) => upload<ChangedTaskReply>(task ? `tasks/${task}/examples` : "tasks", form, key, signal, told);

export const predict = (task: string, images: Blob[]) =>
  call<PredictReply>("POST", `tasks/${task}/predict`, { body: imagesForm(images) });
/** Asks about a frame of a camera. The task captures none: the next frame shows the same. */
export const predictFrame = (task: string, frame: Blob, signal: AbortSignal) =>
  call<PredictReply>("POST", `tasks/${task}/predict?remember=false`, { body: imagesForm([frame]), signal });

function imagesForm(images: Blob[]): FormData {
  const form = new FormData();
  for (const image of images) form.append("images", image, "image");
  return form;
}
