// Numbers and sentences in English, for the texts.

export const plural = (count: number, one: string, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
/** Neither 0 nor 100 % where it is only nearly so. */
export const percent = (share: number) => {
  const nearest = Math.round(100 * share);
  if (nearest === 0 && share > 0) return "under 1 %";
  return nearest === 100 && share < 1 ? "over 99 %" : `${nearest} %`;
};
export const range = (interval: [number, number]) => `${Math.round(100 * interval[0])} to ${Math.round(100 * interval[1])} %`;
export const sentences = (...parts: (string | 0)[]) => parts.filter(Boolean).join(" ");
