/** Predictions of failures, reliability and maintenance events, as the collector tells them. */

export interface Estimate {
  value: number;
  lower: number | null;
  upper: number | null;
}

export interface Prediction {
  device_id: string;
  /** 0 failed, 1 healthy. */
  health: number | null;
  rul: { hours: number; lower_h: number; upper_h: number | null; confidence: number } | null;
  failure_probability: number | null;
  horizon_h: number;
  estimates: {
    method: string;
    rul_h: number;
    lower_h: number;
    upper_h: number | null;
    weight: number;
    failure_probability: number;
    model_version: string | null;
    held_back_rmse_h: number | null;
  }[];
  drivers: { kind: string; name: string; share: number; lost: number; detail: string }[];
  flags: string[];
  explanation: string[];
}

/** What the events of a work order or a failure hold; only a few fields are sure. */
export interface EventBody {
  id?: string;
  kind?: string;
  asset?: string;
  at?: string;
  component?: string;
  work_order?: string;
  work_order_kind?: string;
  comment?: string;
  text?: string;
  by?: string;
}

export interface MaintenanceItem {
  asset: string;
  rank: number;
  prediction: Prediction;
  predicted_at: string | null;
  open_work_orders: (EventBody | string)[];
  last_failure: EventBody | string | null;
}

export interface ModelCard {
  version: string;
  kind: string;
  state: string;
  trained_at: string | null;
  machines: number | null;
  failures: number | null;
  held_back_rmse_h: number | null;
  held_back_coverage: number | null;
  /** What saying the median life would have been wrong by. */
  median_life_rmse_h?: number | null;
  features: string[] | null;
  reason: string | null;
}

export interface Mtbf {
  mtbf_h: number | null;
  lower_h: number | null;
  upper_h: number | null;
  one_sided_lower_h: number | null;
  confidence: number;
  failures: number;
  operating_time_h: number;
  flags: string[];
}

export interface MaintenanceKpis {
  mtbf: Mtbf;
  mttr_h: number | null;
  mean_down_time_h: number | null;
  mttf_h: Record<string, Mtbf>;
  availability?: Estimate | null;
  inherent_availability: number | null;
  operational_availability: number | null;
  corrective_maintenance_ratio: number | null;
  flags: string[];
}

export interface KaplanMeierStep {
  age_h: number;
  at_risk: number;
  failures: number;
  censored: number;
  survival: number;
  lower: number | null;
  upper: number | null;
}

export interface Fit {
  units: number;
  failures: number;
  confidence: number;
  weibull: {
    beta: Estimate;
    eta_h: Estimate;
    b10_h: Estimate | null;
    mean_life_h: number | null;
    curve: { age_h: number; reliability: Estimate }[];
  } | null;
  weibull_error: string | null;
  kaplan_meier: { steps: KaplanMeierStep[]; median_h: number | null; median_lower_h: number | null; median_upper_h: number | null };
  replacement: Replacement | null;
  flags: string[];
  notes: string[];
}

export interface Replacement {
  finding: string;
  age_h: number | null;
  cost_per_hour: number | null;
  run_to_failure_cost_per_hour: number | null;
  saving: number | null;
  failure_before_replacement: number | null;
  curve: { age_h: number; cost_per_hour: number }[];
}

export interface Reliability {
  asset: string;
  from: string;
  to: string;
  machines: number;
  kpis: MaintenanceKpis | null;
  fit: Fit | null;
  growth: { direction?: string; instantaneous_mtbf_h?: Estimate; cumulative_mtbf_h?: Estimate } | null;
  trend: { laplace?: { p_value: number; direction: string } } | null;
  replacement: Replacement | null;
  flags: string[];
}

export interface Score {
  model_version: string;
  true_rul_h: number;
  censored: boolean;
  error_h: number | null;
  in_interval: boolean | null;
}

export interface PastPrediction {
  at: string;
  rul_h: number | null;
  lower_h: number | null;
  upper_h: number | null;
  health: number | null;
  failure_probability: number | null;
  model_version: string | null;
  score: Score | null;
}

export interface ScoreSummary {
  predictions: number;
  failed: number;
  censored: number;
  censored_too_early: number;
  mean_absolute_error_h: number | null;
  rmse_h: number | null;
  bias_h: number | null;
  coverage: number | null;
}

export interface MaintenanceAnswer {
  items: MaintenanceItem[];
  /** Machines of the scope; there may be more than items. */
  total?: number;
  models?: ModelCard[] | null;
}

export interface PredictionsAnswer {
  items: PastPrediction[];
  summary: Record<string, ScoreSummary>;
}
