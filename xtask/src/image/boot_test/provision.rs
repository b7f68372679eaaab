//! What goes wrong at the first start: a token that is refused, and no network. Both must be told or borne, and mended without a new card.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{
    card::provisioned,
    console::Marker,
    guest::BOOT_LIMIT,
    stage::{Context, PROVISION, Setting},
};

/// What the image writes on the card's FAT partition when it is refused.
const FAILED: &str = "millrace/ENROLL-FAILED.txt";
const ENROL_LIMIT: Duration = Duration::from_secs(240);
/// From network to a certificate and the first stored reading: retries grow apart.
const RETURN_LIMIT: Duration = Duration::from_secs(300);
const WITHOUT_NETWORK: Duration = Duration::from_secs(30);
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
    let Some(told) = stage.guest.card.read(FAILED)? else { bail!("there is no {FAILED} on the card") };
    transcript.passed("what to do is on the card", Duration::ZERO, FAILED);
    transcript.say(&told.lines().map(|line| format!("  | {line}\n")).collect::<String>());

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

/// No cable at the first start, then a cable but no collector, then all.
fn without_network(context: &mut Context<'_>) -> Result<()> {
    let mut stage = context.stage("no-network", &Setting::default())?;
    let transcript = &mut context.transcript;
    stage.plant.end_collector()?;
    stage.start_machines()?;
    stage.guest.power_on(false)?;
    let at = stage.healthy()?;
    transcript.passed("healthy at a first start without network", at, "");
    stage.pass(WITHOUT_NETWORK)?;
    stage.guest.link(true)?;
    transcript.say("the cable is in; the collector is still away");
    stage.pass(BUFFERS)?;
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
    stage.settle(transcript, &[])?;
    stage.guest.power_off()?;
    stage.plant.end_collector()
}
