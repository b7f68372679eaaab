//! Failure risk on AI4I 2020 (Matzka; UCI 601, CC BY 4.0): five-fold stratified cross-validation. Trees and threshold are chosen within the
//! training folds; the columns that name the kind of failure are not read.

use std::{fmt::Write as _, fs, path::Path, time::Instant};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use kpi::rul::risk::{
    Alarms, Observations, RiskModel, RiskSettings,
    physics::{self, Machining},
    stratified,
};

use crate::{Folders, cmapss};

const FOLDS: usize = 5;

pub fn run(folders: &Folders) -> Result<()> {
    let names = cmapss::names(&folders.data)?;
    let files: Vec<&String> =
        names.iter().filter(|n| n.starts_with("ai4i2020") && (n.ends_with(".csv") || n.ends_with(".csv.gz"))).collect();
    ensure!(!files.is_empty(), "{} has no ai4i2020*.csv (plain or .gz)", folders.data.display());
    for name in files {
        let observations = read(&folders.data.join(name))?;
        validate(folders, name, &observations)?;
    }
    Ok(())
}

fn validate(folders: &Folders, name: &str, all: &Observations) -> Result<()> {
    let start = Instant::now();
    let dealt = stratified(&all.failed, FOLDS, folders.seed);
    let settings = RiskSettings { seed: folders.seed, ..RiskSettings::default() };
    let mut pairs = Vec::new();
    let mut csv = String::from("row,fold,probability,threshold,alarm,failed,first driver\n");
    for fold in 0..FOLDS {
        eprintln!("{name}: fold {} of {FOLDS} ...", fold + 1);
        let known: Vec<usize> = (0..dealt.len()).filter(|&i| dealt[i] != fold).collect();
        let training = Observations {
            signals: all.signals.clone(),
            rows: known.iter().map(|&i| all.rows[i].clone()).collect(),
            failed: known.iter().map(|&i| all.failed[i]).collect(),
        };
        let model = RiskModel::train(&training, &settings, Timestamp::UNIX_EPOCH).with_context(|| name.to_owned())?;
        for i in (0..dealt.len()).filter(|&i| dealt[i] == fold) {
            let risk = model.predict(&all.rows[i])?;
            pairs.push((risk.is_alarm, all.failed[i]));
            let driver = risk.drivers.first().map_or("", |d| d.signal.as_str());
            let (probability, threshold, failed) = (risk.probability, risk.threshold, all.failed[i]);
            writeln!(csv, "{},{fold},{probability:.4},{threshold:.4},{},{failed},{driver}", i + 1, risk.is_alarm)?;
        }
    }
    let failures = all.failed.iter().filter(|f| **f).count();
    let a = Alarms::count(pairs);
    println!(
        "AI4I f1 {:.4} precision {:.4} recall {:.4} folds {FOLDS} rows {} failures {failures} \
         false-alarms {} missed {} seconds {:.1} file {name}",
        a.f1,
        a.precision,
        a.recall,
        all.rows.len(),
        a.false_alarms,
        a.missed,
        start.elapsed().as_secs_f64()
    );
    if let Some(out) = &folders.out {
        let path = out.join(format!("{}.csv", name.split('.').next().unwrap_or("ai4i2020")));
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        fs::write(&path, csv).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Observations> {
    let text = cmapss::text(path)?;
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let header: Vec<&str> = lines.next().context("the file is empty")?.1.split(',').map(str::trim).collect();
    let column = |name: &str| {
        let found = header.iter().position(|h| *h == name);
        found.with_context(|| format!("{}:1: no column {name:?}", path.display()))
    };
    let numbers = [
        column("Air temperature [K]")?,
        column("Process temperature [K]")?,
        column("Rotational speed [rpm]")?,
        column("Torque [Nm]")?,
        column("Tool wear [min]")?,
    ];
    let (kind, failed) = (column("Type")?, column("Machine failure")?);
    let mut observations = Observations { signals: physics::FEATURES.map(str::to_owned).to_vec(), ..Observations::default() };
    for (line, text) in lines {
        if text.trim().is_empty() {
            continue;
        }
        let place = || format!("{}:{}", path.display(), line + 1);
        let cells: Vec<&str> = text.split(',').map(str::trim).collect();
        ensure!(cells.len() == header.len(), "{}: {} cells under {} names", place(), cells.len(), header.len());
        let mut values = [0.0; 5];
        for (value, &at) in values.iter_mut().zip(&numbers) {
            *value = match cells[at].parse() {
                Ok(number) if f64::is_finite(number) => number,
                _ => bail!("{}: {} is {:?}, no finite number", place(), header[at], cells[at]),
            };
        }
        let grade = match cells[kind] {
            "L" => 0.0,
            "M" => 1.0,
            "H" => 2.0,
            other => bail!("{}: Type is {other:?}, and can be L, M or H", place()),
        };
        let [air, process, speed, torque, wear] = values;
        let features = Machining { grade, air, process, speed, torque, wear }.features();
        observations.rows.push(features.into_iter().map(Some).collect());
        observations.failed.push(match cells[failed] {
            "0" => false,
            "1" => true,
            other => bail!("{}: Machine failure is {other:?}, and can be 0 or 1", place()),
        });
    }
    Ok(observations)
}
