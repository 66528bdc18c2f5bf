// A place to drop pictures on, which looks ready while they are held over it.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { type Found, ofDrop } from "../images/dropped";

interface Properties {
  label: string;
  class?: string;
  onFound: (found: Found[]) => void;
  children: ComponentChildren;
}

export function DropZone({ label, class: extra = "", onFound, children }: Properties) {
  const [held, setHeld] = useState(0); // Entering a child comes before leaving its parent.
  return (
    <section
      aria-label={label}
      class={`drop ${extra} ${held > 0 ? "held" : ""}`}
      onDragEnter={(event) => {
        event.preventDefault();
        setHeld((count) => count + 1);
      }}
      onDragLeave={() => setHeld((count) => Math.max(0, count - 1))}
      onDragOver={(event) => event.preventDefault()}
      onDrop={async (event) => {
        event.preventDefault();
        event.stopPropagation();
        setHeld(0);
        if (event.dataTransfer) onFound(await ofDrop(event.dataTransfer));
      }}
    >
      {children}
    </section>
  );
}
