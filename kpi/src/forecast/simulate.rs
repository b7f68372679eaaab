//! The simulations behind a forecast; see there for the model.
//!
//! Invariant: simulation i draws from streams of its own (parameters, stops, parts), so that base and changed case meet the same luck.

use protocol::Timestamp;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{Beta, ContinuousCDF, Gamma, Normal};

use super::{Change, ENOUGH_STOPS, Finish, Forecast, ForecastFlag, ForecastRequest, Outcome, Span};
use crate::utc::{Period, Utc};

/// Up to this many parts rejects are drawn one by one.
const FEW_PARTS: f64 = 200.0;

pub(super) fn run(request: &ForecastRequest) -> Forecast {
    let plan = Plan::new(request);
    let base = all(request, &plan, Change::default());
    let changed = request.change.map(|change| all(request, &plan, change));
    let less = |pick: fn(&Trial) -> f64| {
        let changed = changed.as_ref()?;
        span(changed.iter().zip(&base).map(|(c, b)| pick(c) - pick(b)).collect(), request.confidence)
    };
    let h = &request.history;
    let unfinished = |trials: &[Trial]| trials.iter().any(|t| t.finish_s.is_none());
    let flags = [
        (ForecastFlag::NoStopsSeen, h.stops_s.is_empty()),
        (ForecastFlag::FewStops, !h.stops_s.is_empty() && h.stops_s.len() < ENOUGH_STOPS),
        (ForecastFlag::LongestStop, request.standing_s.is_some_and(|s| !h.stops_s.iter().any(|stop| *stop > s))),
        (ForecastFlag::RejectsUnknown, h.produced == 0),
        (ForecastFlag::OrderBeyondWindows, request.order.is_some() && (unfinished(&base) || changed.as_deref().is_some_and(unfinished))),
        (ForecastFlag::NothingPlanned, plan.rest_s == 0.0),
    ];
    Forecast {
        base: outcome(request, &plan, &base),
        changed: changed.as_ref().map(|c| outcome(request, &plan, c)),
        more_good: less(|t| t.good),
        more_kwh: less(|t| t.kwh),
        flags: flags.into_iter().filter_map(|(flag, raised)| raised.then_some(flag)).collect(),
    }
}

/// Planned time from now on, as one axis of seconds.
struct Plan {
    windows: Vec<Period>,
    /// Until the end of the shift.
    rest_s: f64,
    all_s: f64,
}

impl Plan {
    fn new(request: &ForecastRequest) -> Self {
        let now = request.now;
        let mut windows: Vec<Period> =
            request.windows.iter().map(|w| Period { from: w.from.max(now), to: w.to }).filter(|w| w.from < w.to).collect();
        windows.sort_by_key(|w| w.from);
        let seconds = |from: Utc, to: Utc| to.0.micros_since(from.0).max(0) as f64 / 1e6;
        let rest_s = windows.iter().map(|w| seconds(w.from, w.to.min(request.until))).sum();
        let all_s = windows.iter().map(|w| seconds(w.from, w.to)).sum();
        Self { windows, rest_s, all_s }
    }

    /// When `planned_s` of planned time will have passed.
    fn at(&self, planned_s: f64) -> Option<Utc> {
        let mut left = (planned_s * 1e6) as i64;
        for w in &self.windows {
            let length = w.to.0.micros_since(w.from.0);
            if left <= length {
                return Some(Utc(Timestamp::from_micros(w.from.0.as_micros() + left)));
            }
            left -= length;
        }
        None
    }
}

/// One simulation: the rest of the shift, without what was before.
struct Trial {
    produced: f64,
    good: f64,
    up_s: f64,
    kwh: f64,
    /// On the axis of planned time.
    finish_s: Option<f64>,
}

fn all(request: &ForecastRequest, plan: &Plan, change: Change) -> Vec<Trial> {
    (0..request.simulations).map(|i| trial(request, plan, change, u64::from(i))).collect()
}

fn trial(request: &ForecastRequest, plan: &Plan, change: Change, number: u64) -> Trial {
    let h = &request.history;
    let stream = |kind: u64| {
        let mut random = ChaCha8Rng::seed_from_u64(request.seed);
        random.set_stream(number * 4 + kind);
        random
    };
    let (mut parameters, mut stops, mut parts) = (stream(0), stream(1), stream(2));
    let cycle_s =
        (h.cycle_mean_s + normal(&mut parameters) * h.cycle_sd_s / (h.cycles as f64).sqrt()).max(h.cycle_mean_s * 0.01) * change.cycle;
    let sd_s = h.cycle_sd_s * change.cycle;
    let rate = quantile_of(Gamma::new(h.stops_s.len() as f64 + 0.5, h.run_s).ok(), &mut parameters, 0.0) * change.stop_rate;
    let good_before = (h.produced - h.rejected) as f64;
    let share = quantile_of(Beta::new(h.rejected as f64 + 0.5, good_before + 0.5).ok(), &mut parameters, 0.0);
    let share = if h.produced > 0 { (share * change.rejects).min(1.0) } else { 0.0 };
    let sample: Vec<f64> = (0..h.stops_s.len()).map(|_| h.stops_s[parameters.random_range(0..h.stops_s.len())]).collect();

    // What an order needs: parts, and for them run time.
    let needed_s = request.order.map(|o| {
        let z = normal(&mut parts);
        let good = o.good as f64;
        let kept = 1.0 - share;
        // Parts until `good` of them are good: mean good / kept, variance good share / kept^2.
        let total = if kept > 0.0 { (good / kept + z * (good * share).sqrt() / kept).max(good) } else { f64::INFINITY };
        (total * cycle_s + normal(&mut parts) * total.sqrt() * sd_s).max(0.0)
    });

    let mut walk = Walk { at_s: 0.0, run_s: 0.0, run_in_shift_s: 0.0, rest_s: plan.rest_s, needed_s, finish_s: None };
    let end_s = if needed_s.is_some() { plan.all_s } else { plan.rest_s };
    if let Some(stood) = request.standing_s {
        let longer: Vec<f64> = h.stops_s.iter().copied().filter(|s| *s > stood).collect();
        let left = if longer.is_empty() { stood } else { longer[stops.random_range(0..longer.len())] - stood };
        walk.at_s += left * change.stop_length;
    }
    while walk.at_s < end_s && (walk.at_s < plan.rest_s || walk.finish_s.is_none()) {
        let stopping = rate > 0.0 && !sample.is_empty();
        let up = -(1.0 - stops.random::<f64>()).ln();
        walk.run(if stopping { (up / rate).min(end_s - walk.at_s) } else { end_s - walk.at_s });
        if stopping {
            walk.at_s += sample[stops.random_range(0..sample.len())] * change.stop_length;
        }
    }

    let up_s = walk.run_in_shift_s;
    let mean = up_s / cycle_s;
    let produced = (mean + normal(&mut parts) * sd_s / cycle_s * mean.sqrt()).round().max(0.0);
    let good = produced - rejects(produced, share, &mut parts);
    let kwh = (up_s * h.kw_producing + (plan.rest_s - up_s) * h.kw_standing) / 3_600.0 * change.power;
    Trial { produced, good, up_s, kwh, finish_s: walk.finish_s }
}

struct Walk {
    at_s: f64,
    run_s: f64,
    run_in_shift_s: f64,
    rest_s: f64,
    needed_s: Option<f64>,
    finish_s: Option<f64>,
}

impl Walk {
    fn run(&mut self, seconds: f64) {
        if let Some(needed) = self.needed_s.filter(|n| self.finish_s.is_none() && *n <= self.run_s + seconds) {
            self.finish_s = Some(self.at_s + (needed - self.run_s));
        }
        self.run_in_shift_s += seconds.min((self.rest_s - self.at_s).max(0.0));
        self.run_s += seconds;
        self.at_s += seconds;
    }
}

fn rejects(produced: f64, share: f64, random: &mut ChaCha8Rng) -> f64 {
    if produced <= FEW_PARTS {
        return (0..produced as u32).filter(|_| random.random::<f64>() < share).count() as f64;
    }
    let sd = (produced * share * (1.0 - share)).sqrt();
    (produced * share + normal(random) * sd).round().clamp(0.0, produced)
}

fn normal(random: &mut ChaCha8Rng) -> f64 {
    Normal::standard().inverse_cdf(open(random))
}

fn quantile_of<D: ContinuousCDF<f64, f64>>(distribution: Option<D>, random: &mut ChaCha8Rng, otherwise: f64) -> f64 {
    let p = open(random);
    distribution.map(|d| d.inverse_cdf(p)).filter(|v| v.is_finite()).unwrap_or(otherwise)
}

/// A number between 0 and 1, neither included.
fn open(random: &mut ChaCha8Rng) -> f64 {
    random.random::<f64>().clamp(1e-12, 1.0 - 1e-12)
}

fn outcome(request: &ForecastRequest, plan: &Plan, trials: &[Trial]) -> Outcome {
    let before = &request.so_far;
    let of = |pick: &dyn Fn(&Trial) -> f64| span(trials.iter().map(pick).collect(), request.confidence);
    let nothing = Span { lower: 0.0, median: 0.0, upper: 0.0 };
    let planned_s = before.planned_s + plan.rest_s;
    let oee =
        request.ideal_cycle_s.filter(|_| planned_s > 0.0).and_then(|ideal| of(&|t| ideal * (before.good as f64 + t.good) / planned_s));
    Outcome {
        produced: of(&|t| before.produced as f64 + t.produced).unwrap_or(nothing),
        good: of(&|t| before.good as f64 + t.good).unwrap_or(nothing),
        availability_of_rest: of(&|t| t.up_s / plan.rest_s).filter(|_| plan.rest_s > 0.0),
        oee,
        kwh: of(&|t| before.kwh + t.kwh).unwrap_or(nothing),
        finish: request.order.map(|order| finish(request, plan, trials, order.due)),
    }
}

fn finish(request: &ForecastRequest, plan: &Plan, trials: &[Trial], due: Option<Utc>) -> Finish {
    let mut times: Vec<f64> = trials.iter().map(|t| t.finish_s.unwrap_or(f64::INFINITY)).collect();
    times.sort_by(f64::total_cmp);
    let tail = (1.0 - request.confidence) / 2.0;
    let at = |p: f64| times.get(rank(times.len(), p)).filter(|t| t.is_finite()).and_then(|t| plan.at(*t));
    let in_time = due.map(|due| {
        let done = times.iter().filter(|t| t.is_finite() && plan.at(**t).is_some_and(|at| at <= due)).count();
        done as f64 / times.len().max(1) as f64
    });
    Finish { lower: at(tail), median: at(0.5), upper: at(1.0 - tail), in_time }
}

fn rank(len: usize, p: f64) -> usize {
    ((len.saturating_sub(1)) as f64 * p).round() as usize
}

/// Bounds and median; `None` without values.
fn span(mut values: Vec<f64>, confidence: f64) -> Option<Span> {
    values.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    let at = |p: f64| values.get(rank(values.len(), p)).copied();
    Some(Span { lower: at(tail)?, median: at(0.5)?, upper: at(1.0 - tail)? })
}
