/** Which rows of a long list are to be drawn. Pure. */

/** Lists up to this length are drawn whole: find-in-page and printing work. */
export const DRAW_ALL_BELOW = 200;

/** `tops[i]` is where item i begins, `tops[n]` the height of all. Half-open range of the items that touch `[from, to)`. */
export function visible(tops: number[], from: number, to: number): [number, number] {
  const n = tops.length - 1;
  if (n <= 0) return [0, 0];
  let low = 0;
  let high = n;
  // First item that ends after `from`.
  while (low < high) {
    const mid = (low + high) >> 1;
    if ((tops[mid + 1] as number) <= from) low = mid + 1;
    else high = mid;
  }
  const first = low;
  let last = first;
  while (last < n && (tops[last] as number) < to) last++;
  return [first, last];
}

export function stack(heights: number[]): number[] {
  const tops = [0];
  for (const h of heights) tops.push((tops.at(-1) as number) + h);
  return tops;
}
