// What scenarios are given, and how they assert, in Node and in a browser.

import { ApiError, type Client, type Task } from "headstart-client";

export type Labelled = [label: string, file: File];

export interface World {
  url: string;
  client: Client;
  support: Labelled[];
  queries: Labelled[];
}

export type Scenarios = Record<string, (world: World) => Promise<void>>;

/** What went wrong in each scenario; null if nothing did. */
export async function outcomes(scenarios: Scenarios, world: World): Promise<Record<string, string | null>> {
  const found: Record<string, string | null> = {};
  for (const [name, scenario] of Object.entries(scenarios)) {
    found[name] = await scenario(world).then(
      () => null,
      (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error)),
    );
  }
  return found;
}

export function equal(actual: unknown, expected: unknown): void {
  const [one, other] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (one !== other) throw new Error(`${one}\nis not\n${other}`);
}

export function among<Item>(item: Item, items: readonly Item[]): void {
  if (!items.includes(item)) throw new Error(`${item} is not among ${JSON.stringify(items)}`);
}

export async function rejects(call: Promise<unknown>, fits: (error: unknown) => boolean): Promise<void> {
  const outcome = await call.then(
    () => new Error("nothing was thrown"),
    (error: unknown) => (fits(error) ? null : error),
  );
  if (outcome !== null) throw outcome;
}

/** How many examples each class has. */
export const sizes = (task: Task): Record<string, number> =>
  Object.fromEntries(task.classes.map(({ label, examples }) => [label, examples]));

export const refused = (code: string) => (error: unknown) => error instanceof ApiError && error.code === code;

export async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}
