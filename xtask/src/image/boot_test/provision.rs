//! What goes wrong at the first start: a token that is refused, and no network. Both must be told or borne, and mended without a new card.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{
    books::Outage,
    card::{Card, provisioned},
    console::Marker,
    guest::BOOT_LIMIT,
    stage::{Context, PROVISION, Setting},
};
use crate::demo::unix_seconds;

/// What the image writes on the card's FAT partition when it is refused, or reaches nobody.
const FAILED: &str = "millrace/ENROLL-FAILED.txt";
const ENROL_LIMIT: Duration = Duration::from_secs(240);
/// From network to a certificate and the first stored reading: retries grow apart.
const RETURN_LIMIT: Duration = Duration::from_secs(300);
/// How the image tells it.
const NO_CABLE: &str = "no cable";
const BUFFERS: Duration = Duration::from_secs(40);

pub fn run(context: &mut Context<'_>) -> Result<()> {
    refused(context)?;
    without_network(context)
}

/// A token that is not valid any more; then a new one on the card.
fn refused(context: &mut Context<'_>) -> Result<()> {
    let mut stage = context.stage("refused-token", &Setting { token_lasts: "1s", ..Setting::default() })?;
    let transcript = &mut context.transcript;
    std::thread::sleep(Duration::from_secs(2));
    stage.guest.power_on(true)?;
    let (_, at, marker) =
        stage.guest.wait_for("word of a refused token", BOOT_LIMIT, 0, &|m| matches!(m, Marker::EnrolmentFailed { .. }))?;
    transcript.passed("refused token is told", at, &format!("{marker:?}"));
    let at = stage.healthy()?;
    transcript.passed("gateway healthy without a certificate", at, "");
    stage.guest.power_off()?;
    let told = told(&stage.guest.card)?;
    transcript.passed("what to do is on the card", Duration::ZERO, FAILED);
    transcript.say(&quoted(&told));

    let token = stage.token("1h")?;
    let text = stage.guest.card.read(PROVISION)?.unwrap_or_default();
    stage.guest.card.write(PROVISION, &provisioned(&text, &[("TOKEN", &token)]))?;
    stage.guest.power_on(true)?;
    let (_, at, _) = stage.guest.wait_for("enrolment", BOOT_LIMIT, 0, &|m| matches!(m, Marker::Enrolled { .. }))?;
    transcript.passed("a new token on the card works", at, "");
    stage.pass(Duration::from_secs(10))?;
    stage.guest.power_off()?;
    let left = stage.guest.card.read(PROVISION)?.unwrap_or_default();
    if left.contains("mrt1.") {
        bail!("the used token is still on the card");
    }
    if stage.guest.card.read(FAILED)?.is_some() {
        bail!("{FAILED} is still on the card, though the gateway is enrolled");
    }
    transcript.passed("card holds no token and no complaint after that", Duration::ZERO, "");
    stage.plant.end_collector()
}

fn told(card: &Card) -> Result<String> {
    card.read(FAILED)?.with_context(|| format!("there is no {FAILED} on the card"))
}

fn quoted(text: &str) -> String {
    text.lines().map(|line| format!("  | {line}\n")).collect()
}

/// No cable at the first start, then a cable but no collector, then the plug is pulled. At the second start the collector comes later.
fn without_network(context: &mut Context<'_>) -> Result<()> {
    let mut stage = context.stage("no-network", &Setting::default())?;
    let transcript = &mut context.transcript;
    stage.plant.end_collector()?;
    stage.start_machines()?;
    stage.guest.power_on(false)?;
    let at = stage.healthy()?;
    transcript.passed("healthy at a first start without network", at, "");
    let no_cable = |m: &Marker| matches!(m, Marker::Network { state, .. } if state.contains(NO_CABLE));
    let (_, at, marker) = stage.guest.wait_for("word of the missing cable", BOOT_LIMIT, 0, &no_cable)?;
    transcript.passed("missing cable is told", at, &format!("{marker:?}"));
    stage.guest.link(true)?;
    transcript.say("the cable is in; the collector is still away");
    stage.pass(BUFFERS)?;
    let cut = stage.guest.cut()?;
    let told = told(&stage.guest.card)?;
    if !told.contains(NO_CABLE) {
        bail!("{FAILED} does not say why: {told:?}");
    }
    transcript.passed("plug pulled; the card says it, too", Duration::ZERO, FAILED);
    transcript.say(&quoted(&told));
    stage.guest.power_on(true)?;
    let at = stage.healthy()?;
    let outage = Outage { cut, healthy: unix_seconds() };
    transcript.passed("started again", at, "");
    let enrolled = |m: &Marker| matches!(m, Marker::Enrolled { .. });
    if stage.guest.markers().iter().any(|(_, marker)| enrolled(marker)) {
        bail!("it enrolled at a collector that was away");
    }
    let begun = Instant::now();
    stage.start_collector()?;
    stage.guest.wait_for("enrolment", ENROL_LIMIT, 0, &enrolled)?;
    transcript.passed("enrolled once there was a collector", begun.elapsed(), "");
    stage.delivers(0, RETURN_LIMIT)?;
    transcript.passed("what was buffered is delivered", begun.elapsed(), "");
    stage.pass(Duration::from_secs(10))?;
    stage.settle(transcript, &[outage])?;
    stage.guest.power_off()?;
    if stage.guest.card.read(FAILED)?.is_some() {
        bail!("{FAILED} is still on the card, though the gateway is enrolled");
    }
    stage.plant.end_collector()
}
