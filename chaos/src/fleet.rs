//! A fleet that comes back: many gateways' own uploaders over real TLS sockets, a real collector that is killed and started again.
//!
//! Stands beside the simulation, which has no sockets. The clients are `gateway::upload` as it is, each with a spool of its own on a disk in
//! memory; only where readings come from is simulated. `site` has the collector's process, `member` one gateway, `look` samples the collector,
//! `report` reckons and judges.
//!
//! ```text
//! enrol all -> all deliver -> SIGKILL -> outage, backlogs grow -> start -> until all have caught up -> calm -> compare the books
//! ```
//! Invariant: what is compared with the collector's books was counted here, when it was appended to a spool.

mod look;
mod member;
mod report;
mod site;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use tokio::task::JoinSet;

use self::{
    look::Watching,
    member::Member,
    report::{Moments, Report, Stored},
    site::Site,
};

/// As many as the collector signs at a time.
const ENROLMENTS_AT_A_TIME: usize = 8;
/// After the last one has caught up everything goes on for so long: an alarm that is late is an alarm, too.
const CALM: Duration = Duration::from_secs(20);
/// How long books may take to be compared once nothing is under way: a difference is one only after half a minute.
const SETTLE: Duration = Duration::from_secs(60);
const PROGRESS: Duration = Duration::from_secs(5);

#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// How many gateways
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=2_000))]
    pub gateways: u16,
    /// How long the collector is away
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub outage: Duration,
    /// How long all deliver before that. The collector writes down once a minute when it heard a gateway: what it never heard it misses not
    #[arg(long, default_value = "70s", value_parser = duration)]
    pub before: Duration,
    /// Each gateway makes an entry this often
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub every: Duration,
    /// All must have caught up this long after the collector is back
    #[arg(long, default_value = "180s", value_parser = duration)]
    pub limit: Duration,
    /// Decides when in its second each gateway makes its entries, and what is in them
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The collector's program (default: beside this one)
    #[arg(long)]
    pub collector: Option<PathBuf>,
    /// Where data and logs go (default: a temporary folder that goes with the run)
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Print the figures as JSON on the last line of stdout
    #[arg(long)]
    pub json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration: 500ms, 60s, 2m");
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        _ => return Err(wrong()),
    };
    if (0.001..=86_400.0).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(wrong()) }
}

/// Plays it, prints it. True if all is well.
///
/// # Errors
/// Something did not start, or ended by itself.
pub fn run(options: &Options) -> Result<bool> {
    // Planning of all uploaders is short work: a few threads do it for all.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(8).enable_all().build()?;
    let report = runtime.block_on(play(options))?;
    eprintln!("\n{}", report.table());
    if options.json {
        println!("{}", report.json()?);
    }
    Ok(report.faults.is_empty())
}

/// Plays it.
///
/// # Errors
/// Something did not start, or ended by itself.
pub async fn play(options: &Options) -> Result<Report> {
    let temporary = tempfile::Builder::new().prefix("millrace-fleet-").tempdir()?;
    let folder = options.data_dir.clone().unwrap_or_else(|| temporary.path().to_path_buf());
    let beside = std::env::current_exe()?.with_file_name("millrace-collector");
    let mut site = Site::prepare(options.collector.clone().unwrap_or(beside), &folder)?;
    let ids = (0..options.gateways).map(|n| format!("fleet-{:04}", n + 1)).collect::<Vec<_>>();
    let tokens = site.tokens(&ids).await?;
    site.start().await?;
    eprintln!("  collector  {}   data {}", site.api_url(), folder.display());

    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let members = enrol(&site, &ids, tokens).await?;
    let members: Arc<[Member]> = members.into();
    let watching = Watching::start(&site);
    let began = Instant::now();
    let mut makers = JoinSet::new();
    for number in 0..members.len() {
        let (members, every) = (Arc::clone(&members), options.every);
        let phase = every.mul_f64(f64::from(random.next_u32()) / f64::from(u32::MAX));
        let seed = random.next_u64();
        makers.spawn(async move { members[number].make_entries(phase, every, seed).await });
    }
    let run = Run { options, members: &members, began };

    run.wait("all deliver", &mut site, &watching, options.before, |_| false).await?;
    let silent = members.iter().filter(|member| !member.was_acknowledged()).count();
    if silent > 0 {
        bail!("{silent} of {} gateways had nothing acknowledged before the outage", members.len());
    }

    watching.pause();
    let killed = Instant::now();
    site.kill()?;
    run.wait("the collector is away", &mut site, &watching, options.outage, |_| false).await?;
    let backlog: u64 = members.iter().map(Member::backlog).sum();

    let restarted = Instant::now();
    site.start().await?;
    let ready = Instant::now();
    watching.resume(&site);
    let all_back = |_: Duration| members.iter().all(|member| member.has_caught_up(ready));
    run.wait("they come back", &mut site, &watching, options.limit, all_back).await?;
    let moments = Moments { began, killed, restarted, ready, caught_up: Instant::now() };
    run.wait("calm", &mut site, &watching, CALM, |_| false).await?;

    makers.abort_all();
    while makers.join_next().await.is_some() {}
    let drained = |_: Duration| members.iter().all(|member| member.backlog() == 0);
    run.wait("the rest", &mut site, &watching, options.limit, drained).await?;
    let stored = settled(&site).await?;
    watching.pause();
    for member in members.iter() {
        member.finish();
    }
    // Requests that the collector's own end would cut say nothing.
    run.wait("they end", &mut site, &watching, CALM, |_| members.iter().all(Member::has_ended)).await?;
    let lives = members.iter().map(Member::life).collect();
    let (bounds, alarms) = (site.bounds()?, site.alarms()?);
    site.stop()?;
    Ok(Report::of(&report::Seen { lives, moments, backlog, looks: watching.looks(), bounds, stored, alarms }))
}

/// Lets all in, a few at a time, and starts their uploaders.
async fn enrol(site: &Site, ids: &[String], tokens: Vec<String>) -> Result<Vec<Member>> {
    let begun = Instant::now();
    let mut waiting = ids.iter().cloned().zip(tokens).enumerate();
    let (mut running, mut done) = (JoinSet::new(), Vec::with_capacity(ids.len()));
    loop {
        while running.len() < ENROLMENTS_AT_A_TIME
            && let Some((number, (id, token))) = waiting.next()
        {
            let (folder, url) = (site.folder.join("gateways").join(&id), site.uplink_url());
            running.spawn(async move { Member::enrol(&id, &folder, &url, &token).await.map(|member| (number, member)) });
        }
        let Some(enrolled) = running.join_next().await else { break };
        done.push(enrolled?.context("a gateway could not enrol")?);
    }
    done.sort_by_key(|(number, _)| *number);
    let mut members: Vec<Member> = done.into_iter().map(|(_, member)| member).collect();
    for (number, member) in members.iter_mut().enumerate() {
        member.start(number as u64)?;
    }
    eprintln!("  {} gateways enrolled in {:.1} s", members.len(), begun.elapsed().as_secs_f64());
    Ok(members)
}

/// Asks until the collector's own account of all gateways balances, or for as long as it may take.
async fn settled(site: &Site) -> Result<Stored> {
    let begun = Instant::now();
    loop {
        let stored = site.stored().await?;
        if stored.verdicts.values().all(|verdict| verdict == "balanced") || begun.elapsed() > SETTLE {
            return Ok(stored);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

struct Run<'a> {
    options: &'a Options,
    members: &'a [Member],
    began: Instant,
}

impl Run<'_> {
    /// Goes on for `at_most`, or until `done`; says now and then how it goes.
    async fn wait(
        &self,
        what: &str,
        site: &mut Site,
        watching: &Watching,
        at_most: Duration,
        done: impl Fn(Duration) -> bool,
    ) -> Result<()> {
        let (begun, mut shown) = (Instant::now(), None::<Instant>);
        loop {
            site.check()?;
            let elapsed = begun.elapsed();
            let over = elapsed >= at_most || done(elapsed);
            if over || shown.is_none_or(|at| at.elapsed() >= PROGRESS) {
                shown = Some(Instant::now());
                self.progress(what, watching);
            }
            if over {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100).min(at_most)).await;
        }
    }

    fn progress(&self, what: &str, watching: &Watching) {
        let backlog: u64 = self.members.iter().map(Member::backlog).sum();
        let heard = self.members.iter().filter(|member| member.was_heard_within(Duration::from_secs(6))).count();
        let now = watching.latest().map_or_else(String::new, |look| look.line());
        let at = self.began.elapsed().as_secs();
        eprintln!("  {at:>4} s  {what:<22} {heard:>4} of {} heard, {backlog:>6} entries not delivered{now}", self.options.gateways);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units_and_refused_without() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "60", "s", "-1s", "1h", "1e9s", "0s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
