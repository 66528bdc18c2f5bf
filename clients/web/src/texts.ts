// Every text of the page, in English; those of the review queue are in reviewTexts.ts.

import { reviewTexts } from "./reviewTexts";
import { percent, plural, range } from "./words";

const ALLOWED = {
  predict: "ask, but not teach or change anything",
  write: "ask and teach, but not delete a classifier",
  manage: "do all but what concerns the whole server",
};

export const texts = {
  ...reviewTexts,
  percent,
  range,
  pictures: (count: number) => plural(count, "picture"),

  // The head of the page
  product: "Headstart",
  chooseTask: "Classifier",
  newTask: "New classifier",
  newName: (labels: string[]) => `${labels.slice(0, 3).join(", ")}${labels.length > 3 ? " …" : ""}`.slice(0, 128),
  rename: "Rename",
  newNameLabel: "New name",
  save: "Save",
  cancel: "Cancel",
  remove: "Delete",
  confirmRemove: (name: string) => `Delete “${name}” with all its pictures? This cannot be undone.`,
  loading: "Loading …",
  unreachable: "The server cannot be reached. Is it running?",
  tryAgain: "Try again",
  dismiss: "Dismiss",
  tabs: { teach: "Teach", ask: "Ask", improve: "Improve", trust: "Trust", use: "Use" },
  needsTask: "There is nothing here yet. First teach it two kinds of picture.",
  goTeach: "Go to Teach",

  // Keys
  keyTitle: "This server asks for a key",
  keyLead: "Whoever runs the server makes keys. A key begins with hs_.",
  key: "Key",
  keepKey: "Keep the key on this device",
  keepKeyHint: "Otherwise it is forgotten when this tab is closed.",
  signIn: "Sign in",
  signOut: "Sign out",
  wrongKey: "This key is not valid. It is mistyped, has expired, or was revoked.",
  forbidden: (scope: "predict" | "write" | "manage", isOfOneTask: boolean) =>
    `This key does not allow that. With it you may ${ALLOWED[scope]}${isOfOneTask ? ", with one classifier alone" : ""}.`,
  waitingForKey: (images: number) =>
    `${plural(images, "picture")} ${images === 1 ? "waits" : "wait"} here and will be sent once there is a key.`,
  mayOnlyAsk: "With this key you may ask, but not teach or change anything.",
  goAsk: "Go to Ask",

  // Teach
  teachTitle: "Show it a few pictures of each kind",
  teachLead: "Two kinds are enough to begin. About five pictures of each work well.",
  dropFolders: "Drop folders here",
  dropFoldersHint: "Each folder becomes a class, named like the folder.",
  chooseFolder: "Choose a folder",
  loose: (count: number) => `${plural(count, "picture")} without a folder. Which class ${count === 1 ? "does it" : "do they"} show?`,
  className: "Name of the class",
  addThem: "Add",
  addClass: "Add a class",
  addClassHint: "such as “cat”",
  addPictures: "Add pictures",
  addPicturesTo: (label: string) => `Add pictures to ${label}`,
  takePicture: "Take a picture",
  takePictureFor: (label: string) => `Take a picture for ${label}`,
  openCamera: "Use the camera",
  closeCamera: "Close the camera",
  pictureFor: "Class of the next picture",
  removePicture: (label: string, name: string) => `Remove ${name || "a picture"} from ${label}`,
  more: (count: number) => `and ${count.toLocaleString("en")} more`,
  negativesLead: "Pictures of something else, such as an empty table. They help it to say “none of these”.",
  takeNegative: "Take a picture of none of these",
  taughtByApi: "This classifier gives a picture several labels. It is taught through the API; here it can be asked.",
  oneClass: "One class so far. Add a second, and it begins to answer.",
  answering: (version: number, classes: number, pictures: number, negatives: number) =>
    `It is answering. Version ${version} knows ${plural(classes, "class", "classes")} from ${plural(pictures, "picture")}` +
    `${negatives ? `, and ${negatives.toLocaleString("en")} of none of them` : ""}.`,
  answeringSeveral: (version: number, labels: number) => `It is answering. Version ${version} knows ${plural(labels, "label")}.`,
  accuracy: (share: number) => `${percent(share)} right`,
  accuracyMeans: (judged: number, interval: [number, number] | null) =>
    `Measured on ${judged === 1 ? "1 picture" : `${judged} of its own pictures`}, each left out in turn` +
    (interval ? `; on new pictures probably ${range(interval)}` : ""),
  measuring: "Measuring how good it is …",
  forecast: (factor: number, share: number, interval: [number, number]) =>
    `With ${factor === 2 ? "twice" : `${factor} times`} as many pictures: about ${percent(share)} (${range(interval)}).`,
  notJudged: "How good is it? It can tell once each class has two pictures or more.",
  prior: (accuracy: number, lowest: number, highest: number) =>
    `On other kinds of picture about ${percent(accuracy)} were right with as few (${range([lowest, highest])}).`,
  change: (added: number, before: number | null, after: number | null) => {
    const what = added ? `${plural(added, "picture")} added. ` : "";
    if (before === null || after === null) return what.trim();
    const points = Math.round(100 * (after - before));
    return `${what}${points === 0 ? "Accuracy as before." : `Accuracy ${points > 0 ? "+" : "−"}${Math.abs(points)} points.`}`;
  },
  undo: "Undo",
  askNow: "Ask it something",
  undoTo: (version: number) => `Undo: back to version ${version}`,
  classRight: (recognised: number, judged: number) => `${recognised} of ${judged} right`,

  // On their way
  preparing: (images: number) => `Preparing ${plural(images, "picture")}`,
  sending: (images: number) => `Sending ${plural(images, "picture")}`,
  learning: (images: number) => `Learning from ${plural(images, "picture")}`,
  retrying: (images: number) =>
    `The server cannot be reached. ${plural(images, "picture")} ${images === 1 ? "waits" : "wait"} here and will be sent again.`,
  stop: "Stop",
  refusedTitle: (count: number) => `${plural(count, "file")} could not be used`,
  tooLarge: (bytes: number) => `the file is larger than ${Math.round(bytes / 1e6)} MB`,

  // Ask
  askTitle: "What is this?",
  dropImages: "Drop or paste pictures here",
  dropImagesHint: {
    none: "They are only looked at, not kept.",
    uncertain: "Those that it is unsure about are kept for Improve.",
    all: "They are kept for Improve.",
  },
  chooseImages: "Choose pictures",
  live: "What the camera sees",
  frames: (rate: number) => `${rate.toFixed(rate < 10 ? 1 : 0)} answers a second`,
  noneOfThese: "None of these",
  likest: (label: string) => `It looks most like ${label}.`,
  sure: (share: number) => `${percent(share)} sure`,
  because: "Because it looks like these",
  nearest: "The nearest pictures that it knows",
  noImage: "no preview",
  clear: "Clear",
  asking: "Looking …",
  teachThis: "That is wrong: it is",
  taught: (label: string) => `Added to ${label}.`,

  // Camera
  noCamera: "No camera can be used here.",
  cameraRefused: "The browser does not allow the camera. Its address bar has a setting for it.",
  cameraInsecure: "A browser gives a page the camera on this machine or over https only.",

  // Improve: what looks wrong
  suspectsTitle: "Is the class right?",
  suspectsLead: "These pictures look more like another class. Unusual pictures are among them, so look before you change.",
  noSuspects: "No picture looks as if it were in the wrong class.",
  isNow: (label: string) => `Now in ${label}`,
  looksLike: (label: string) => `Looks like ${label}`,
  move: (label: string) => `Move to ${label}`,
  keep: (label: string) => `Keep in ${label}`,
  removeIt: "Remove",
  duplicatesTitle: "Pictures that are there twice",
  duplicatesLead: "A copy teaches nothing new. If the two are in different classes, one of them is wrong.",
  noDuplicates: "No picture is there twice.",
  removeCopy: "Remove the copy",
  removeFrom: (label: string) => `Remove from ${label}`,

  // Trust
  trustTitle: "How far can I trust it?",
  perClass: "Class by class",
  confusion: "What is taken for what",
  confusionLead: "Each row is a class. The numbers say what its pictures were recognised as, each left out in turn.",
  confusionRow: "Pictures of",
  reliability: "Is it right as often as it says?",
  reliabilityDiagram: "How often it was right, by how sure it was. The table beside it has the numbers.",
  cannotTellYet: (pictures: number, enough: number) =>
    `It cannot tell yet: that takes some ${enough} pictures which could be left out in turn, and there ${pictures === 1 ? "is" : "are"} ${pictures}.`,
  saidAndRight: (of: { probability: number; accuracy: number; examples: number }) =>
    `When it said about ${percent(of.probability)}, it was right in ${percent(of.accuracy)} of ${plural(of.examples, "picture")}.`,
  asSaid: "On the whole, it is right about as often as it says.",
  offThere: (said: number, isTooSure: boolean) => `Where it says about ${percent(said)}, it is ${isTooSure ? "too sure" : "not sure enough"}.`,
  tooSure: (said: number, right: number) =>
    `On the whole, it is too sure: it said ${percent(said)} and was right in ${percent(right)}. Take its percentages for less.`,
  tooModest: (said: number, right: number) =>
    `On the whole, it is right more often than it says: it said ${percent(said)} and was right in ${percent(right)}.`,
  itSaid: "It said",
  wasRight: "It was right",
  about: (share: number) => `about ${percent(share)}`,
  versionsTitle: "Versions",
  versionsLead: "Nothing is lost: each change made a version, and any can be returned to.",
  version: "Version",
  madeBy: "Change",
  when: "When",
  content: (several: boolean) => (several ? "Labels" : "Pictures"),
  contents: (pictures: number, negatives: number) => `${pictures}${negatives ? ` + ${negatives} none` : ""}`,
  right: "Right",
  active: "in use",
  activate: "Use this one",
  activateVersion: (version: number) => `Use version ${version}`,
  changes: {
    created: "created",
    added: "pictures added",
    removed: "picture removed",
    relabelled: "picture moved",
    refreshed: "new network",
  } as Record<string, string>,
  compareTitle: "Would another method do better?",
  compareLead: "This tries other ways to learn from the same pictures. It changes nothing.",
  compare: "Compare",
  comparing: "Comparing …",
  method: "Method",
  network: "Network",
  candidate: "No.",
  range95: "Probably",
  probably: (interval: [number, number]) => `probably ${range(interval)}`,
  classNotJudged: (examples: number) =>
    examples === 1 ? "one picture: a second tells how good it is" : "all pictures look like one occasion; one from elsewhere would tell",
  noConfusion: "Every picture was recognised as what it shows, each left out in turn.",
  takenFor: (examples: number, label: string, other: string) => `${plural(examples, "picture")} of ${label} taken for ${other}`,

  // Use
  useTitle: "Use it from your own programs",
  useLead: (name: string) => `These lines ask “${name}” on this server. They work as they are; put in your own picture.`,
  copy: "Copy",
  copied: "Copied",
  copyWhat: (name: string) => `Copy ${name}`,
  exportTitle: "Take it elsewhere",
  exportLead: "A zip of its pictures, a folder for each class. This server, or another one, takes it again as it is.",
  exportLink: "Download its pictures",
  exporting: "Downloading …",
  tokenLead: "They read your key from the environment variable HEADSTART_TOKEN.",
  moreDocs: "Everything else the server can do: ",
  reference: "the reference",
};
