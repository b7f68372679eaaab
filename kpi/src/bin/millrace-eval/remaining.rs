//! Remaining useful life by the C-MAPSS protocol: labels capped at 125 in training, the last cycle of each test unit is asked, the truth of
//! the test is not capped. A set with a training file only is cross-validated by unit, and its line begins otherwise.

use std::{fmt::Write as _, fs, time::Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use kpi::rul::{self, Fleet, Model, Prediction, Settings, straight::Straight};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    Folders,
    cmapss::{self, Set, Test},
    plot,
};

/// What labels are capped at.
const CAP: f64 = 125.0;
/// Sensors of the exact check, by their places (sensor 2 is place 1).
const CHECKED: [usize; 14] = [1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 16, 19, 20];

pub fn run(folders: &Folders, six_conditions: bool) -> Result<()> {
    let sets = cmapss::sets(&folders.data)?;
    let settings = Settings { cap: Some(CAP), seed: folders.seed, ..Settings::default() };
    if let Some(out) = &folders.out {
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    }
    for set in &sets {
        match &set.test {
            Some(test) => tested(folders, set, test, &settings)?,
            None => validated(&format!("cross-validation of train_{}", set.name), &set.train, &settings)?,
        }
        if six_conditions {
            let made = mixed(&set.train, folders.seed);
            validated(&format!("cross-validation of train_{} made into six conditions", set.name), &made, &settings)?;
        }
    }
    Ok(())
}

fn train(name: &str, fleet: &Fleet, settings: &Settings) -> Result<(Model, f64)> {
    eprintln!("{name}: training on {} units, {} rows ...", fleet.units.len(), fleet.rows());
    let start = Instant::now();
    // The card's time is of no use here, and a fixed one makes two runs the same.
    let model = rul::train(fleet, settings, Timestamp::UNIX_EPOCH).with_context(|| name.to_owned())?;
    let (card, seconds) = (&model.card, start.elapsed().as_secs_f64());
    eprintln!("{name}: model {}, {} conditions, {} bytes as JSON", card.id, card.conditions, model.to_json()?.len());
    Ok((model, seconds))
}

fn tested(folders: &Folders, set: &Set, test: &Test, settings: &Settings) -> Result<()> {
    let straight = |cap| -> Result<f64> {
        let line = Straight::fit(&set.train, &CHECKED, cap)?;
        let answers = test.units.iter().map(|u| u.rows.last().map_or(Ok(0.0), |row| line.answer(row)));
        let pairs = answers.zip(&test.truth).map(|(a, t)| Ok((a?, *t))).collect::<Result<Vec<_>>>()?;
        Ok(rul::score(&pairs).context("no test units")?.rmse)
    };
    // Sensors that are constant in a set can't be in its line: then there is none.
    let check = match straight(None).and_then(|raw| Ok((raw, straight(Some(CAP))?))) {
        Ok((raw, capped)) => format!("{raw:.6} raw {capped:.6} capped"),
        Err(error) => {
            eprintln!("{}: no least squares: {error:#}", set.name);
            "none".into()
        }
    };
    let (model, seconds) = train(&set.name, &set.train, settings)?;
    let predictions: Vec<Prediction> = test.units.iter().map(|u| model.predict_history(&u.rows)).collect::<Result<_, _>>()?;
    let pairs: Vec<(f64, f64)> = predictions.iter().map(|p| p.rul).zip(test.truth.iter().copied()).collect();
    let score = rul::score(&pairs).context("no test units")?;
    let inside = predictions.iter().zip(&test.truth).filter(|(p, t)| (p.lower..=p.upper).contains(t)).count();
    let card = &model.card;
    println!(
        "{} rmse {:.2} score {:.1} seconds {seconds:.1} units {} features {} trees {} conditions {} \
         held-back-rmse {:.2} in-interval {:.2} least-squares {check}",
        set.name,
        score.rmse,
        score.phm,
        card.units,
        card.features,
        card.trees,
        card.conditions,
        card.held_back.rmse,
        inside as f64 / pairs.len() as f64,
    );
    if let Some(out) = &folders.out {
        let mut csv = String::from("unit,cycle,predicted,lower,upper,true,first driver,second driver,third driver\n");
        for ((unit, p), truth) in test.units.iter().zip(&predictions).zip(&test.truth) {
            let drivers: Vec<String> = p.drivers.iter().take(3).map(|d| format!("{} {:+.1}", d.signal, d.adds)).collect();
            let (id, at) = (&unit.id, p.at);
            writeln!(csv, "{id},{at},{:.2},{:.2},{:.2},{truth},{}", p.rul, p.lower, p.upper, drivers.join(","))?;
        }
        let points: Vec<plot::Point> = predictions
            .iter()
            .zip(&test.truth)
            .map(|(p, &truth)| plot::Point { truth, predicted: p.rul, lower: p.lower, upper: p.upper })
            .collect();
        let title = format!("{}: RMSE {:.2}, score {:.1}", set.name, score.rmse, score.phm);
        for (name, text) in [(format!("{}.csv", set.name), csv), (format!("{}.svg", set.name), plot::svg(&title, &points))] {
            let path = out.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

fn validated(name: &str, fleet: &Fleet, settings: &Settings) -> Result<()> {
    let (model, seconds) = train(name, fleet, settings)?;
    let (card, held) = (&model.card, &model.card.held_back);
    println!(
        "{name} (no test set): cv-rmse {:.2} cv-rmse-capped {:.2} cv-score-each {:.2} seconds {seconds:.1} units {} features {} trees {} \
         conditions {} in-interval {:.2}",
        held.rmse,
        held.rmse_capped,
        held.phm_each,
        card.units,
        card.features,
        card.trees,
        card.conditions,
        held.coverage.unwrap_or(0.0),
    );
    Ok(())
}

/// `fleet` as if each cycle had been flown in one of six conditions, drawn at random: settings of their own, and sensors that read
/// otherwise.
fn mixed(fleet: &Fleet, seed: u64) -> Fleet {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let sensors = fleet.signals.sensors.len();
    let drawn: Vec<Vec<(f64, f64)>> =
        (0..6).map(|_| (0..sensors).map(|_| (rng.random_range(0.2..2.0), rng.random_range(-300.0..300.0))).collect()).collect();
    let centres: [[f64; 3]; 6] =
        [[0.0, 0.0, 100.0], [10.0, 0.25, 100.0], [20.0, 0.7, 100.0], [25.0, 0.62, 60.0], [35.0, 0.84, 100.0], [42.0, 0.84, 100.0]];
    let mut made = fleet.clone();
    for row in made.units.iter_mut().flat_map(|u| &mut u.rows) {
        let condition = rng.random_range(0..6);
        row.settings = centres[condition].iter().map(|c| c + rng.random_range(-0.002..0.002)).collect();
        for (value, (scale, shift)) in row.sensors.iter_mut().zip(&drawn[condition]) {
            *value = value.map(|v| v * scale + shift);
        }
    }
    made
}
