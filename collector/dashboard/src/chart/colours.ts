/** The chart's colours come from the style sheet, so that light and dark are said in one place. */

export interface Colours {
  text: string;
  grid: string;
  line: string;
  band: string;
  cursor: string;
  red: string;
  amber: string;
  grey: string;
  panel: string;
  offline: string;
}

const NAMES: Record<keyof Colours, string> = {
  text: '--muted',
  grid: '--grid',
  line: '--series',
  band: '--series-band',
  cursor: '--accent',
  red: '--red',
  amber: '--amber',
  grey: '--state-wait',
  panel: '--panel',
  offline: '--state-offline',
};

function read(): Colours {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(Object.entries(NAMES).map(([k, v]) => [k, style.getPropertyValue(v).trim()])) as unknown as Colours;
}

let now: Colours | null = null;
const listeners = new Set<() => void>();

function renew(): void {
  now = null;
  for (const listener of listeners) listener();
}
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', renew);
document.addEventListener('themechange', renew);

export function colours(): Colours {
  now ??= read();
  return now;
}

export function onColours(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
