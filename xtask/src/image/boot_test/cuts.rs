//! The power is cut again and again, at seeded moments; then everything is drained in order and the books must balance.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    ENDS_IN_ORDER,
    books::outages,
    console::Marker,
    guest::BOOT_LIMIT,
    is_asked_to_end,
    schedule::{self, Moment},
    stage::{Context, Setting, Stage},
    transcript::Transcript,
};
use crate::demo::unix_seconds;

/// After the last cut the sensors send for so long.
const RUNS_ON: Duration = Duration::from_secs(20);
const ENROL_LIMIT: Duration = Duration::from_secs(180);
const DELIVERY_LIMIT: Duration = Duration::from_secs(180);

/// What was seen of the cuts. Unix seconds.
#[derive(Default)]
struct Log {
    cuts: Vec<f64>,
    healthy: Vec<f64>,
    /// How long boots took to a healthy gateway.
    boots: Vec<Duration>,
    /// Readings that the collector had at the last look.
    stored: u64,
}

/// Ctrl-C ends the cuts, and the books are balanced; a second one ends all at once.
pub fn run(context: &mut Context<'_>) -> Result<()> {
    ENDS_IN_ORDER.store(true, Ordering::SeqCst);
    let played = play(context);
    ENDS_IN_ORDER.store(false, Ordering::SeqCst);
    played
}

fn play(context: &mut Context<'_>) -> Result<()> {
    let plan = schedule::plan(context.options.seed, context.options.cuts);
    let mut stage = context.stage("cuts", &Setting::default())?;
    let transcript = &mut context.transcript;
    transcript.say(&format!("seed {}, {} cuts:", context.options.seed, plan.len()));
    for (number, cut) in plan.iter().enumerate() {
        transcript.say(&format!("  {:>2}. {}", number + 1, cut.says()));
    }
    let mut log = Log::default();
    stage.start_machines()?;
    stage.guest.power_on(true)?;
    let usual = healthy(&mut stage, &mut log)?;
    transcript.passed("first boot to a healthy gateway", usual, "");
    stage.guest.wait_for("enrolment", ENROL_LIMIT, 0, &|m| matches!(m, Marker::Enrolled { .. }))?;
    stage.delivers(0, DELIVERY_LIMIT)?;
    for (number, cut) in plan.iter().enumerate() {
        if is_asked_to_end() {
            transcript.noted("cuts left out", None, &format!("{}: interrupted", plan.len() - number));
            break;
        }
        let name = format!("cut {}", number + 1);
        match cut.moment {
            // Follows a cut, since the first one never hits a boot.
            Moment::Booting { per_mille } => {
                let at = usual.mul_f64(per_mille as f64 / 1000.0);
                stage.pass(at.saturating_sub(stage.guest.uptime()))?;
            }
            Moment::Running { after } => {
                if number > 0 {
                    back(&mut stage, transcript, &mut log)?;
                }
                if cut.collector_away {
                    stage.plant.end_collector()?;
                    transcript.say("the collector is ended");
                }
                stage.pass(after)?;
            }
        }
        before_the_cut(&stage, transcript, &mut log, &name)?;
        let up = stage.guest.uptime();
        let markers = stage.guest.markers().last().map_or_else(|| "nothing".to_owned(), |(_, marker)| format!("{marker:?}"));
        log.cuts.push(stage.guest.cut()?);
        let detail = format!("{}; last said: {markers}; {} readings stored", cut.says(), log.stored);
        transcript.noted(&name, Some(up), &detail);
        stage.guest.power_on(true)?;
    }
    back(&mut stage, transcript, &mut log)?;
    finish(&mut stage, transcript, &log)
}

/// After a cut: a healthy gateway, and a collector for it.
fn back(stage: &mut Stage<'_>, transcript: &mut Transcript, log: &mut Log) -> Result<()> {
    let took = healthy(stage, log)?;
    transcript.passed("healthy again", took, "");
    if stage.plant.collector.is_none() {
        stage.start_collector()?;
        transcript.say("the collector is back");
    }
    Ok(())
}

/// The count of what is stored may only grow.
fn before_the_cut(stage: &Stage<'_>, transcript: &mut Transcript, log: &mut Log, name: &str) -> Result<()> {
    if stage.plant.collector.is_none() {
        return Ok(());
    }
    let stored = stage.stored()?;
    if stored < log.stored {
        transcript.failed(name, &format!("the collector had {} readings and has {stored} now", log.stored));
    }
    log.stored = stored;
    Ok(())
}

fn healthy(stage: &mut Stage<'_>, log: &mut Log) -> Result<Duration> {
    let took = stage.healthy()?;
    log.healthy.push(unix_seconds());
    log.boots.push(took);
    Ok(took)
}

fn finish(stage: &mut Stage<'_>, transcript: &mut Transcript, log: &Log) -> Result<()> {
    let begun = Instant::now();
    stage.delivers(log.stored, DELIVERY_LIMIT).context("after the last cut")?;
    transcript.passed("readings arrive again", begun.elapsed(), "");
    stage.pass(RUNS_ON)?;
    let verdict = stage.settle(transcript, &outages(&log.cuts, &log.healthy, unix_seconds()))?;
    for (number, cost) in verdict.costs.iter().enumerate() {
        let reasons: Vec<String> = cost.reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        transcript.say(&format!(
            "  cut {:>2}: {} readings lost and counted, {} ranges ({})",
            number + 1,
            cost.lost,
            cost.ranges,
            reasons.join(", ")
        ));
    }
    let (_, at, marker) = stage.guest.wait_for("a slot", BOOT_LIMIT, 0, &|m| matches!(m, Marker::Booted { .. }))?;
    transcript.say(&format!("after {} cuts: {marker:?} at {:.1} s", log.cuts.len(), at.as_secs_f64()));
    let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
    let times = format!("shortest {:.1} s, longest {:.1} s", seconds(log.boots.iter().min()), seconds(log.boots.iter().max()));
    transcript.noted(&format!("{} boots to a healthy gateway", log.boots.len()), None, &times);
    let took = stage.guest.power_off()?;
    transcript.passed("power off in order", took, "");
    stage.plant.end_collector()
}
