/** What is left of a machine's life, on one scale for all machines; survival as steps. Pure. */

import type { KaplanMeierStep, Prediction } from '../api/maintenance-types.ts';

/** Hours at which the common scale has a mark. */
export const LIFE_MARKS = [1, 8, 24, 168, 720, 2160, 8760, 43_800] as const;

export type HealthWord = 'good' | 'watch' | 'poor' | 'unknown';

export function healthWord(health: number | null): HealthWord {
  if (health === null || !Number.isFinite(health)) return 'unknown';
  return health >= 0.8 ? 'good' : health >= 0.5 ? 'watch' : 'poor';
}

/** A time scale from one hour on, logarithmic: what fails today and what fails next year fit on one line. `end`: its last mark. */
export function lifeScale(predictions: Pick<Prediction, 'rul'>[]): { end: number; place: (hours: number) => number; marks: number[] } {
  let longest = 24;
  for (const { rul } of predictions) if (rul) longest = Math.max(longest, rul.upper_h ?? rul.hours * 1.5);
  const end = LIFE_MARKS.find((m) => m >= longest) ?? (LIFE_MARKS.at(-1) as number);
  const span = Math.log(end);
  return {
    end,
    place: (hours) => Math.max(0, Math.min(1, Math.log(Math.max(1, hours)) / span)),
    marks: LIFE_MARKS.filter((m) => m <= end),
  };
}

export interface StepPoint {
  age: number;
  survival: number;
  lower: number | null;
  upper: number | null;
}

/** The curve as it is drawn: from age 0, level between two steps. */
export function survivalSteps(steps: KaplanMeierStep[]): StepPoint[] {
  let last: StepPoint = { age: 0, survival: 1, lower: 1, upper: 1 };
  const points = [last];
  for (const s of steps) {
    points.push({ ...last, age: s.age_h });
    last = { age: s.age_h, survival: s.survival, lower: s.lower, upper: s.upper };
    points.push(last);
  }
  return points;
}

/** Two or three parts of a length of life: "5 h", "3 days", "7 weeks", as number and unit. */
export function lifeParts(hours: number): { value: number; unit: 'h' | 'd' | 'wk' | 'mo' | 'y' } {
  const units = [
    ['y', 8760],
    ['mo', 730],
    ['wk', 168],
    ['d', 24],
  ] as const;
  for (const [unit, length] of units) if (hours >= 2 * length) return { value: hours / length, unit };
  return { value: hours, unit: 'h' };
}

/** Whether a prediction asks for somebody to look. */
export function urgency(p: Prediction): 'now' | 'soon' | 'none' | 'unknown' {
  if (p.flags.includes('limit_passed')) return 'now';
  if (p.rul === null && p.failure_probability === null) return 'unknown';
  const chance = p.failure_probability ?? 0;
  const hours = p.rul?.hours ?? Number.POSITIVE_INFINITY;
  if (chance >= 0.5 || hours <= 24) return 'now';
  return chance >= 0.2 || hours <= 168 ? 'soon' : 'none';
}
