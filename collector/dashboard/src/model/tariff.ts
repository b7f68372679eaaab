/** A tariff as it is typed. Pure. */

import type { Tariff } from '../api/energy-types.ts';

const WORK = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday'];
const WEEKEND = ['saturday', 'sunday'];
export type DaySet = 'all' | 'work' | 'weekend' | 'own';

export function emptyTariff(): Tariff {
  return { base_price_per_kwh: 0, bands: [], holidays: [], price_per_kw_month: 0, co2_kg_per_kwh: null, co2_steps: [] };
}

/** "0.24" and "0,24" are the same; anything but a number is none. */
export function readNumber(text: string): number | null {
  const trimmed = text.trim().replace(',', '.');
  return /^-?\d*\.?\d+$|^-?\d+\.$/.test(trimmed) ? Number(trimmed) : null;
}

/** No days given: every day. */
export function setOf(weekdays: string[]): DaySet {
  const same = (days: string[]) => days.length === weekdays.length && days.every((d) => weekdays.includes(d));
  return weekdays.length === 0 || weekdays.length === 7 ? 'all' : same(WORK) ? 'work' : same(WEEKEND) ? 'weekend' : 'own';
}

export function daysOf(set: DaySet, own: string[]): string[] {
  return set === 'work' ? WORK : set === 'weekend' ? WEEKEND : set === 'own' ? own : [];
}

/** The first thing that can't be sent. */
export function tariffFault(t: Tariff): 'price' | 'demand' | 'co2' | 'band_name' | 'band_time' | 'band_price' | null {
  if (!Number.isFinite(t.base_price_per_kwh)) return 'price';
  if (!Number.isFinite(t.price_per_kw_month) || t.price_per_kw_month < 0) return 'demand';
  if (t.co2_kg_per_kwh !== null && (!Number.isFinite(t.co2_kg_per_kwh) || t.co2_kg_per_kwh < 0)) return 'co2';
  for (const band of t.bands) {
    if (band.name.trim() === '') return 'band_name';
    if (!/^\d\d:\d\d:\d\d/.test(band.from) || !/^\d\d:\d\d:\d\d/.test(band.to)) return 'band_time';
    if (!Number.isFinite(band.price_per_kwh)) return 'band_price';
  }
  return null;
}
