// The API key of this browser, for servers that ask for one. It lasts as long as the tab, or until it is forgotten.

import { signal } from "@preact/signals";

const NAME = "headstart-key";

export const key = signal(read());
/** Why the page is closed: the server was sent no key, or one that is not valid. Null while it is open. */
export const locked = signal<"missing" | "invalid" | null>(null);

// Another tab of this browser took a kept key, or forgot it.
addEventListener("storage", (event) => event.key === NAME && event.oldValue === key.value && location.reload());

/** @param isKept whether the key outlasts this tab */
export function useKey(given: string, isKept: boolean): void {
  erase();
  key.value = given;
  try {
    (isKept ? localStorage : sessionStorage).setItem(NAME, given);
  } catch {
    // The browser keeps nothing for pages. The key lasts until the page is closed.
  }
}

export function forgetKey(): void {
  erase();
  key.value = null;
}

/** The headers of a call: those given, and the key. */
export function withKey(given?: HeadersInit): Headers {
  const headers = new Headers(given);
  if (key.value) headers.set("Authorization", `Bearer ${key.value}`);
  return headers;
}

/** Closes the page after an answer to a request without a valid key, unless another key was given since it was sent. */
export function lock(sent: string | null): void {
  if (sent !== key.value) return;
  locked.value = sent ? "invalid" : "missing";
  forgetKey();
}

function erase(): void {
  try {
    for (const storage of [sessionStorage, localStorage]) storage.removeItem(NAME);
  } catch {
    // It was kept nowhere.
  }
}

function read(): string | null {
  try {
    return sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME);
  } catch {
    return null;
  }
}
