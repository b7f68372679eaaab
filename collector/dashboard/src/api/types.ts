/** The collector's JSON as this page reads it. Times are RFC 3339 UTC text, ratios fractions; `null` means unknown, never zero. */

export type MachineState = 'producing' | 'idle' | 'setup' | 'planned_stop' | 'unplanned_stop' | 'offline';
/** What a timeline can show: a state, or that nobody knows. */
export type SpanState = MachineState | 'no_data';
export type Quality = 'good' | 'uncertain' | 'bad';
export type Severity = 'low' | 'medium' | 'high' | 'critical';

export interface Session {
  name: string;
  role: string;
  timezone: string;
  version: string;
  now: string;
}

export interface SignalValue {
  signal: string;
  unit: string;
  value: number | null;
  event_time: string | null;
  quality: Quality | null;
}

/** The six big losses, in seconds. */
export interface Losses {
  breakdowns: number | null;
  setup_and_adjustments: number | null;
  minor_stops: number | null;
  reduced_speed: number | null;
  process_defects: number | null;
  startup_rejects: number | null;
}

/** Only what is used here; the body holds more. */
export interface Oee {
  availability: number | null;
  performance: number | null;
  quality: number | null;
  oee: number | null;
  times?: { planned_operation_s?: number; no_data_s?: number; planned_busy_s: number; production_s: number };
  counts?: { produced: number; good: number; rejected: number; reworked: number };
  losses?: Losses;
  /** Share of the planned time for which there was data; the ratios speak of that share only. */
  coverage?: number | null;
  flags?: string[];
}

export interface Anomaly {
  asset: string;
  signal: string;
  event_time: string;
  kind: string;
  severity: Severity;
  value: number | null;
  threshold: number | null;
  score: number | null;
  detector: string;
  message: string;
}

export interface Asset {
  asset: string;
  site: string;
  area: string;
  line: string;
  machine: string;
  gateway: string | null;
  online: boolean;
  stale: boolean;
  state: MachineState | null;
  state_since: string | null;
  stop_reason: string | null;
  ideal_cycle_time_s: number | null;
  signals: SignalValue[];
  shift: { name: string; from: string; to: string } | null;
  oee: Oee | null;
  parts: { produced: number | null; rejected: number | null } | null;
  last_anomaly: Anomaly | null;
}

export interface Source {
  name: string;
  kind: string;
  connected: boolean;
  last_data_at: string | null;
  error: string | null;
}

export type Verdict = 'balanced' | 'in_flight' | 'unaccounted' | 'unknown';

/** The collector's account of a gateway's readings: its own counts held against those that the gateway keeps. */
export interface Audit {
  taken?: number | null;
  stored?: number | null;
  lost?: number | null;
  /** Losses of which only the range is known. */
  lost_unknown?: number | null;
  /** Stored more than once. */
  twice?: number | null;
  late?: number | null;
  in_flight?: number | null;
  /** Parts of `in_flight`: in windows that are open, in entries that wait to be sent. */
  open?: number | null;
  held?: number | null;
  unaccounted?: number | null;
  since?: string | null;
  verdict?: string | null;
  text?: string | null;
}

export interface Alarm {
  kind: string;
  since?: string | null;
  detail?: string | null;
}

export interface Gateway {
  gateway: string;
  online: boolean;
  last_seen: string | null;
  enrolled_at: string | null;
  revoked_at?: string | null;
  version: string | null;
  boot_id: string | number | null;
  started_at: string | null;
  backlog_entries: number | null;
  spool_bytes: number | null;
  oldest_unsent_age_s: number | null;
  skew_s: number | null;
  time_quality: string | null;
  readings_total: number | null;
  readings_stored: number | null;
  dropped_total: number | null;
  losses: Record<string, number> | null;
  duplicates_total: number | null;
  duplicate_batches: number | null;
  batches: number | null;
  sources: Source[] | null;
  // Older collectors tell none of these.
  audit?: Audit | null;
  skew_us?: number | null;
  durable?: boolean | null;
  written_today_bytes?: number | null;
  spool_max_bytes?: number | null;
  /** How long the buffer lasts without a collector, at the rate of now. */
  spool_hours_left?: number | null;
  generations?: number | null;
  alarms?: Alarm[] | null;
}

export interface Span {
  from: string;
  to: string;
  state: SpanState;
  stop_reason: string | null;
}

export interface OeeAnswer {
  asset: string;
  from: string;
  to: string;
  total: Oee | null;
  buckets: { from: string; to: string; oee: Oee | null }[];
}

export interface MetricsAnswer {
  asset: string;
  signal: string;
  unit: string;
  step_s: number;
  points: { at: string; count: number; min: number | null; max: number | null; mean: number | null }[];
}

export interface Loss {
  gateway: string;
  asset: string | null;
  signal: string | null;
  reason: string;
  count: number;
  from: string;
  to: string;
  detail: string | null;
}

export interface LossPage {
  items: Loss[];
  next?: string | null;
}

export interface Summary {
  asset: string;
  signal: string;
  unit: string;
  start: string;
  end: string;
  count: number;
  min: number;
  max: number;
  mean: number;
  last: number;
  quality: Quality;
}

export type ServerMessage =
  | { type: 'Subscribed'; payload?: unknown }
  | { type: 'Heartbeat'; payload: { at: string } }
  | { type: 'Metrics'; payload: { summaries?: Summary[] } }
  | {
      type: 'Events';
      payload: {
        states?: { asset: string; event_time: string; state: MachineState; stop_reason: string | null }[];
        parts?: { asset: string; from: string; to: string; produced: number; rejected: number }[];
        assets?: Asset[];
        gateways?: Gateway[];
      };
    }
  | { type: 'Alerts'; payload: { anomalies?: Anomaly[] } }
  | { type: 'Lagged'; payload: { dropped: number } };
