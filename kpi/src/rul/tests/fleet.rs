//! Fleets made up by seed: wear grows to the failure, some sensors show it, one is noise, one never moves.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::rul::{Fleet, Row, Settings, Shape, Signals, Unit, boost::Growth};

/// `units` lives of 80 to 160 cycles. Wear is the cube of the share of life that has passed; `heat` rises and `flow` falls with it. In
/// `conditions` settings are drawn for each cycle, and sensors read otherwise in each.
pub fn fleet(units: usize, conditions: usize, seed: u64) -> Fleet {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let units = (0..units)
        .map(|u| {
            let life = rng.random_range(80..160);
            let rows = (1..=life)
                .map(|cycle| {
                    let wear = (f64::from(cycle) / f64::from(life)).powi(3);
                    let condition = rng.random_range(0..conditions) as f64;
                    let mut noise = |size: f64| rng.random_range(-size..size);
                    let read = |value: f64| Some((value + 50.0 * condition) * (1.0 + 0.5 * condition));
                    Row {
                        at: f64::from(cycle),
                        settings: vec![10.0 * condition + noise(0.01), 100.0],
                        sensors: vec![
                            read(500.0 + 10.0 * wear + noise(1.0)),
                            read(30.0 - 5.0 * wear + noise(1.0)),
                            read(noise(1.0)),
                            read(7.0),
                        ],
                    }
                })
                .collect();
            Unit { id: format!("unit {u}"), rows, failed_at: None }
        })
        .collect();
    let name = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    Fleet { signals: Signals { settings: name(&["load", "recipe"]), sensors: name(&["heat", "flow", "hum", "plate"]) }, units }
}

/// Small models: enough for what the tests ask.
pub fn quick() -> Settings {
    Settings {
        cap: Some(60.0),
        folds: 3,
        sensor: Shape { spans: vec![4.0, 12.0], windows: vec![20], beginning: 5 },
        index: Shape { spans: vec![4.0, 12.0], windows: vec![20], beginning: 5 },
        growth: Growth { trees: 60, learning_rate: 0.1, depth: 4, boosters: 1, ..Settings::default().growth },
        ..Settings::default()
    }
}
