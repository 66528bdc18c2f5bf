// Names for the replies of the API, which the client hands on as they arrive. `openapi.ts` describes their fields.

import type { components } from "./openapi.js";

type Schemas = components["schemas"];

export type Backbone = Schemas["BackboneReply"];
export type BackboneList = Schemas["BackboneList"];
export type CapturePage = Schemas["CapturePage"];
export type CaptureOptions = Schemas["CaptureOptions"];
export type Candidate = Schemas["Candidate"];
export type ChangedTask = Schemas["ChangedTaskReply"];
export type Comparison = Schemas["ComparisonReply"];
export type EventPage = Schemas["EventPage"];
export type Example = Schemas["ExampleReply"];
export type ExamplePage = Schemas["ExamplePage"];
export type HeadOptions = Schemas["TaskOptions"];
export type Key = Schemas["OwnKeyReply"];
export type Limits = Schemas["Limits"];
export type ManyPredictions = Schemas["PredictManyReply"];
export type Predictions = Schemas["PredictReply"];
export type Problem = Schemas["Problem"];
export type Quality = Schemas["QualityReply"];
export type Quota = Schemas["QuotaReply"];
export type Refresh = Schemas["RefreshReply"];
export type RefreshPage = Schemas["RefreshPage"];
export type RefreshedTask = Schemas["RefreshTaskReply"];
export type RefreshedTaskPage = Schemas["RefreshTaskPage"];
export type Task = Schemas["TaskReply"];
export type TaskPage = Schemas["TaskPage"];
export type TaskPatch = Schemas["TaskPatch"];
export type TaskPredictions = Schemas["TaskPredictions"];
export type UnusableTask = Schemas["FailedTask"];
export type Version = Schemas["VersionReply"];
export type VersionPage = Schemas["VersionPage"];

/**
 * Stands in the place of an image that could not be read. It has no label, so code that forgets this case does not
 * compile.
 */
export type Unreadable = Schemas["FailedPrediction"];

/** What a reply says of an image that could be read. */
export type Prediction = Exclude<Predictions["predictions"][number], Unreadable>;
