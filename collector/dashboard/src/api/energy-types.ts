/** Energy, cost and tariffs, as the collector tells them. */

export const ENERGY_STATES = ['producing', 'idle', 'setup', 'planned_stop', 'unplanned_stop', 'offline', 'unknown'] as const;
export type EnergyState = (typeof ENERGY_STATES)[number];

export interface EnergyTime {
  kwh: number;
  known_s: number;
  total_s: number;
}

export interface EnergyTotals {
  kwh: number;
  interpolated_kwh: number;
  undated_kwh: number;
  measured_s: number;
  interpolated_s: number;
  period_s: number;
  by_state: Record<EnergyState, EnergyTime>;
  produced: number;
  good: number;
  produced_metered: number;
  good_metered: number;
}

export interface EnergyRatios {
  per_part_kwh: number | null;
  per_good_part_kwh: number | null;
  non_producing_share: number | null;
  mean_kw: number | null;
  coverage: number;
  measured_share: number;
}

export interface Cost {
  energy: number;
  demand: number;
  total: number;
  by_band: { name: string | null; price_per_kwh: number; kwh: number; cost: number }[];
  by_month: { month: string; peak_kw: number; peak_at: string; cost: number; whole: boolean }[];
  co2_kg: number | null;
  co2_unknown_kwh: number;
}

export interface Quarter {
  from: string;
  kw: number | null;
  coverage: number;
}

export interface SwitchOffSaving {
  saved_kwh: number;
  saved_kwh_per_week: number | null;
  off_s: number;
  times: number;
  saved_cost: number | null;
  saved_co2_kg: number | null;
}

export interface EnergyReport {
  from: string;
  to: string;
  totals: EnergyTotals;
  ratios: EnergyRatios;
  base_load_kw: number | null;
  by_shift: { name: string; from: string; to: string; totals: EnergyTotals; ratios: EnergyRatios }[];
  outside_shifts: EnergyTime;
  buckets: { from: string; to: string; kwh: number; coverage: number }[];
  peaks: Quarter[];
  load_duration: { share: number; kw: number }[];
  quarters: Quarter[];
  cost: Cost | null;
  switch_off: SwitchOffSaving | null;
  hole_count: number;
  flags: string[];
}

export interface EnergyAnswer {
  asset: string;
  from: string;
  to: string;
  machines: { asset: string; signal: string; report: EnergyReport }[];
  total: { totals: EnergyTotals; ratios: EnergyRatios; cost: Cost | null; peaks?: Quarter[] | null } | null;
  unmetered?: string[] | null;
}

export interface Band {
  name: string;
  weekdays: string[];
  from: string;
  to: string;
  price_per_kwh: number;
}

export interface Tariff {
  base_price_per_kwh: number;
  bands: Band[];
  holidays: string[];
  price_per_kw_month: number;
  co2_kg_per_kwh: number | null;
  co2_steps: { from: string; kg_per_kwh: number }[];
}
