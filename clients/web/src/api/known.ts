// What the answers to this page must know at least. Where several servers share a database, one that did not make a change hears
// of it a little later, and a call may reach any of them.

export const AT_LEAST = "Headstart-At-Least";

let atLeast = 0;

/** Takes what an answer says of the changes that it made; null where it made none. */
export function remember(told: string | null): void {
  atLeast = Math.max(atLeast, Number(told));
}

export function withKnown(headers: Headers): Headers {
  if (atLeast) headers.set(AT_LEAST, String(atLeast));
  return headers;
}
