//! What each part of the test plays on: a collector and simulated sensors here, the guest with its card, and the account at the end.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    super::Board,
    Options,
    books::{self, Account, Outage},
    card::{CARD_BYTES, Card, provisioned},
    console::Marker,
    guest::{BOOT_LIMIT, Guest, Ports, THIS_HOST},
    interrupted,
    transcript::Transcript,
};
use crate::{
    build::Programs,
    chaos::{self, books::Verdict},
    command,
    demo::{
        account,
        plant::Plant,
        rest::Rest,
        site::{Elsewhere, Site},
        unix_seconds,
    },
};

/// Few, since an emulated CPU has to take in what they send.
const MACHINES: u16 = 3;
/// All that is stored and lost may be known so long after the machines' last word.
const HAND_OVER: Duration = Duration::from_secs(300);
/// And if nothing changes for so long, no more will come.
const QUIET: Duration = Duration::from_secs(60);
/// The provisioning file on the card's FAT partition.
pub const PROVISION: &str = "millrace/provision.conf";
/// The file there with more arguments for the kernel.
pub const ARGUMENTS: &str = "millrace/arguments.cfg";

/// What all parts share.
pub struct Context<'a> {
    pub options: &'a Options,
    pub programs: &'a Programs,
    pub folder: PathBuf,
    pub transcript: Transcript,
    /// Private key that opens the guests' sshd.
    pub key: PathBuf,
}

/// How the card of a part is made.
pub struct Setting<'a> {
    /// Of its token (`1s`, `1h`).
    pub token_lasts: &'static str,
    pub card_bytes: u64,
    pub board: Board,
    /// More options of the image (`--static-ip`, an address).
    pub more: &'a [&'a str],
}

impl Default for Setting<'_> {
    fn default() -> Self {
        Self { token_lasts: "1h", card_bytes: CARD_BYTES, board: Board::GenericArm64, more: &[] }
    }
}

/// One part's processes.
pub struct Stage<'a> {
    pub site: Site,
    pub plant: Plant,
    pub guest: Guest,
    pub id: String,
    pub folder: PathBuf,
    programs: &'a Programs,
    machines_began: Instant,
}

impl<'a> Context<'a> {
    /// Starts a collector, and makes a card for a gateway that may enrol there; all of it in the folder `name`. The guest is off, and no machine runs.
    pub fn stage(&mut self, name: &str, setting: &Setting<'_>) -> Result<Stage<'a>> {
        let ports = Ports::choose()?;
        let id = format!("boot-test-{name}");
        let folder = self.folder.join(name);
        let elsewhere =
            Elsewhere { folder: &folder, this_host: THIS_HOST, broker: ports.mqtt(), machines: MACHINES, seed: self.options.seed };
        let site = Site::prepare_for(&elsewhere, self.programs)?;
        let mut plant = Plant::of(&site);
        plant.start_collector(&site, self.programs)?;
        let token = site.token(&id, setting.token_lasts, self.programs)?;
        let begun = Instant::now();
        let given = self.options.image.as_ref().filter(|_| setting.board == Board::GenericArm64);
        let owner = Owner { id: &id, collector: format!("https://{THIS_HOST}:{}", site.uplink.port()), token: &token };
        let file = folder.join("card.img");
        let card = match given {
            Some(image) => self.copied(image, &owner, &file, setting)?,
            None => self.built(&owner, &file, setting)?,
        };
        let how = if given.is_some() { "copied and provisioned" } else { "built with the token" };
        self.transcript.passed(&format!("card {how}"), begun.elapsed(), &format!("{} MiB", setting.card_bytes >> 20));
        let guest = Guest::new(card, &ports, &self.key, &folder)?;
        Ok(Stage { site, plant, guest, id, folder, programs: self.programs, machines_began: Instant::now() })
    }

    fn built(&self, owner: &Owner<'_>, file: &Path, setting: &Setting<'_>) -> Result<Card> {
        let mut image = command::this_program();
        image.args(["image", "--board", setting.board.name(), "--gateway", owner.id]);
        image.args(["--collector", &owner.collector, "--token", owner.token]).args(setting.more);
        image.arg("--ssh-key").arg(self.key.with_extension("pub")).arg("--out").arg(file);
        command::run(&mut image)?;
        Card::grown(file, setting.card_bytes)
    }

    fn copied(&self, image: &Path, owner: &Owner<'_>, file: &Path, setting: &Setting<'_>) -> Result<Card> {
        let card = Card::copy_of(image, file, setting.card_bytes)?;
        let key = fs::read_to_string(self.key.with_extension("pub"))?;
        let changes = [("GATEWAY_ID", owner.id), ("COLLECTOR_URL", &*owner.collector), ("TOKEN", owner.token), ("SSH_KEY", key.trim())];
        card.write(PROVISION, &provisioned(&card.read(PROVISION)?.unwrap_or_default(), &changes))?;
        Ok(card)
    }
}

/// Whose card it is, and where that gateway enrols.
struct Owner<'a> {
    id: &'a str,
    /// As a guest reaches it.
    collector: String,
    token: &'a str,
}

impl Stage<'_> {
    pub fn start_machines(&mut self) -> Result<()> {
        self.machines_began = Instant::now();
        self.plant.start_machines(&self.site, self.programs)
    }

    pub fn start_collector(&mut self) -> Result<()> {
        self.plant.start_collector(&self.site, self.programs)
    }

    pub fn token(&self, lasts: &str) -> Result<String> {
        self.site.token(&self.id, lasts, self.programs)
    }

    /// Waits until the gateway of this boot is healthy; how long after power on that was.
    pub fn healthy(&mut self) -> Result<Duration> {
        Ok(self.guest.wait_for("a healthy gateway", BOOT_LIMIT, 0, &|m| *m == Marker::Healthy)?.1)
    }

    /// Lets time pass, and looks after all processes meanwhile.
    pub fn pass(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.check()?;
            std::thread::sleep(Duration::from_millis(100).min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// An error if one of the processes has ended by itself, or Ctrl-C was pressed.
    pub fn check(&mut self) -> Result<()> {
        interrupted()?;
        self.plant.check()?;
        self.guest.check()
    }

    /// Readings that the collector has stored.
    pub fn stored(&self) -> Result<u64> {
        sum(&self.plant.rest, "SELECT COALESCE(SUM(\"count\"), 0) FROM window_summaries")
    }

    fn lost(&self) -> Result<u64> {
        sum(&self.plant.rest, "SELECT COALESCE(SUM(\"count\"), 0) FROM losses")
    }

    /// Waits until the collector has stored more than `more_than`; how long that took.
    pub fn delivers(&mut self, more_than: u64, limit: Duration) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            let stored = self.stored()?;
            if stored > more_than {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > limit {
                bail!("no reading arrived at the collector within {} s ({stored} are stored)", limit.as_secs());
            }
            self.pass(Duration::from_millis(500))?;
        }
    }

    /// Ends the machines in order, waits until the gateway has handed over what it holds, and balances the books.
    pub fn settle(&mut self, transcript: &mut Transcript, outages: &[Outage]) -> Result<Verdict> {
        let begun = Instant::now();
        let plant_ended = unix_seconds();
        let length = self.machines_began.elapsed();
        let machines = self.plant.machines.take().context("the simulated sensors run")?;
        machines.end(Duration::from_secs(330)).context("the simulated sensors did not end in order")?;
        let truth = self.site.truth()?;
        let made: u64 = truth.iter().map(|t| t.readings).sum();
        let mut last = (0, Instant::now());
        loop {
            let known = self.stored()? + self.lost()?;
            if known != last.0 {
                last = (known, Instant::now());
            }
            if known >= made || last.1.elapsed() > QUIET || begun.elapsed() > HAND_OVER {
                break;
            }
            self.pass(Duration::from_secs(1))?;
        }
        // Parts and states are records of their own, and may come a moment later.
        self.pass(Duration::from_secs(5))?;
        transcript.passed("all handed over", begun.elapsed(), &format!("{made} readings were acknowledged to the sensors"));
        let stored = account::account(&self.plant.rest, &truth)?;
        let losses = chaos::losses(&self.plant.rest, &[&self.id])?;
        let mut verdict = books::judge(&Account {
            truth: &truth,
            stored: &stored,
            losses: &losses,
            outages,
            gateway_of: &self.site.gateway_of,
            durability_interval_s: self.site.durability_interval_s,
            plant_ended,
            length,
        });
        let start = plant_ended - length.as_secs_f64();
        books::told(&losses, start).iter().for_each(|line| transcript.say(&format!("  lost: {line}")));
        for audit in chaos::audits(&self.plant.rest)? {
            transcript.say(&format!("  the collector's own account of {audit}"));
            if audit.verdict == "unaccounted" {
                verdict.violations.push(format!("the collector itself says of {audit}"));
            }
        }
        let (unsent, dropped) = self.kept_by_the_sensors()?;
        let detail = format!(
            "made {} = stored {} + lost {} + within ranges of unknown count {}; twice {}; apart from these, {unsent} messages were never \
             acknowledged to the sensors and {dropped} found their buffers full",
            verdict.made, verdict.stored, verdict.lost, verdict.in_ranges, verdict.twice
        );
        transcript.judged("books", begun.elapsed(), &detail, &verdict.violations);
        Ok(verdict)
    }

    /// Messages that the sensors could not hand over by their own account, and measurements for which they had no room.
    fn kept_by_the_sensors(&self) -> Result<(u64, u64)> {
        let text = fs::read_to_string(&self.site.truth_file)?;
        let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let summaries: Vec<_> = lines.filter(|line| line["type"] == "summary").collect();
        let sum = |what: &str| summaries.iter().filter_map(|line| line[what].as_u64()).sum();
        Ok((sum("unacknowledged"), sum("dropped")))
    }
}

fn sum(rest: &Rest, sql: &str) -> Result<u64> {
    let rows = rest.sql(sql)?;
    account::whole(rows.first().and_then(|row| row.first()).context("an answer without a row")?)
}
