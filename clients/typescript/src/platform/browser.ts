// What only Node can do, in a browser; `node.ts` stands in its place there (`imports` in package.json).

/** A browser has no environment variables. */
export const environment = (_name: string): string | undefined => undefined;

/** @throws TypeError always: a page cannot open a path */
export async function readImage(path: string): Promise<File> {
  throw new TypeError(`only Node can open a path; give the File or Blob itself, not ${JSON.stringify(path)}`);
}

/** @throws TypeError always: a page cannot open a folder */
export async function labelledFolder(path: string): Promise<[label: string, path: string][]> {
  throw new TypeError(`only Node can open a folder; give [label, File] pairs, not ${JSON.stringify(path)}`);
}
