//! Files of NASA C-MAPSS: a row is unit, cycle, three settings, 21 sensors; RUL files have the remaining life of each test unit.
//!
//! A set is what shares a name (FD001): its training file, and, if both are there, its test file with the truth. An error names file and
//! line.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use kpi::rul::{Fleet, Row, Signals, Unit};

/// A decompressed file is at most this large.
const MOST_BYTES: u64 = 512 << 20;
const SETTINGS: usize = 3;
const SENSORS: usize = 21;

/// One set.
pub struct Set {
    pub name: String,
    pub train: Fleet,
    pub test: Option<Test>,
}

/// Histories that end some time before the failure, and how long before.
pub struct Test {
    pub units: Vec<Unit>,
    pub truth: Vec<f64>,
}

/// A file's text, decompressed where its name ends in `.gz`.
pub fn text(path: &Path) -> Result<String> {
    let file = fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut text = String::new();
    let is_packed = path.extension().is_some_and(|e| e == "gz");
    let read = if is_packed {
        GzDecoder::new(file).take(MOST_BYTES).read_to_string(&mut text)
    } else {
        file.take(MOST_BYTES).read_to_string(&mut text)
    };
    read.with_context(|| format!("cannot read {}: is it text{}?", path.display(), if is_packed { ", packed by gzip" } else { "" }))?;
    ensure!((text.len() as u64) < MOST_BYTES, "{} is too large: {MOST_BYTES} bytes at most", path.display());
    Ok(text)
}

/// The files of a folder by name; a plain file comes before its packed twin.
pub fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no folder {}: name the one with the data by --data", folder.display()))?;
    Ok(entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect())
}

/// The sets in `folder`, in order of their names.
pub fn sets(folder: &Path) -> Result<Vec<Set>> {
    let names = names(folder)?;
    let find = |stem: String| -> Option<PathBuf> {
        [format!("{stem}.txt"), format!("{stem}.txt.gz")].into_iter().find(|n| names.contains(n)).map(|n| folder.join(n))
    };
    let found: BTreeSet<String> = names
        .iter()
        .filter_map(|n| n.strip_prefix("train_"))
        .filter_map(|n| n.strip_suffix(".gz").unwrap_or(n).strip_suffix(".txt"))
        .filter(|n| n.len() == 5 && n.starts_with("FD") && n[2..].bytes().all(|b| b.is_ascii_digit()))
        .map(str::to_owned)
        .collect();
    if found.is_empty() {
        bail!("{} has no set: put train_FD001.txt, test_FD001.txt and RUL_FD001.txt there, plain or .gz", folder.display());
    }
    let mut sets = Vec::new();
    for name in found {
        let Some(train) = find(format!("train_{name}")) else { continue };
        let test = match (find(format!("test_{name}")), find(format!("RUL_{name}"))) {
            (Some(test), Some(truth)) => Some(self::test(&test, &truth)?),
            _ => None,
        };
        let train = Fleet { signals: signals(), units: units(&train)? };
        sets.push(Set { name, train, test });
    }
    Ok(sets)
}

fn signals() -> Signals {
    Signals {
        settings: (1..=SETTINGS).map(|i| format!("setting {i}")).collect(),
        sensors: (1..=SENSORS).map(|i| format!("sensor {i}")).collect(),
    }
}

fn test(test: &Path, truth: &Path) -> Result<Test> {
    let units = units(test)?;
    let mut lives = Vec::new();
    for (line, text) in text(truth)?.lines().enumerate() {
        let text = text.trim();
        if !text.is_empty() {
            let place = || format!("{}:{}", truth.display(), line + 1);
            let life: f64 = text.parse().with_context(|| format!("{}: {text:?} is no number of cycles", place()))?;
            ensure!(life.is_finite() && life >= 0.0, "{}: {life} is no number of cycles", place());
            lives.push(life);
        }
    }
    ensure!(
        lives.len() == units.len(),
        "{} has {} lives, and {} has {} units: the files do not belong together",
        truth.display(),
        lives.len(),
        test.display(),
        units.len()
    );
    Ok(Test { units, truth: lives })
}

fn units(path: &Path) -> Result<Vec<Unit>> {
    let mut units: Vec<Unit> = Vec::new();
    for (line, text) in text(path)?.lines().enumerate() {
        let place = || format!("{}:{}", path.display(), line + 1);
        let values = text
            .split_whitespace()
            .map(|word| match word.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(value),
                _ => bail!("{}: {word:?} is no finite number", place()),
            })
            .collect::<Result<Vec<f64>>>()?;
        if values.is_empty() {
            continue;
        }
        ensure!(
            values.len() == 2 + SETTINGS + SENSORS,
            "{}: {} numbers, where unit, cycle, {SETTINGS} settings and {SENSORS} sensors are {}",
            place(),
            values.len(),
            2 + SETTINGS + SENSORS
        );
        let id = values[0].to_string();
        let row = Row {
            at: values[1],
            settings: values[2..2 + SETTINGS].to_vec(),
            sensors: values[2 + SETTINGS..].iter().copied().map(Some).collect(),
        };
        match units.last_mut() {
            Some(unit) if unit.id == id => {
                ensure!(unit.rows.last().is_none_or(|last| last.at < row.at), "{}: cycle {} is not after the one before", place(), row.at);
                unit.rows.push(row);
            }
            _ => units.push(Unit { id, rows: vec![row], failed_at: None }),
        }
    }
    ensure!(!units.is_empty(), "{} has no rows", path.display());
    Ok(units)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn row(unit: u32, cycle: u32) -> String {
        format!("{unit} {cycle} 0.0 0.0 100.0 {}\n", (0..21).map(|s| s.to_string()).collect::<Vec<_>>().join(" "))
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn refused(files: &[(&str, &str)]) -> String {
        format!("{:#}", sets(folder(files).path()).err().unwrap())
    }

    #[test]
    fn a_set_is_read_plain_or_packed_and_without_its_truth_it_has_no_test() {
        let train = row(1, 1) + &row(1, 2) + &row(2, 1);
        let folder =
            folder(&[("test_FD001.txt", &train), ("RUL_FD001.txt", "7\n112 \n"), ("train_FD003.txt", &train), ("test_FD003.txt", &train)]);
        let mut packed = GzEncoder::new(fs::File::create(folder.path().join("train_FD001.txt.gz")).unwrap(), Compression::fast());
        packed.write_all(train.as_bytes()).unwrap();
        packed.finish().unwrap();
        let sets = sets(folder.path()).unwrap();
        assert_eq!(sets.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["FD001", "FD003"]);
        assert_eq!(sets[0].train.units.iter().map(|u| u.rows.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(sets[0].train.units[0].rows[1].sensors[20], Some(20.0));
        assert_eq!(sets[0].test.as_ref().unwrap().truth, [7.0, 112.0]);
        assert!(sets[1].test.is_none(), "no truth, no test");
    }

    #[test]
    fn what_is_wrong_is_named_by_file_and_line() {
        assert!(refused(&[]).contains("has no set"));
        assert!(format!("{:#}", sets(Path::new("/no/such/folder")).err().unwrap()).contains("no folder /no/such/folder"));
        let short = row(1, 1) + "1 2 0.0 0.0\n";
        assert!(refused(&[("train_FD001.txt", &short)]).contains("train_FD001.txt:2: 4 numbers"));
        let word = row(1, 1) + &row(1, 2).replacen("100.0", "n/a", 1);
        assert!(refused(&[("train_FD001.txt", &word)]).contains("train_FD001.txt:2: \"n/a\" is no finite number"));
        let twice = row(1, 5) + &row(1, 5);
        assert!(refused(&[("train_FD001.txt", &twice)]).contains("train_FD001.txt:2: cycle 5 is not after"));
        let nan = row(1, 1).replacen("100.0", "NaN", 1);
        assert!(refused(&[("train_FD001.txt", &nan)]).contains("is no finite number"));
        assert!(refused(&[("train_FD001.txt.gz", "not packed")]).contains("packed by gzip"));
        let fine = row(1, 1);
        let few = [("train_FD001.txt", fine.as_str()), ("test_FD001.txt", fine.as_str()), ("RUL_FD001.txt", "1\n2\n")];
        assert!(refused(&few).contains("do not belong together"));
        let bad = [("train_FD001.txt", fine.as_str()), ("test_FD001.txt", fine.as_str()), ("RUL_FD001.txt", "-3\n")];
        assert!(refused(&bad).contains("RUL_FD001.txt:1: -3 is no number of cycles"));
    }
}
