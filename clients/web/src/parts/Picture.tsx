// A picture by its address, or a place for one that the browser cannot show or the server did not keep.

import { useState } from "preact/hooks";
import { texts } from "../texts";

export function Picture({ source, alt }: { source: string | null; alt: string }) {
  const [broken, setBroken] = useState<string | null>(null);
  if (!source || broken === source) {
    return (
      <span class="picture missing" role="img" aria-label={alt}>
        {texts.noImage}
      </span>
    );
  }
  return <img class="picture" src={source} alt={alt} loading="lazy" onError={() => setBroken(source)} />;
}
