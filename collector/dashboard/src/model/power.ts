/** Energy of several machines as one: load over time, load duration, energy by state and shift. Pure. */

import { ENERGY_STATES, type EnergyAnswer, type EnergyState, type EnergyTotals, type SwitchOffSaving } from '../api/energy-types.ts';
import type { Period } from './range.ts';

const HOUR_MS = 3_600_000;
/** A stretch with less data than this makes no peak. */
const MIN_COVERAGE = 0.5;
/** Of all machines together; the collector tells 6,000. */
const MAX_BUCKETS = 5_500;

export interface Load {
  from: number;
  to: number;
  /** Mean power of what is known; `null`: nothing is. */
  kw: number | null;
  /** Share of machines and time for which there is power. */
  coverage: number;
  kwh: number;
}

type Machines = EnergyAnswer['machines'];

/** The machines' buckets added up. Where some of them have no data the sum is of the others, and the coverage says so. */
export function load(machines: Machines): Load[] {
  const sums = new Map<string, Load & { n: number }>();
  for (const { report } of machines) {
    for (const b of report.buckets) {
      const sum = sums.get(b.from) ?? { from: Date.parse(b.from), to: Date.parse(b.to), kw: null, coverage: 0, kwh: 0, n: 0 };
      sum.n++;
      sum.coverage += b.coverage;
      sum.kwh += b.kwh;
      // Of a bucket with holes the energy is that of the known part: the mean power is told of that part.
      const hours = ((sum.to - sum.from) / HOUR_MS) * b.coverage;
      if (hours > 0) sum.kw = (sum.kw ?? 0) + b.kwh / hours;
      sums.set(b.from, sum);
    }
  }
  return [...sums.values()].sort((a, b) => a.from - b.from).map(({ n, ...sum }) => ({ ...sum, coverage: sum.coverage / Math.max(n, machines.length) }));
}

/** The highest ones, highest first. */
export function peaks(loads: Load[], n: number): Load[] {
  return loads
    .filter((l) => l.kw !== null && l.coverage >= MIN_COVERAGE)
    .toSorted((a, b) => (b.kw as number) - (a.kw as number) || a.from - b.from)
    .slice(0, n);
}

/** For how large a share of the time at least so much power was drawn. */
export function loadDuration(loads: Load[]): { share: number; kw: number }[] {
  const known = loads.filter((l): l is Load & { kw: number } => l.kw !== null).toSorted((a, b) => b.kw - a.kw);
  const all = known.reduce((sum, l) => sum + (l.to - l.from), 0);
  let before = 0;
  const points: { share: number; kw: number }[] = [];
  for (const l of known) {
    points.push({ share: before / all, kw: l.kw });
    before += l.to - l.from;
    points.push({ share: before / all, kw: l.kw });
  }
  return points;
}

/** Each metered machine's base load together; `null` if of none. `of`: how many have one. */
export function baseLoad(machines: Machines): { kw: number | null; of: number } {
  const known = machines.flatMap((m) => (m.report.base_load_kw === null ? [] : [m.report.base_load_kw]));
  return { kw: known.length === 0 ? null : known.reduce((a, b) => a + b, 0), of: known.length };
}

export interface StateBar extends Period {
  name: string;
  kwh: Record<EnergyState, number>;
  total: number;
  produced: number;
  /** Machine-seconds with power; 0: nothing is known. */
  known_s: number;
  /** Machines that are in it. */
  machines: number;
}

const none = (): Record<EnergyState, number> => Object.fromEntries(ENERGY_STATES.map((s) => [s, 0])) as Record<EnergyState, number>;

/** Energy by state for each shift, over all machines. */
export function byShift(machines: Machines): StateBar[] {
  const bars = new Map<string, StateBar>();
  for (const { report } of machines) {
    for (const shift of report.by_shift) {
      const key = `${shift.from} ${shift.name}`;
      const bar = bars.get(key) ?? { name: shift.name, from: Date.parse(shift.from), to: Date.parse(shift.to), kwh: none(), total: 0, produced: 0, known_s: 0, machines: 0 };
      for (const state of ENERGY_STATES) bar.kwh[state] += shift.totals.by_state[state]?.kwh ?? 0;
      bar.total += shift.totals.kwh;
      bar.produced += shift.totals.produced_metered;
      bar.known_s += shift.totals.measured_s + shift.totals.interpolated_s;
      bar.machines++;
      bars.set(key, bar);
    }
  }
  return [...bars.values()].sort((a, b) => a.from - b.from);
}

/** Several shifts to one bar for each local day, if there are too many to be drawn side by side. */
export function byDay(bars: StateBar[], startOfDay: (ms: number) => number, nameOf: (ms: number) => string): StateBar[] {
  const days = new Map<number, StateBar>();
  for (const bar of bars) {
    const at = startOfDay(bar.from);
    const day = days.get(at) ?? { name: nameOf(at), from: bar.from, to: bar.to, kwh: none(), total: 0, produced: 0, known_s: 0, machines: 0 };
    for (const state of ENERGY_STATES) day.kwh[state] += bar.kwh[state];
    day.total += bar.total;
    day.produced += bar.produced;
    day.known_s += bar.known_s;
    day.to = bar.to;
    day.machines = Math.max(day.machines, bar.machines);
    days.set(at, day);
  }
  return [...days.values()];
}

export function ofState(totals: EnergyTotals): { state: EnergyState; kwh: number; share: number }[] {
  return ENERGY_STATES.map((state) => ({ state, kwh: totals.by_state[state]?.kwh ?? 0 }))
    .filter((s) => s.kwh > 0)
    .map((s) => ({ ...s, share: totals.kwh > 0 ? s.kwh / totals.kwh : 0 }));
}

/** What switching off would save, over all machines whose report says so; `null` if none does. */
export function switchOff(machines: Machines): SwitchOffSaving | null {
  const all = machines.flatMap((m) => (m.report.switch_off ? [m.report.switch_off] : []));
  if (all.length === 0) return null;
  const sum = (pick: (s: SwitchOffSaving) => number | null) => {
    const known = all.map(pick).filter((v): v is number => v !== null);
    return known.length === 0 ? null : known.reduce((a, b) => a + b, 0);
  };
  return {
    saved_kwh: sum((s) => s.saved_kwh) ?? 0,
    saved_kwh_per_week: sum((s) => s.saved_kwh_per_week),
    off_s: sum((s) => s.off_s) ?? 0,
    times: sum((s) => s.times) ?? 0,
    saved_cost: sum((s) => s.saved_cost),
    saved_co2_kg: sum((s) => s.saved_co2_kg),
  };
}

/** Quarter hours where they are few enough to be sent and drawn. */
export function energyBucket(period: Period, machines: number): 'quarter_hour' | 'hour' | 'day' {
  const hours = ((period.to - period.from) / HOUR_MS) * machines;
  if (hours * 4 <= MAX_BUCKETS) return 'quarter_hour';
  return hours <= MAX_BUCKETS ? 'hour' : 'day';
}
