// The five tabs. Arrow keys move between them, as the ARIA pattern for tabs has it.

import { useRef } from "preact/hooks";
import { TABS, type Tab, chosen, go, tab } from "../state/route";
import { texts } from "../texts";

const STEPS: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, Home: -TABS.length, End: TABS.length };

export function TabBar() {
  const bar = useRef<HTMLDivElement>(null);
  const move = (event: KeyboardEvent, from: Tab) => {
    const step = STEPS[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const last = TABS.length - 1;
    const at = TABS.indexOf(from);
    const to = Math.abs(step) === 1 ? (at + step + TABS.length) % TABS.length : Math.max(0, Math.min(last, at + step));
    go(chosen.value, TABS[to]);
    bar.current?.querySelectorAll<HTMLElement>("[role=tab]")[to]?.focus();
  };
  return (
    <div class="tabs" role="tablist" ref={bar}>
      {TABS.map((each) => (
        <button
          type="button"
          role="tab"
          key={each}
          id={`tab-${each}`}
          aria-controls="panel"
          aria-selected={tab.value === each}
          tabIndex={tab.value === each ? 0 : -1}
          onClick={() => go(chosen.value, each)}
          onKeyDown={(event) => move(event, each)}
        >
          {texts.tabs[each]}
        </button>
      ))}
    </div>
  );
}
