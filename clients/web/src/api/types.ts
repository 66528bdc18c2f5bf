// The parts of the server's replies that the page reads. Each interface has the name of its schema in the OpenAPI document, and
// a test compares the fields.

export interface ClassReply {
  label: string;
  examples: number;
}

export interface HeadReply {
  solver: string;
  C: number;
}

export interface CaptureSettingReply {
  keep: "none" | "uncertain" | "all";
  limit: number;
  days: number;
}

export interface TaskReply {
  id: string;
  name: string;
  version: number;
  backbone: string;
  classes: ClassReply[];
  negatives: number;
  capture: CaptureSettingReply;
  labels: "single" | "multiple";
}

export type Interval = [number, number] | null;

export interface ClassQuality {
  label: string;
  examples: number;
  judged: number;
  recognised: number;
  accuracy: number | null;
  interval: Interval;
}

export interface Confusion {
  label: string;
  recognised_as: string;
  examples: number;
}

export interface Prior {
  accuracy: number;
  lowest: number;
  highest: number;
}

export interface SuspectReply {
  example: string;
  label: string;
  suggested: string;
  confidence: number;
  file_name: string | null;
}

export interface DuplicateReply {
  example: string;
  label: string;
  of: string;
  of_label: string;
  file_name: string | null;
  of_file_name: string | null;
}

export interface ReliabilityBin {
  lowest: number;
  highest: number;
  examples: number;
  probability: number;
  accuracy: number;
}

/** The accuracy to expect of so many times the examples, with an interval of 80 %. */
export interface ForecastReply {
  factor: number;
  accuracy: number;
  interval: [number, number];
}

export interface Quality {
  judged: number;
  accuracy: number | null;
  interval: Interval;
  classes: ClassQuality[];
  confusions: Confusion[];
  prior: Prior | null;
  advice: string;
  suspects: SuspectReply[];
  duplicates: DuplicateReply[];
  reliability: ReliabilityBin[];
  forecast: ForecastReply[];
}

export interface ChangedTaskReply extends TaskReply {
  quality: Quality | null;
}

export interface TaskPage {
  tasks: TaskReply[];
  next_cursor: string | null;
}

export interface ExampleReply {
  id: string;
  label: string | null;
  image_kept: boolean;
  file_name: string | null;
}

export interface ExamplePage {
  examples: ExampleReply[];
  next_cursor: string | null;
}

export interface VersionReply {
  version: number;
  active: boolean;
  change: string;
  backbone: string;
  classes: ClassReply[];
  negatives: number;
  head: HeadReply;
  accuracy: number | null;
  created_at: string;
}

export interface VersionPage {
  versions: VersionReply[];
}

export interface Neighbour {
  example: string;
  /** Null where an image may have several: then they are in `labels`. */
  label: string | null;
  labels?: string[] | null;
  image: string | null;
  file_name: string | null;
}

export interface JudgedPrediction {
  label: string;
  probability: number;
  scores: Record<string, number>;
  known: boolean;
  nearest: Neighbour[];
  /** All that apply, of a task with several labels an image. */
  labels?: string[] | null;
}

export interface CaptureReply {
  id: string;
  created_at: string;
  image: string | null;
  label: string;
  probability: number;
  known: boolean;
  nearest: Neighbour[];
  alike: string[];
}

export interface CapturePage {
  version: number;
  captures: CaptureReply[];
  total: number;
  duplicates: number;
  other_backbone: number;
  next_cursor: string | null;
}

/** Captures that belong to a class, or with null to none; or that are removed for good. */
export type Decision = { captures: string[] } & ({ label: string | null } | { discard: true });

export interface ProblemInPlace {
  code: string;
  detail: string;
}

export interface FailedPrediction {
  error: ProblemInPlace;
}

export interface PredictReply {
  predictions: (JudgedPrediction | FailedPrediction)[];
}

export interface CandidateReply {
  current: boolean;
  backbone: string;
  head: HeadReply;
  judged: number;
  recognised: number;
  accuracy: number | null;
  interval: Interval;
}

export interface FailedCandidate {
  backbone: string;
  error: ProblemInPlace;
}

export interface ComparisonReply {
  candidates: (CandidateReply | FailedCandidate)[];
  best: number;
  advice: string;
}

export interface ProblemImage extends ProblemInPlace {
  position: number;
}

export interface Problem {
  code: string;
  detail: string;
  images: ProblemImage[] | null;
}

export interface Limits {
  body_bytes: number;
  image_bytes: number;
  images: number;
  new_examples: number;
}

export interface OwnKeyReply {
  scope: "predict" | "write" | "manage";
  task: string | null;
}
