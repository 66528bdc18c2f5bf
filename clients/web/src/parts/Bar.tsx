// A share as a bar, with the interval that it may lie in.

import type { Interval } from "../api/types";

export function Bar({ share, interval = null }: { share: number; interval?: Interval }) {
  const [low, high] = interval ?? [share, share];
  return (
    <svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect class="bar-back" width="100" height="10" />
      <rect class="bar-share" width={100 * share} height="10" />
      {interval && <rect class="bar-range" x={100 * low} y="3.5" width={Math.max(1, 100 * (high - low))} height="3" />}
    </svg>
  );
}
