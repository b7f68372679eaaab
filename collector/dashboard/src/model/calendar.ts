/** Days, weeks, months and shifts of the plant, and the period that a page shows. Pure. Times are milliseconds; the plant's zone decides. */

import type { Period } from './range.ts';

export const KINDS = ['shift', 'day', 'week', 'month', 'custom'] as const;
export type PeriodKind = (typeof KINDS)[number];

/** As kept in the address. `at`: a moment within the period; `null`: the one that runs. */
export interface PeriodChoice {
  kind: PeriodKind;
  at: number | null;
  from: number | null;
  to: number | null;
}

export interface Shift extends Period {
  name: string;
}

/** The collector answers no longer period than this. */
export const LONGEST_MS = 62 * 86_400_000;
const SHIFT_MS = 8 * 3_600_000;
const DAY_MS = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

interface Local {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

function local(ms: number, zone: string): Local {
  let format = formats.get(zone);
  if (!format) {
    const n = 'numeric';
    format = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', year: n, month: n, day: n, hour: n, minute: n, second: n });
    formats.set(zone, format);
  }
  const parts: Record<string, number> = {};
  for (const { type, value } of format.formatToParts(ms)) parts[type] = Number(value);
  const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0 } = parts;
  return { year, month, day, hour, minute, second };
}

function offset(ms: number, zone: string): number {
  const l = local(ms, zone);
  return Date.UTC(l.year, l.month - 1, l.day, l.hour, l.minute, l.second) - Math.floor(ms / 1000) * 1000;
}

/** The moment that a clock on the wall shows: of one that is shown twice the first, of one that is skipped what the clock is set to. */
function moment(wall: number, zone: string): number {
  const before = wall - offset(wall - DAY_MS, zone);
  const after = wall - offset(wall + DAY_MS, zone);
  const right = [before, after].filter((ms) => ms + offset(ms, zone) === wall);
  return right.length > 0 ? Math.min(...right) : before;
}

export function startOfDay(ms: number, zone: string, plusDays = 0): number {
  const l = local(ms, zone);
  return moment(Date.UTC(l.year, l.month - 1, l.day + plusDays), zone);
}

/** Weeks begin on Monday. */
export function startOfWeek(ms: number, zone: string, plusWeeks = 0): number {
  const l = local(ms, zone);
  const weekday = (new Date(Date.UTC(l.year, l.month - 1, l.day)).getUTCDay() + 6) % 7;
  return startOfDay(ms, zone, 7 * plusWeeks - weekday);
}

export function startOfMonth(ms: number, zone: string, plusMonths = 0): number {
  const l = local(ms, zone);
  return moment(Date.UTC(l.year, l.month - 1 + plusMonths, 1), zone);
}

/** For `<input type="datetime-local" step="1">`, in the plant's time. */
export function toWall(ms: number, zone: string): string {
  return new Date(Math.floor(ms / 1000) * 1000 + offset(ms, zone)).toISOString().slice(0, 19);
}

export function fromWall(text: string, zone: string): number | null {
  const wall = Date.parse(`${text}Z`);
  return Number.isFinite(wall) ? moment(wall, zone) : null;
}

/** The shift at a moment, else the last one before it. */
export function shiftAt(shifts: Shift[], at: number): Shift | null {
  return shifts.findLast((s) => s.from <= at) ?? null;
}

/** Where the period lies; `null` while the shifts are not known yet. It may end in the future. */
export function resolve(choice: PeriodChoice, now: number, zone: string, shifts: Shift[] | null): Period | null {
  const at = Math.min(choice.at ?? now, now);
  switch (choice.kind) {
    case 'custom':
      if (choice.from !== null && choice.to !== null && choice.to > choice.from)
        return { from: Math.max(choice.from, choice.to - LONGEST_MS), to: choice.to };
      return { from: now - 86_400_000, to: now };
    case 'shift': {
      if (shifts === null) return null;
      const shift = shiftAt(shifts, at);
      return shift ? { from: shift.from, to: shift.to } : { from: at - SHIFT_MS, to: at };
    }
    case 'day':
      return { from: startOfDay(at, zone), to: startOfDay(at, zone, 1) };
    case 'week':
      return { from: startOfWeek(at, zone), to: startOfWeek(at, zone, 1) };
    case 'month':
      return { from: startOfMonth(at, zone), to: startOfMonth(at, zone, 1) };
  }
}

/** The period of the same kind before (-1) or after (+1). */
export function neighbour(kind: PeriodKind, period: Period, by: -1 | 1, zone: string, shifts: Shift[]): Period {
  const day = Math.min(period.from, period.to - 1);
  switch (kind) {
    case 'shift': {
      const next = by < 0 ? shifts.findLast((s) => s.to <= period.from) : shifts.find((s) => s.from >= period.to);
      if (next) return { from: next.from, to: next.to };
      break;
    }
    case 'day':
      return { from: startOfDay(day, zone, by), to: startOfDay(day, zone, by + 1) };
    case 'week':
      return { from: startOfWeek(day, zone, by), to: startOfWeek(day, zone, by + 1) };
    case 'month':
      return { from: startOfMonth(day, zone, by), to: startOfMonth(day, zone, by + 1) };
    case 'custom':
      break;
  }
  const length = period.to - period.from;
  return { from: period.from + by * length, to: period.to + by * length };
}

/** How a trend over the period is cut: few enough points to read, enough to see something. */
export function bucketFor(period: Period): 'hour' | 'shift' | 'day' {
  const days = (period.to - period.from) / 86_400_000;
  return days <= 2.1 ? 'hour' : days <= 9 ? 'shift' : 'day';
}

/** How often a running period is asked for again: a long one costs the collector more, and moves less. */
export function refreshFor(period: Period): number {
  return Math.round(Math.min(600_000, Math.max(30_000, ((period.to - period.from) / DAY_MS) * 30_000)));
}
