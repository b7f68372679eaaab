/** Which period a machine's charts show, as kept in the address. Times are milliseconds. */

export type Preset = '15m' | '1h' | 'shift' | '24h';
export const PRESETS: Preset[] = ['15m', '1h', 'shift', '24h'];

export interface View {
  /** Follows the clock if set; else `from` and `to` stand. */
  preset: Preset | null;
  from: number | null;
  to: number | null;
  /** The moment that is pointed at. */
  at: number | null;
}

export interface Period {
  from: number;
  to: number;
}

export const MIN_PERIOD_MS = 20_000;
export const MAX_PERIOD_MS = 7 * 86_400_000;

export function periodOf(view: View, now: number, shift: Period | null): Period {
  if (view.preset === null && view.from !== null && view.to !== null) return { from: view.from, to: view.to };
  switch (view.preset) {
    case '1h':
      return { from: now - 3_600_000, to: now };
    case '24h':
      return { from: now - 86_400_000, to: now };
    case 'shift':
      // Without a shift calendar: eight hours.
      return shift ? { from: shift.from, to: Math.max(now, shift.from + MIN_PERIOD_MS) } : { from: now - 28_800_000, to: now };
    default:
      return { from: now - 900_000, to: now };
  }
}

/** Ordered, long enough to be drawn, short enough to be asked for. */
export function sane(period: Period): Period {
  const from = Math.min(period.from, period.to);
  const to = Math.max(period.from, period.to);
  const length = Math.min(MAX_PERIOD_MS, Math.max(MIN_PERIOD_MS, to - from));
  const middle = (from + to) / 2;
  return { from: Math.round(middle - length / 2), to: Math.round(middle + length / 2) };
}

export function zoom(period: Period, factor: number, around?: number): Period {
  const centre = around !== undefined && around > period.from && around < period.to ? around : (period.from + period.to) / 2;
  return sane({ from: centre - (centre - period.from) * factor, to: centre + (period.to - centre) * factor });
}

export function pan(period: Period, share: number): Period {
  const by = (period.to - period.from) * share;
  return { from: Math.round(period.from + by), to: Math.round(period.to + by) };
}
