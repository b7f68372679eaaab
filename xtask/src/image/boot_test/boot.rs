//! The first boot: the slot, the data partition that grows, a healthy gateway, its enrolment, and readings at the collector.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{
    console::Marker,
    guest::BOOT_LIMIT,
    stage::{Context, Setting},
    transcript::Transcript,
};

const ENROL_LIMIT: Duration = Duration::from_secs(180);
const DELIVERY_LIMIT: Duration = Duration::from_secs(120);
/// Sensors send for so long.
const RUNS: Duration = Duration::from_secs(45);

pub fn run(context: &mut Context<'_>) -> Result<()> {
    let setting = Setting::default();
    let mut stage = context.stage("boot", &setting)?;
    let transcript = &mut context.transcript;
    stage.start_machines()?;
    stage.guest.power_on(true)?;
    let (_, at, marker) = stage.guest.wait_for("boot of a slot", BOOT_LIMIT, 0, &|m| matches!(m, Marker::Booted { .. }))?;
    transcript.passed("slot booted", at, &format!("{marker:?}"));
    grown(transcript, &mut stage.guest, setting.card_bytes)?;
    let at = stage.healthy()?;
    transcript.passed("gateway healthy", at, "");
    let (_, at, marker) = stage.guest.wait_for("enrolment", ENROL_LIMIT, 0, &|m| matches!(m, Marker::Enrolled { .. }))?;
    if marker != (Marker::Enrolled { id: stage.id.clone() }) {
        bail!("it enrolled as another one: {marker:?}");
    }
    transcript.passed("enrolled", at, &stage.id);
    stage.delivers(0, DELIVERY_LIMIT)?;
    transcript.passed("first reading stored", stage.guest.uptime(), "");
    stage.pass(RUNS)?;
    stage.settle(transcript, &[])?;
    let (_, at, marker) = stage.guest.wait_for("a slot that is marked good", BOOT_LIMIT, 0, &|m| matches!(m, Marker::Good { .. }))?;
    transcript.passed("slot marked good", at, &format!("{marker:?}"));
    let took = stage.guest.power_off()?;
    transcript.passed("power off in order", took, "");
    stage.plant.end_collector()
}

/// The data partition has to fill the card but for what stands before it: the FAT and two slots.
fn grown(transcript: &mut Transcript, guest: &mut super::guest::Guest, card_bytes: u64) -> Result<()> {
    let (_, at, marker) = guest.wait_for("a data partition", BOOT_LIMIT, 0, &|m| matches!(m, Marker::DataPartition { .. }))?;
    let Marker::DataPartition { mib } = marker else { bail!("no size in {marker:?}") };
    let card_mib = card_bytes >> 20;
    if !is_grown(mib, card_mib) {
        bail!("the data partition has {mib} MiB on a card of {card_mib} MiB: it did not grow");
    }
    transcript.passed("data partition grown", at, &format!("{mib} MiB of a card of {card_mib} MiB"));
    Ok(())
}

fn is_grown(data_mib: u64, card_mib: u64) -> bool {
    // 128 MiB of FAT and twice 512 MiB of slots stand before it; a seventh of the rest may go to its own tables and journal.
    let rest = card_mib - 1_152;
    (rest * 6 / 7..rest).contains(&data_mib)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_partition_that_kept_the_size_of_the_image_has_not_grown() {
        assert!(super::is_grown(2_936, 4_096));
        assert!(!super::is_grown(64, 4_096));
        assert!(!super::is_grown(4_096, 4_096));
    }
}
