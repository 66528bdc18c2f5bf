// A picture by its address, or a place for one that the browser cannot show or the server did not keep.

import { useEffect, useState } from "preact/hooks";
import { file } from "../api/http";
import { key } from "../api/key";
import { mayWrite } from "../state/access";
import { texts } from "../texts";

export function Picture({ source, alt }: { source: string | null; alt: string }) {
  const [broken, setBroken] = useState<string | null>(null);
  const fail = () => setBroken(source);
  const isOurs = source?.startsWith("blob:");
  const shown = useAddress(source, !isOurs && key.value !== null && mayWrite.value, fail);
  if (!source || broken === source || !(isOurs || mayWrite.value)) {
    return (
      <span class="picture missing" role="img" aria-label={alt}>
        {texts.noImage}
      </span>
    );
  }
  if (!shown) return <span class="picture missing" role="img" aria-label={alt} />;
  return <img class="picture" src={shown} alt={alt} loading="lazy" onError={fail} />;
}

/** Returns an address for `<img>`, which sends no key: that of the picture, fetched with it. Null until it is there. */
function useAddress(source: string | null, isFetched: boolean, fail: () => void): string | null {
  const [fetched, setFetched] = useState<{ source: string; address: string } | null>(null);
  useEffect(() => {
    if (!source || !isFetched) return;
    const stopping = new AbortController();
    let address = "";
    file(source, { signal: stopping.signal }).then(
      (picture) => {
        if (stopping.signal.aborted) return;
        address = URL.createObjectURL(picture);
        setFetched({ source, address });
      },
      () => stopping.signal.aborted || fail(),
    );
    return () => {
      stopping.abort();
      URL.revokeObjectURL(address);
    };
  }, [source, isFetched]);
  if (!isFetched) return source;
  return fetched?.source === source ? fetched.address : null;
}
