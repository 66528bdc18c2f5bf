// A button that opens the browser's chooser of files, or of a folder.

import { useRef } from "preact/hooks";
import { type Found, ofFiles } from "../images/dropped";

interface Properties {
  text: string;
  label?: string;
  folder?: boolean;
  class?: string;
  onFound: (found: Found[]) => void;
}

export function FileButton({ text, label = text, folder = false, class: extra = "", onFound }: Properties) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" class={extra} aria-label={label} onClick={() => input.current?.click()}>
        {text}
      </button>
      <input
        ref={input}
        type="file"
        hidden
        multiple
        {...(folder ? { webkitdirectory: true } : { accept: "image/*,.heic,.heif,.avif" })}
        onChange={(event) => {
          onFound(ofFiles(event.currentTarget.files ?? []));
          event.currentTarget.value = ""; // The same file may be chosen again.
        }}
      />
    </>
  );
}
