//! A learned model as it is kept and used: its file, and what it says of a machine.
//!
//! The file is gzip of two lines of JSON: what kind of machine and which step it is for, then the model. It is written beside its place,
//! synced and moved there. Invariant: a file that is damaged, or of another format, is an error and never a wrong model.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use kpi::{
    condition::predict::{LearnedPrediction, ModelDriver},
    rul::{Flag, Model, RulError, Tracker, model::MOST_BYTES},
};
use protocol::{SignalName, Timestamp};
use serde::{Deserialize, Serialize};

use super::fleet;

const FORMAT: u32 = 1;
/// Signals that are named as drivers of a prediction.
const MAX_DRIVERS: usize = 8;

/// What stands before the model in its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    format: u32,
    pub version: String,
    pub kind: String,
    /// Hours of a row.
    pub step_h: i64,
    /// The longest life that it was learned from.
    pub longest_h: f64,
}

impl Header {
    pub fn new(version: String, kind: String, step_h: i64, longest_h: f64) -> Self {
        Self { format: FORMAT, version, kind, step_h, longest_h }
    }
}

/// Why a model's file is not used.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is damaged: {problem}", path.display())]
    Damaged { path: PathBuf, problem: String },
}

/// A model in use.
#[derive(Debug)]
pub struct Learned {
    pub header: Header,
    pub signals: Vec<SignalName>,
    pub model: Model,
}

/// A machine's way through a model, up to the last whole step.
#[derive(Debug)]
pub struct Tracked {
    pub version: String,
    pub from: Timestamp,
    pub steps: i64,
    tracker: Tracker,
}

impl Learned {
    /// # Errors
    /// The model names what is no signal.
    pub fn new(header: Header, model: Model) -> Result<Self, RulError> {
        let signals = model.signals().sensors.iter().map(|name| SignalName::new(name)).collect::<Result<_, _>>();
        let signals = signals.map_err(|e| RulError::Model(format!("it names what is no signal: {e}")))?;
        Ok(Self { header, signals, model })
    }

    /// A machine's state at the beginning of a life.
    pub fn tracked(&self, from: Timestamp) -> Tracked {
        Tracked { version: self.header.version.clone(), from, steps: 0, tracker: self.model.tracker() }
    }

    /// Takes in the rows up to `steps` whole steps.
    ///
    /// # Errors
    /// A row that can't be.
    pub fn advance(&self, tracked: &mut Tracked, rows: Vec<(i64, Vec<Option<f64>>)>, steps: i64) -> Result<(), RulError> {
        for (step, sensors) in rows {
            self.model.push(&mut tracked.tracker, &fleet::row(step, self.header.step_h, sensors))?;
        }
        tracked.steps = steps;
        Ok(())
    }

    /// What it says; `None` before the first row.
    pub fn predict(&self, tracked: &Tracked) -> Option<LearnedPrediction> {
        let said = self.model.predict(&tracked.tracker).ok()?;
        let card = &self.model.card;
        let age_h = said.at;
        // The prediction is of the last whole step.
        let (rul_h, lower_h) = (said.rul, said.lower.clamp(0.0, said.rul));
        let mut upper_h = said.upper.max(rul_h);
        if said.flags.contains(&Flag::Healthy) {
            // At the cap it says "at least so long": how long, only the longest life can tell.
            upper_h = upper_h.max(self.header.longest_h - age_h);
        }
        let all: f64 = said.drivers.iter().map(|d| d.adds.abs()).sum();
        let drivers = said.drivers.iter().filter(|d| d.adds != 0.0).take(MAX_DRIVERS).map(|d| {
            let moved = if d.adds < 0.0 { "shortens" } else { "lengthens" };
            let deviation = d.deviation.map_or_else(String::new, |z| format!(", {z:+.1} standard deviations from normal"));
            ModelDriver {
                name: d.signal.clone(),
                share: if all > 0.0 { d.adds.abs() / all } else { 0.0 },
                detail: format!("{moved} the predicted life by {:.1} h{deviation}", d.adds.abs()),
            }
        });
        Some(LearnedPrediction {
            rul_h,
            lower_h,
            upper_h,
            confidence: said.interval,
            model_version: self.header.version.clone(),
            held_back_rmse_h: Some(card.held_back.rmse),
            held_back_coverage: card.held_back.coverage,
            drivers: drivers.collect(),
        })
    }

    /// Writes the model to its place in `dir`.
    ///
    /// # Errors
    /// [`ModelFileError::Io`].
    pub fn write(&self, dir: &Path) -> Result<(), ModelFileError> {
        let path = place(dir, &self.header.version);
        let text = self.model.to_json().map_err(|e| ModelFileError::Damaged { path: path.clone(), problem: e.to_string() })?;
        let written = || -> io::Result<()> {
            fs::create_dir_all(dir)?;
            let beside = path.with_extension("new");
            let mut gzip = GzEncoder::new(File::create(&beside)?, Compression::default());
            serde_json::to_writer(&mut gzip, &self.header)?;
            gzip.write_all(b"\n")?;
            gzip.write_all(text.as_bytes())?;
            gzip.finish()?.sync_all()?;
            fs::rename(&beside, &path)?;
            File::open(dir)?.sync_all()
        };
        written().map_err(|source| ModelFileError::Io { path: path.clone(), source })
    }

    /// Reads what [`Learned::write`] wrote.
    ///
    /// # Errors
    /// [`ModelFileError`].
    pub fn read(dir: &Path, version: &str) -> Result<Self, ModelFileError> {
        let path = place(dir, version);
        let file = File::open(&path).map_err(|source| ModelFileError::Io { path: path.clone(), source })?;
        let damaged = |problem: String| ModelFileError::Damaged { path: path.clone(), problem };
        let mut text = String::new();
        GzDecoder::new(file).take(MOST_BYTES as u64 + 4_096).read_to_string(&mut text).map_err(|e| damaged(e.to_string()))?;
        let (header, model) = text.split_once('\n').ok_or_else(|| damaged("it has one line only".into()))?;
        let header: Header = serde_json::from_str(header).map_err(|e| damaged(e.to_string()))?;
        if header.format != FORMAT || header.version != version || !(1..=24 * 366).contains(&header.step_h) {
            return Err(damaged(format!("it says format {}, version {}, step {} h", header.format, header.version, header.step_h)));
        }
        let model = Model::from_json(model).map_err(|e| damaged(e.to_string()))?;
        Self::new(header, model).map_err(|e| damaged(e.to_string()))
    }

    /// Removes the file of a model that is not used any more. That it is not there is no error.
    pub fn remove(dir: &Path, version: &str) {
        let path = place(dir, version);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a model that is not used any more");
        }
    }
}

/// The file of a version.
pub fn place(dir: &Path, version: &str) -> PathBuf {
    dir.join(format!("{version}.json.gz"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kpi::rul::{Fleet, Row, Settings, Signals, Unit, train};

    /// Heat rises with the square of the share of life that has passed.
    pub(crate) fn fleet(units: u32) -> Fleet {
        let units = (0..units).map(|u| {
            let life = 60 + (u * 37) % 50;
            let rows = (1..=life).map(|h| {
                let wear = (f64::from(h) / f64::from(life)).powi(2);
                let noise = (f64::from(h * 7 + u) * 0.618).fract() - 0.5;
                Row { at: f64::from(h), settings: vec![], sensors: vec![Some(60.0 + 20.0 * wear + noise), Some(noise)] }
            });
            Unit { id: format!("u{u}"), rows: rows.collect(), failed_at: None }
        });
        Fleet { signals: Signals { settings: vec![], sensors: vec!["heat".into(), "hum".into()] }, units: units.collect() }
    }

    fn learned(dir: &Path) -> Learned {
        let mut settings = Settings { folds: 3, ..Settings::default() };
        settings.growth.trees = 40;
        settings.growth.learning_rate = 0.1;
        settings.growth.boosters = 1;
        let model = train(&fleet(12), &settings, jiff::Timestamp::UNIX_EPOCH).unwrap();
        let learned = Learned::new(Header::new("rul-1".into(), "press".into(), 1, 110.0), model).unwrap();
        learned.write(dir).unwrap();
        learned
    }

    #[test]
    fn a_model_reads_back_as_it_was_and_a_damaged_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let written = learned(dir.path());
        let read = Learned::read(dir.path(), "rul-1").unwrap();
        assert_eq!((&read.header, read.model.to_json().unwrap()), (&written.header, written.model.to_json().unwrap()));
        let path = place(dir.path(), "rul-1");
        let whole = fs::read(&path).unwrap();
        for damage in [0, whole.len() / 3, whole.len() / 2, whole.len() - 5] {
            let mut bytes = whole.clone();
            bytes[damage] ^= 0x55;
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(Learned::read(dir.path(), "rul-1"), Err(ModelFileError::Damaged { .. })), "byte {damage}");
        }
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(matches!(Learned::read(dir.path(), "rul-1"), Err(ModelFileError::Damaged { .. })), "half of it");
        Learned::remove(dir.path(), "rul-1");
        assert!(matches!(Learned::read(dir.path(), "rul-1"), Err(ModelFileError::Io { .. })));
    }

    #[test]
    fn a_prediction_carries_its_interval_its_error_and_its_drivers() {
        let dir = tempfile::tempdir().unwrap();
        let learned = learned(dir.path());
        let mut tracked = learned.tracked(Timestamp(0));
        assert_eq!(learned.predict(&tracked), None, "nothing was seen yet");
        let worn = |h: u32| vec![Some(60.0 + 20.0 * (f64::from(h) / 80.0).powi(2)), Some(0.0)];
        learned.advance(&mut tracked, (0..70).map(|h| (i64::from(h), worn(h))).collect(), 70).unwrap();
        let said = learned.predict(&tracked).unwrap();
        assert!(said.lower_h <= said.rul_h && said.rul_h <= said.upper_h, "{said:?}");
        assert!(said.rul_h < 25.0, "10 h are left: {said:?}");
        assert_eq!((said.model_version.as_str(), said.drivers[0].name.as_str()), ("rul-1", "heat"));
        assert!(said.held_back_rmse_h.unwrap() > 0.0 && (said.drivers.iter().map(|d| d.share).sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
