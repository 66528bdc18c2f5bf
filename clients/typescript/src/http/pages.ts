/** All items of one of the API's lists; each page is fetched when its first item is needed. */
export async function* pages<Item>(
  page: (cursor: string | null) => Promise<{ items: Item[]; next_cursor: string | null }>,
): AsyncGenerator<Item, void, undefined> {
  let cursor: string | null = null;
  do {
    const { items, next_cursor }: { items: Item[]; next_cursor: string | null } = await page(cursor);
    yield* items;
    cursor = next_cursor;
  } while (cursor !== null);
}
