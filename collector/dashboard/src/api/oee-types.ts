/** OEE with what explains it, stop reasons and restatements, as the collector tells them. */

import type { Losses, Oee } from './types.ts';

export type Cause =
  | 'not_planned'
  | 'planned_stop'
  | 'no_data'
  | 'unplanned_stop'
  | 'setup'
  | 'minor_stop'
  | 'idle'
  | 'offline'
  | 'reduced_speed'
  | 'producing';

export type LossCategory = keyof Losses | 'planned_stop';

export interface LossNode {
  key: string;
  micros: number;
  seconds: number;
  /** Of the planned busy time. */
  share: number | null;
  parts: number | null;
  stops: number | null;
  children: LossNode[];
}

export type ParetoBy = 'reason' | 'top_reason' | 'category';

export interface ParetoRow {
  key: string;
  name: string;
  category: LossCategory;
  has_reason: boolean;
  seconds: number;
  share: number | null;
  cumulative: number | null;
  parts: number | null;
  stops: number;
  mean_s: number | null;
  every_s: number | null;
}

export interface Interval {
  from: string;
  to: string;
  seconds: number;
  cause: Cause;
  loss: LossCategory | null;
  rule: string;
  reason: string | null;
  reason_name: string | null;
  evidence: {
    state: string | null;
    state_since: string | null;
    stood_s: number | null;
    machine_reason: string | null;
    registration: string | null;
    registered_by: string | null;
    registered_at: string | null;
    comment: string | null;
    from_product: string | null;
    to_product: string | null;
  };
  parts: { produced: number; rejected: number; reworked: number; ideal_s: number | null; slow_s: number | null } | null;
}

export interface Ratios {
  availability: number | null;
  performance: number | null;
  quality: number | null;
  oee: number | null;
}

export interface Comparison {
  before: Ratios;
  after: Ratios;
  oee_points: number | null;
  factors: { factor: string; points: number; oee_points: number }[];
  losses: {
    key: string;
    name: string;
    category: LossCategory;
    before_s: number;
    after_s: number;
    points: number;
    parts: number | null;
    stops_before: number;
    stops_after: number;
  }[];
  planned_busy_s: number;
  planned_busy_before_s: number;
  good_parts: number;
}

export interface RollUp {
  level: 'plant' | 'site' | 'area' | 'line' | 'machine';
  path: string;
  machines: number;
  oee: Oee;
  children: RollUp[];
}

export interface RunFigures {
  product: string;
  order: string;
  from: string;
  to: string;
  oee: Oee;
}

export interface OeeDetail {
  asset: string;
  from: string;
  to: string;
  total: Oee;
  buckets: { from: string; to: string; oee: Oee | null }[];
  losses: LossNode;
  pareto: { rows: ParetoRow[]; total_s: number };
  intervals: Interval[] | null;
  intervals_truncated: boolean;
  runs: RunFigures[] | null;
  comparison: Comparison | null;
  roll_up: RollUp | null;
}

export type Change =
  | { change: 'minor_stops_gone'; below_s: number }
  | { change: 'reason_shorter'; reason: string; less: number }
  | { change: 'category_shorter'; category: LossCategory; less: number }
  | { change: 'cycle_faster'; faster: number }
  | { change: 'fewer_rejects'; less: number };

export interface WhatIf {
  before: Ratios;
  after: Ratios;
  gain_points: Ratios;
  freed_s: number;
  parts: number | null;
  good_parts: number | null;
  parts_a_shift: number | null;
  good_parts_a_shift: number | null;
  flags: string[];
}

export interface ShiftView {
  name: string;
  from: string;
  to: string;
}

export interface StopReason {
  code: string;
  name: string;
  category: LossCategory | null;
  parent: string | null;
  retired: boolean;
}

export interface Assignment {
  id: string;
  asset: string;
  from: string;
  to: string;
  reason: string | null;
  by: string;
  at: string;
  comment: string;
}

export interface Assigned {
  assignment: Assignment;
  restated: { asset: string; shift: string; from: string; to: string; revision: number; oee_before: number | null; oee_after: number | null }[];
}

/** Why a figure was told anew; the fields beside `kind` depend on it. */
export interface RestatementWhy {
  kind: string;
  period?: { from: string; to: string };
  by?: string;
  at?: string;
  reason?: string | null;
  comment?: string;
}

export interface Restated {
  asset: string;
  shift: string;
  record: {
    period: { from: string; to: string };
    revision: number;
    first_stated_at: string;
    stated_at: string;
    oee: Oee;
    history: {
      revision: number;
      at: string;
      why: RestatementWhy[];
      oee_points: number | null;
      changes: { figure: string; before: number | null; after: number | null }[];
      flags_added: string[];
      flags_removed: string[];
    }[];
    forgotten: number;
  };
}
