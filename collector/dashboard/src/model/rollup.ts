/**
 * OEE of several machines, from sums of times and counts; averages of OEEs are never taken.
 *
 * Invariant: planned = effective + stops + speed + rejects, and availability * performance * quality = oee, as far as each is defined.
 */

import type { Asset, Oee } from '../api/types.ts';

/** Machine-seconds and parts. */
export interface Sums {
  plannedS: number;
  productionS: number;
  /** Ideal cycle time times all parts. */
  idealS: number;
  /** Ideal cycle time times good parts. */
  effectiveS: number;
  /** Planned time, and the part of it for which there was data. */
  operationS: number;
  knownS: number;
  produced: number;
  rejected: number;
  /** Machines that had something to add. */
  machines: number;
}

export interface RollUp extends Sums {
  availability: number | null;
  performance: number | null;
  quality: number | null;
  oee: number | null;
  lostStopsS: number;
  lostSpeedS: number;
  lostRejectsS: number;
  coverage: number | null;
}

export function finite(value: number | null | undefined): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** Parts of a machine in the shift so far; the OEE's own counts come first because they belong to the same period as its times. */
export function partsOf(oee: Oee | null, parts: Asset['parts']): { produced: number | null; rejected: number | null } {
  return {
    produced: finite(oee?.counts?.produced ?? parts?.produced),
    rejected: finite(oee?.counts?.rejected ?? parts?.rejected),
  };
}

/** What one machine adds; `null` if nothing was planned or nothing is known. */
export function sumsOf(oee: Oee | null, parts: Asset['parts'], idealCycleS: number | null): Sums | null {
  const plannedS = finite(oee?.times?.planned_busy_s);
  const productionS = finite(oee?.times?.production_s);
  if (oee === null || plannedS === null || productionS === null || plannedS <= 0) return null;
  const counted = partsOf(oee, parts);
  const produced = counted.produced ?? 0;
  const rejected = Math.min(counted.rejected ?? 0, produced);
  const performance = finite(oee.performance);
  // The collector's performance already holds several ideal cycles in one shift.
  const idealS = performance !== null ? performance * productionS : (finite(idealCycleS) ?? 0) * produced;
  const good = finite(oee.counts?.good) ?? produced - rejected;
  const effectiveS = produced > 0 ? (idealS * good) / produced : 0;
  const operationS = finite(oee.times?.planned_operation_s) ?? plannedS;
  const knownS = operationS - (finite(oee.times?.no_data_s) ?? 0);
  return { plannedS, productionS, idealS, effectiveS, operationS, knownS, produced, rejected, machines: 1 };
}

export function rollUp(items: Iterable<Pick<Asset, 'oee' | 'parts' | 'ideal_cycle_time_s'>>): RollUp {
  const sum: Sums = { plannedS: 0, productionS: 0, idealS: 0, effectiveS: 0, operationS: 0, knownS: 0, produced: 0, rejected: 0, machines: 0 };
  for (const item of items) {
    const one = sumsOf(item.oee, item.parts, item.ideal_cycle_time_s);
    if (one === null) continue;
    for (const key of Object.keys(sum) as (keyof Sums)[]) sum[key] += one[key];
  }
  const ratio = (a: number, b: number) => (b > 0 ? a / b : null);
  return {
    ...sum,
    availability: ratio(sum.productionS, sum.plannedS),
    performance: ratio(sum.idealS, sum.productionS),
    quality: ratio(sum.effectiveS, sum.idealS),
    oee: ratio(sum.effectiveS, sum.plannedS),
    lostStopsS: sum.plannedS - sum.productionS,
    lostSpeedS: sum.productionS - sum.idealS,
    lostRejectsS: sum.idealS - sum.effectiveS,
    coverage: ratio(sum.knownS, sum.operationS),
  };
}

/** How a machine stands, for counting and filtering: one word each, the worst first. */
export type Standing = 'stopped' | 'stale' | 'waiting' | 'producing';

export function standing(asset: Pick<Asset, 'state' | 'stale' | 'online'>): Standing {
  if (asset.stale || asset.state === null) return 'stale';
  if (asset.state === 'producing') return 'producing';
  if (asset.state === 'unplanned_stop' || asset.state === 'offline') return 'stopped';
  return 'waiting';
}

export function countStandings(assets: Iterable<Pick<Asset, 'state' | 'stale' | 'online'>>): Record<Standing, number> {
  const counts: Record<Standing, number> = { stopped: 0, stale: 0, waiting: 0, producing: 0 };
  for (const asset of assets) counts[standing(asset)]++;
  return counts;
}
