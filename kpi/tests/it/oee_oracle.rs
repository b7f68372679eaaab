//! 10,000 random shifts, reckoned here and by PyPI's `oee` 0.2.0: single machines, event logs with several cycles and stop reasons, and roll-ups.
//!
//! The oracle caps performance at 1; here it is shown as it is. So where it was capped, its `performance_raw` is compared, and what it derives from
//! the capped value is not. Its roll-up weighs quality by ideal time, which is a rule here.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use kpi::oee::{Catalogue, Cause, Flag, IdealCycle, Oee, ParetoBy, PartTally, QualityWeight, Rules, Tally, request::ExplicitRequest};
use serde_json::{Value, json};

const PYTHON: &str = "/usr/bin/python3";
const SINGLE: usize = 6_000;
const LOGS: usize = 2_000;
const ROLL_UPS: usize = 2_000;

/// Where `cargo xtask test` puts Python packages: beside what cargo builds.
fn packages() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("python")
}

fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file)
}

fn python() -> Command {
    let mut command = Command::new(PYTHON);
    command.env("PYTHONPATH", packages()).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// This test shows that another implementation agrees: without it it fails, with what to do.
fn need_oracle() {
    let check = ["-c", "import oee; assert oee.__version__ == '0.2.0', oee.__version__"];
    let works = Path::new(PYTHON).exists() && python().args(check).output().is_ok_and(|out| out.status.success());
    let (target, file) = (packages(), here("oracle_requirements.txt"));
    assert!(
        works,
        "this test needs {PYTHON} with PyPI's package oee 0.2.0: cargo xtask test installs it; by hand: \
         {PYTHON} -m pip install --no-deps --require-hashes --target {} -r {}",
        target.display(),
        file.display()
    );
}

/// Asks all questions in one run.
fn ask(questions: &[Value]) -> Vec<Value> {
    let mut child =
        python().arg(here("oracle_oee.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = String::new();
    for question in questions {
        writeln!(lines, "{question}").unwrap();
    }
    let mut stdin = child.stdin.take().unwrap();
    // Beside the reading, so that neither pipe can fill up and stand.
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().ok();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = answers.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), questions.len());
    answers
}

/// The same numbers at every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn upto(&mut self, most: u64) -> u64 {
        self.next() % (most + 1)
    }

    /// A share, often 0 or 1.
    fn share(&mut self) -> f64 {
        match self.upto(9) {
            0 => 0.0,
            1 => 1.0,
            _ => (self.next() >> 11) as f64 / (1_u64 << 53) as f64,
        }
    }

    /// A part of `seconds`, in steps of 1/64 s: exact in microseconds here and in the floats there, so that differences are, too.
    fn part(&mut self, seconds: f64) -> f64 {
        (seconds * self.share() * 64.0).floor() / 64.0
    }
}

/// One machine's numbers.
struct Shift {
    planned: f64,
    down: f64,
    setup: f64,
    planned_stop: f64,
    all: f64,
    cycle: f64,
    total: u64,
    reject: u64,
    startup: u64,
}

impl Shift {
    fn random(random: &mut Random, at_most_ideal: bool) -> Self {
        let planned = (random.upto(6_400_000) + 64) as f64 / 64.0;
        let mut down = random.part(planned);
        if at_most_ideal && down == planned {
            down = 0.0;
        }
        let planned_stop = random.part(planned);
        let most = if random.upto(1) == 0 { 20 } else { 200_000 };
        let total = random.upto(most) + 1;
        let reject = random.upto(total);
        let full = (planned - down) / total as f64;
        // Mostly below the ideal pace, sometimes above.
        let cycle = full * if at_most_ideal { 0.1 + 0.9 * random.share() } else { 0.1 + 1.2 * random.share() };
        Self {
            planned,
            down,
            setup: random.part(down),
            planned_stop,
            all: planned + planned_stop + random.part(planned),
            cycle: if cycle > 1e-6 { cycle } else { 1.0 },
            total,
            reject,
            startup: random.upto(reject),
        }
    }

    fn question(&self) -> Value {
        json!({"planned_production_time": self.planned, "downtime": self.down, "ideal_cycle_time": self.cycle, "total_count": self.total,
            "reject_count": self.reject, "all_time": self.all, "planned_downtime": self.planned_stop, "setup_time": self.setup,
            "startup_rejects": self.startup})
    }

    fn request(&self) -> ExplicitRequest {
        let operation = self.planned + self.planned_stop;
        serde_json::from_value(json!({"planned_busy_time_s": self.planned, "downtime_s": self.down, "setup_time_s": self.setup,
            "planned_operation_time_s": operation, "all_time_s": self.all.max(operation), "ideal_cycle_time_s": self.cycle,
            "total_count": self.total, "reject_count": self.reject, "startup_reject_count": self.startup}))
        .unwrap()
    }
}

#[track_caller]
fn same(what: &str, ours: Option<f64>, theirs: &Value, question: &Value) {
    let (ours, theirs) = (ours.unwrap_or(f64::NAN), theirs.as_f64().unwrap());
    let scale = theirs.abs().max(1.0);
    assert!((ours - theirs).abs() <= 1e-9 * scale, "{what}: {ours} here, {theirs} there, of {question}");
}

fn compare(oee: &Oee, answer: &Value, question: &Value) {
    same("availability", oee.availability, &answer["availability"], question);
    same("quality", oee.quality, &answer["quality"], question);
    let capped = answer["capped"].as_bool().unwrap();
    if oee.times.production_s == 0.0 {
        // There a performance of 0, here none: parts without production time are a fault of the data.
        assert_eq!((oee.performance, oee.oee), (None, None));
        assert!(oee.flags.contains(&Flag::PartsWithoutProduction));
        return;
    }
    same("performance", oee.performance, &answer["performance_raw"], question);
    if capped {
        assert!(oee.flags.contains(&Flag::PerformanceAboveOne), "{question}");
        return;
    }
    same("oee", oee.oee, &answer["oee"], question);
    for (name, ours) in [("ooe", oee.ooe), ("teep", oee.teep)] {
        if !answer[name].is_null() {
            same(name, ours, &answer[name], question);
        }
    }
    let (losses, theirs) = (&oee.losses, &answer["six_losses"]);
    same("breakdowns", Some(losses.breakdowns), &theirs["breakdowns"], question);
    same("setup", Some(losses.setup_and_adjustments), &theirs["setup_and_adjustments"], question);
    let speed = losses.reduced_speed.map(|reduced| reduced + losses.minor_stops);
    same("speed", speed, &theirs["minor_stops_and_reduced_speed"], question);
    same("process defects", losses.process_defects, &theirs["process_defects"], question);
    same("startup rejects", losses.startup_rejects, &theirs["reduced_yield"], question);
}

#[test]
fn ten_thousand_random_shifts_come_out_as_pypi_oee_says() {
    need_oracle();
    let mut random = Random(22_400);
    let mut questions = Vec::new();
    let mut ours: Vec<(Oee, Vec<(String, f64)>)> = Vec::new();
    for _ in 0..SINGLE {
        let shift = Shift::random(&mut random, false);
        questions.push(json!({"kind": "explicit", "args": shift.question()}));
        ours.push((shift.request().calculate(&Rules::default()).unwrap(), Vec::new()));
    }
    for _ in 0..LOGS {
        let (question, oee, reasons) = log(&mut random);
        questions.push(question);
        ours.push((oee, reasons));
    }
    let weighed = Rules { quality_weight: QualityWeight::IdealTime, ..Rules::default() };
    for _ in 0..ROLL_UPS {
        let machines: Vec<_> = (0..=random.upto(5)).map(|_| Shift::random(&mut random, true)).collect();
        questions.push(json!({"kind": "roll_up", "args": machines.iter().map(Shift::question).collect::<Vec<_>>()}));
        let tallies: Vec<_> = machines.iter().map(|machine| machine.request().tally().unwrap().0).collect();
        ours.push((tallies.iter().sum::<Tally>().oee(&weighed, None), Vec::new()));
    }
    assert_eq!(questions.len(), 10_000);
    let answers = ask(&questions);
    let mut capped = 0;
    for (((oee, reasons), answer), question) in ours.iter().zip(&answers).zip(&questions) {
        compare(oee, answer, question);
        capped += usize::from(answer["capped"] == true);
        for (reason, seconds) in reasons {
            same(reason, Some(*seconds), &answer["downtime_reasons"][reason], question);
        }
    }
    assert!((100..5_000).contains(&capped), "{capped} of them above one: the cases should hold both kinds");
}

/// Runs with their own cycles, and stops with reasons, as sums.
fn log(random: &mut Random) -> (Value, Oee, Vec<(String, f64)>) {
    let planned = (random.upto(6_400_000) + 64_000) as f64 / 64.0;
    let mut tally = Tally::default();
    let micros = |seconds: f64| (seconds * 1e6).round() as i64;
    let (mut events, mut down) = (Vec::new(), 0.0);
    for _ in 0..random.upto(4) {
        let duration = random.part((planned - down) / 2.0);
        down += duration;
        let is_setup = random.upto(2) == 0;
        let reason = format!("{}{}", if is_setup { "setup" } else { "stop" }, random.upto(2));
        events.push(json!({"duration": duration, "reason": reason, "planned": is_setup}));
        let cause = if is_setup { Cause::Setup } else { Cause::UnplannedStop };
        tally.add_stops(cause, Some(Arc::from(reason)), micros(duration), 1);
    }
    tally.add_time(Cause::Producing, micros(planned - down));
    let runs: Vec<_> = (0..=random.upto(3))
        .map(|_| {
            let count = random.upto(10_000) + 1;
            let (reject, cycle) = (random.upto(count), (random.upto(100) + 1) as f64 / 100.0);
            let parts = PartTally { produced: count, rejected: reject, ..PartTally::default() };
            tally.add_parts(parts, IdealCycle::of_seconds(cycle));
            json!({"count": count, "reject": reject, "ideal_cycle_time": cycle})
        })
        .collect();
    let question = json!({"kind": "log", "args": {"planned_production_time": planned, "runs": runs, "downtime_events": events}});
    let pareto = tally.pareto(ParetoBy::Reason, &Rules::default(), &Catalogue::default(), None);
    let by_reason = pareto.rows.iter().filter(|row| row.stops > 0).map(|row| (row.key.clone(), row.seconds));
    (question, tally.oee(&Rules::default(), None), by_reason.collect())
}
