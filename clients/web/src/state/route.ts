// The chosen task and tab, which stand in the address so that reloading the page keeps them: `#task_01…/ask`.

import { computed, signal } from "@preact/signals";

export const TABS = ["teach", "ask", "improve", "trust", "use"] as const;
export type Tab = (typeof TABS)[number];

const hash = signal(location.hash.slice(1));
addEventListener("hashchange", () => (hash.value = location.hash.slice(1)));

const parts = computed(() => hash.value.split("/"));

/** The id of the chosen task; null for a new one. */
export const chosen = computed(() => (parts.value[0]?.startsWith("task_") ? parts.value[0] : null));
export const tab = computed<Tab>(() => TABS.find((each) => each === parts.value[1]) ?? "teach");
/** Whether the address names a task, or says that there is to be a new one. */
export const isNamed = () => location.hash.length > 1;

export function go(task: string | null, to: Tab = tab.value): void {
  hash.value = `${task ?? "new"}/${to}`;
  location.hash = hash.value;
}
