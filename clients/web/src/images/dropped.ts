// What was dropped, pasted or chosen, as a list of files with the folder that each lay in.

export interface Found {
  file: File;
  /** The folder that the file lay in: its class. Null where it lay in none. */
  folder: string | null;
}

const IGNORED = /^(\..*|__MACOSX|Thumbs\.db|desktop\.ini)$/i; // what systems leave in folders

/** Reads what a drop holds, folders and all. Must be called while the drop's event is handled. */
export async function ofDrop(transfer: DataTransfer): Promise<Found[]> {
  const entries = Array.from(transfer.items, (item) => (item.kind === "file" ? item.webkitGetAsEntry() : null));
  const known = entries.filter((entry) => entry !== null);
  if (known.length === 0) return ofFiles(transfer.files);
  const found: Found[] = [];
  for (const entry of known) await read(entry, null, found);
  return found;
}

/** Reads a file chooser. One for folders names the path of each file. */
export function ofFiles(files: Iterable<File>): Found[] {
  return Array.from(files, (file) => ({ file, path: file.webkitRelativePath.split("/") }))
    .filter(({ file, path }) => ![...path, file.name].some((name) => IGNORED.test(name)))
    .map(({ file, path }) => ({ file, folder: path.at(-2) ?? null }));
}

async function read(entry: FileSystemEntry, folder: string | null, found: Found[]): Promise<void> {
  if (IGNORED.test(entry.name)) return;
  if (entry.isFile) {
    const file = await new Promise<File>((done, failed) => (entry as FileSystemFileEntry).file(done, failed));
    found.push({ file, folder });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // A browser tells of a hundred at a time.
    const some = await new Promise<FileSystemEntry[]>((done, failed) => reader.readEntries(done, failed));
    if (some.length === 0) return;
    for (const each of some) await read(each, entry.name, found);
  }
}
