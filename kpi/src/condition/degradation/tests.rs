//! Hours to a limit on drifts whose truth is known, and how often the interval holds it.

use super::*;

const HOUR: i64 = 3_600_000_000;

fn at(hours: f64) -> Timestamp {
    Timestamp::from_micros((hours * HOUR as f64) as i64)
}

/// SplitMix64, and normals by Box and Muller: a seeded source for simulated paths.
struct Chance(u64);

impl Chance {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().max(1e-300).ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }
}

/// A simulated machine: how its degradation grows, wanders and is measured.
#[derive(Clone, Copy)]
struct Plant {
    diffusion: f64,
    noise: f64,
    exponential: bool,
}

/// Observations every 10 h up to a random part of the life, and the hours that were left; the limit is 1, the baseline 0.
fn simulate(plant: Plant, chance: &mut Chance) -> Option<(Vec<Observation>, Timestamp, f64)> {
    let life = 400.0 + 800.0 * chance.uniform();
    let stop = (0.4 + 0.5 * chance.uniform()) * life;
    let fine = 1.0;
    let (start, limit) = if plant.exponential { (0.05_f64.ln(), 0.0) } else { (0.0, 1.0) };
    let drift = (limit - start) / life;
    let (mut x, mut t, mut seen) = (start, 0.0, Vec::new());
    let mut steps = 0;
    while x < limit {
        if steps % 10 == 0 && t <= stop {
            let y = x + plant.noise * chance.normal();
            seen.push(Observation { at: at(t), value: if plant.exponential { y.exp() } else { y } });
        }
        let before = x;
        x += drift * fine + plant.diffusion * fine.sqrt() * chance.normal();
        t += fine;
        steps += 1;
        if x >= limit {
            t -= fine * (x - limit) / (x - before);
        }
        if t > 20_000.0 {
            return None;
        }
    }
    let now = seen.last()?.at;
    (t > stop).then(|| (seen, now, t - now.micros_since(Timestamp(0)) as f64 / HOUR as f64))
}

/// Share of truths within the 90 % interval, of those that were predicted; and how many were.
fn coverage(plant: Plant, model: DegradationModel, seed: u64, runs: usize) -> (f64, usize) {
    let mut chance = Chance(seed);
    let (mut inside, mut predicted) = (0, 0);
    let settings = DegradationSettings { model, ..DegradationSettings::new(0.0, 1.0) };
    for _ in 0..runs {
        let Some((seen, now, truth)) = simulate(plant, &mut chance) else { continue };
        match remaining_useful_life(&seen, &settings, now).unwrap() {
            Outcome::Prediction(p) => {
                predicted += 1;
                inside += usize::from(p.lower_h <= truth && p.upper_h.is_none_or(|u| truth <= u));
            }
            Outcome::BeyondHorizon { at_least_h, .. } => {
                predicted += 1;
                inside += usize::from(truth >= at_least_h);
            }
            _ => {}
        }
    }
    (inside as f64 / predicted.max(1) as f64, predicted)
}

/// The weights of the model were chosen with other seeds. Weak diffusion under strong noise can't be told from a straight path: what is
/// too wide for
/// the one is too narrow for the other (with 500 paths each: 0.948, 0.895, 0.857, 0.842), so single kinds have a little more room than
/// the fleet.
#[test]
fn ninety_percent_intervals_hold_85_to_95_percent_of_the_truths() {
    let (mut inside, mut all) = (0.0, 0.0);
    for (name, plant, model) in [
        ("line with noise", Plant { diffusion: 0.0, noise: 0.05, exponential: false }, DegradationModel::Linear),
        ("wandering", Plant { diffusion: 0.01, noise: 0.0, exponential: false }, DegradationModel::Linear),
        ("wandering with noise", Plant { diffusion: 0.006, noise: 0.03, exponential: false }, DegradationModel::Linear),
        ("exponential, wandering with noise", Plant { diffusion: 0.01, noise: 0.1, exponential: true }, DegradationModel::Exponential),
    ] {
        let (share, predicted) = coverage(plant, model, 11, 250);
        println!("{name}: {share:.3} of {predicted}");
        assert!(predicted > 150, "{name}: only {predicted} predicted");
        assert!((0.82..=0.97).contains(&share), "{name}: {share} of {predicted}");
        inside += share * predicted as f64;
        all += predicted as f64;
    }
    assert!((0.85..=0.95).contains(&(inside / all)), "{}", inside / all);
}

fn line(n: i32, slope: f64) -> Vec<Observation> {
    (0..n).map(|i| Observation { at: at(f64::from(i)), value: slope * f64::from(i) + if i % 2 == 0 { 0.001 } else { -0.001 } }).collect()
}

#[test]
fn a_clear_line_is_extrapolated_to_its_limit() {
    let Outcome::Prediction(p) = remaining_useful_life(&line(51, 0.01), &DegradationSettings::new(0.0, 1.0), at(50.0)).unwrap() else {
        panic!("no prediction")
    };
    assert!((p.rul_h - 50.0).abs() < 1.0, "{}", p.rul_h);
    assert!(p.lower_h < p.rul_h && p.upper_h.unwrap() > p.rul_h && p.upper_h.unwrap() < 60.0);
    assert_eq!(p.model, DegradationModel::Linear);
    assert!((p.slope_per_day - 0.24).abs() < 0.01 && (p.degraded - 0.5).abs() < 0.01);
    assert!(p.cdf.windows(2).all(|w| w[0].hours <= w[1].hours && w[0].probability <= w[1].probability));
    assert!((p.failure_within(p.rul_h) - 0.5).abs() < 0.1 && p.failure_within(0.0) == 0.0);
    assert!(p.failure_within(1e6) > 0.95);
}

#[test]
fn a_falling_health_index_is_the_same_line() {
    let health: Vec<Observation> = line(51, 0.01).iter().map(|o| Observation { value: 1.0 - o.value, ..*o }).collect();
    let settings = DegradationSettings { limit: 0.2, ..DegradationSettings::of_health(0.2) };
    let Outcome::Prediction(p) = remaining_useful_life(&health, &settings, at(50.0)).unwrap() else { panic!("no prediction") };
    assert!((p.rul_h - 30.0).abs() < 1.0 && p.slope_per_day < 0.0);
}

#[test]
fn exponential_growth_is_recognised() {
    let seen: Vec<Observation> = (0..60)
        .map(|i| Observation { at: at(f64::from(i)), value: 0.02 * (0.05 * f64::from(i)).exp() * if i % 3 == 0 { 1.02 } else { 0.99 } })
        .collect();
    let Outcome::Prediction(p) = remaining_useful_life(&seen, &DegradationSettings::new(0.0, 1.0), at(59.0)).unwrap() else {
        panic!("no prediction")
    };
    let truth = (1.0_f64 / 0.02).ln() / 0.05 - 59.0;
    assert_eq!(p.model, DegradationModel::Exponential);
    assert!((p.rul_h - truth).abs() < 2.0, "{} {truth}", p.rul_h);
}

#[test]
fn no_trend_no_prediction() {
    let mut chance = Chance(3);
    let mut predicted = 0;
    for _ in 0..100 {
        let flat: Vec<Observation> = (0..50).map(|i| Observation { at: at(f64::from(i)), value: 0.3 + 0.05 * chance.normal() }).collect();
        let settings = DegradationSettings { model: DegradationModel::Linear, ..DegradationSettings::new(0.0, 1.0) };
        predicted += usize::from(!matches!(remaining_useful_life(&flat, &settings, at(50.0)).unwrap(), Outcome::NoTrend { .. }));
    }
    assert!(predicted <= 10, "{predicted} of 100 flat signals were given a life");
    let away = line(50, -0.01);
    assert!(matches!(
        remaining_useful_life(&away, &DegradationSettings::new(0.0, 1.0), at(50.0)).unwrap(),
        Outcome::NoTrend { trend_probability } if trend_probability < 0.01
    ));
    let constant: Vec<Observation> = (0..50).map(|i| Observation { at: at(f64::from(i)), value: 0.5 }).collect();
    assert!(matches!(remaining_useful_life(&constant, &DegradationSettings::new(0.0, 1.0), at(50.0)).unwrap(), Outcome::NoTrend { .. }));
}

#[test]
fn what_has_passed_its_limit_is_told_even_from_one_value() {
    let one = [Observation { at: at(1.0), value: 1.2 }];
    assert_eq!(remaining_useful_life(&one, &DegradationSettings::new(0.0, 1.0), at(2.0)).unwrap(), Outcome::LimitPassed { value: 1.2 });
    let spike = [(0.0, 0.1), (1.0, 0.1), (2.0, 5.0)].map(|(t, value)| Observation { at: at(t), value });
    assert_eq!(
        remaining_useful_life(&spike, &DegradationSettings::new(0.0, 1.0), at(2.0)).unwrap(),
        Outcome::TooFewObservations { observations: 3, needed: MIN_OBSERVATIONS }
    );
    assert!(matches!(
        remaining_useful_life(&[], &DegradationSettings::new(0.0, 1.0), at(2.0)).unwrap(),
        Outcome::TooFewObservations { observations: 0, .. }
    ));
}

#[test]
fn order_and_scale_do_not_matter() {
    let mut seen = line(51, 0.01);
    let settings = DegradationSettings::new(0.0, 1.0);
    let one = remaining_useful_life(&seen, &settings, at(50.0)).unwrap();
    seen.reverse();
    assert_eq!(one, remaining_useful_life(&seen, &settings, at(50.0)).unwrap());
    let larger: Vec<Observation> = seen.iter().map(|o| Observation { value: 20.0 + 1_000.0 * o.value, ..*o }).collect();
    let (Outcome::Prediction(a), Outcome::Prediction(b)) =
        (one, remaining_useful_life(&larger, &DegradationSettings::new(20.0, 1_020.0), at(50.0)).unwrap())
    else {
        panic!("no prediction")
    };
    assert!((a.rul_h / b.rul_h - 1.0).abs() < 1e-6 && (b.slope_per_day / a.slope_per_day / 1_000.0 - 1.0).abs() < 1e-6);
}

#[test]
fn time_without_data_shortens_what_is_left() {
    let settings = DegradationSettings::new(0.0, 1.0);
    let left = |now: f64| match remaining_useful_life(&line(51, 0.01), &settings, at(now)).unwrap() {
        Outcome::Prediction(p) => p.rul_h,
        other => panic!("{other:?}"),
    };
    assert!((left(70.0) - (left(50.0) - 20.0)).abs() < 1.0);
    // Long after it should have failed: soon, and still a number.
    assert!((0.0..40.0).contains(&left(200.0)));
}

#[test]
fn what_cannot_be_is_refused_by_its_field() {
    let good = DegradationSettings::new(0.0, 1.0);
    let field = |seen: &[Observation], s: DegradationSettings| remaining_useful_life(seen, &s, at(1.0)).unwrap_err()[0].field.clone();
    assert_eq!(field(&[], DegradationSettings::new(1.0, 1.0)), "limit");
    assert_eq!(field(&[], DegradationSettings::new(f64::NAN, 1.0)), "limit");
    assert_eq!(field(&[], DegradationSettings { confidence: 1.0, ..good.clone() }), "confidence");
    assert_eq!(field(&[], DegradationSettings { min_trend_probability: 0.1, ..good.clone() }), "min_trend_probability");
    assert_eq!(field(&[Observation { at: at(0.0), value: f64::NAN }], good.clone()), "observations[0].value");
    assert_eq!(field(&[Observation { at: at(2.0), value: 0.0 }], good), "observations[0].at");
}

#[test]
fn a_hundred_thousand_readings_are_averaged_first() {
    let seen: Vec<Observation> = (0..100_000)
        .map(|i| Observation { at: at(f64::from(i) / 1_000.0), value: 5e-6 * f64::from(i) + f64::from(i % 7) * 0.01 })
        .collect();
    let Outcome::Prediction(p) = remaining_useful_life(&seen, &DegradationSettings::new(0.0, 1.0), at(100.0)).unwrap() else {
        panic!("no prediction")
    };
    assert!((p.rul_h - 94.0).abs() < 3.0 && p.observations == 100_000, "{}", p.rul_h);
}
