//! Updates of the system: one whose gateway does not run has to return to the slot before by itself, and a sound one has to stay.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    console::Marker,
    guest::{BOOT_LIMIT, Guest},
    stage::{Context, PROVISION, Setting},
};
use crate::command;

/// Three attempts, each a boot and the time that a slot has to become good.
const RETURN_LIMIT: Duration = Duration::from_secs(40 * 60);
const GOOD_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Where bundles are put in the guest.
const BUNDLE: &str = "/data/update.raucb";
/// A broken slot need not be waited for as long as one on a card in the field (300 s).
const BROKEN_TRY: Duration = Duration::from_secs(90);
/// A sound one needs longer in emulation.
const SOUND_TRY: Duration = Duration::from_secs(900);

pub fn run(context: &mut Context<'_>) -> Result<()> {
    let mut stage = context.stage("update", &Setting::default())?;
    let begun = Instant::now();
    let broken = bundle(context, &stage.folder, "broken", Some(&broken_gateway(&stage.folder)?))?;
    let sound = bundle(context, &stage.folder, "sound", None)?;
    let transcript = &mut context.transcript;
    transcript.passed("two bundles", begun.elapsed(), &format!("{} and {} MiB", size_mib(&broken)?, size_mib(&sound)?));
    stage.start_machines()?;
    stage.guest.power_on(true)?;
    let first = booted(&mut stage.guest, 0)?;
    let took = stage.healthy()?;
    transcript.passed("first boot to a healthy gateway", took, &format!("slot {}", first.slot));

    stage.guest.wait_for_ssh()?;
    limit(&stage.guest, BROKEN_TRY)?;
    let took = install(&stage.guest, &broken)?;
    transcript.passed("broken bundle installed", took, "its gateway ends with 1");
    let begun = Instant::now();
    let mut from = reboot(&stage.guest)?;
    let mut attempts = 0;
    let back = loop {
        if begun.elapsed() > RETURN_LIMIT {
            bail!("no return to slot {} within {} min", first.slot, RETURN_LIMIT.as_secs() / 60);
        }
        let next = booted(&mut stage.guest, from)?;
        from = next.number + 1;
        transcript.say(&format!("slot {} booted after {:.1} s", next.slot, begun.elapsed().as_secs_f64()));
        if next.slot == first.slot {
            break next;
        }
        attempts += 1;
    };
    if attempts == 0 {
        bail!("the broken slot was never tried");
    }
    stage.guest.wait_for("a healthy gateway", BOOT_LIMIT, back.number, &|m| *m == Marker::Healthy)?;
    let detail = format!("{attempts} attempts of the broken slot, then slot {} with a healthy gateway", back.slot);
    transcript.passed("returned by itself", begun.elapsed(), &detail);

    stage.guest.wait_for_ssh()?;
    limit(&stage.guest, SOUND_TRY)?;
    let took = install(&stage.guest, &sound)?;
    transcript.passed("sound bundle installed", took, "");
    let begun = Instant::now();
    let from = reboot(&stage.guest)?;
    let new = booted(&mut stage.guest, from)?;
    if new.slot == first.slot {
        bail!("the sound slot was not tried");
    }
    let good = |m: &Marker| *m == Marker::Good { slot: new.slot };
    stage.guest.wait_for("the new slot marked good", GOOD_LIMIT, new.number, &good)?;
    transcript.passed("new slot marked good", begun.elapsed(), &format!("slot {}", new.slot));
    let begun = Instant::now();
    let from = reboot(&stage.guest)?;
    let again = booted(&mut stage.guest, from)?;
    if again.slot != new.slot {
        bail!("slot {} was good, and slot {} was booted", new.slot, again.slot);
    }
    stage.guest.wait_for("a healthy gateway", BOOT_LIMIT, again.number, &|m| *m == Marker::Healthy)?;
    transcript.passed("new slot stays", begun.elapsed(), &format!("slot {} booted once more", again.slot));
    // Reboots in order cost nothing.
    stage.settle(transcript, &[])?;
    stage.guest.power_off()?;
    stage.plant.end_collector()
}

/// A boot of a slot: the marker's number, and which slot.
struct Booted {
    number: usize,
    slot: char,
}

fn booted(guest: &mut Guest, from: usize) -> Result<Booted> {
    let limit = BOOT_LIMIT * 2;
    let (number, _, marker) = guest.wait_for("boot of a slot", limit, from, &|m| matches!(m, Marker::Booted { .. }))?;
    let Marker::Booted { slot, .. } = marker else { bail!("no slot in {marker:?}") };
    Ok(Booted { number, slot })
}

/// How long an unproven slot has to become good.
fn limit(guest: &Guest, limit: Duration) -> Result<()> {
    let file = format!("/boot/firmware/{PROVISION}");
    let (open, shut) = ("mount -o remount,rw /boot/firmware", "mount -o remount,ro /boot/firmware");
    guest.ssh(&format!("{open} && echo TRY_SECONDS={} >> {file} && sync && {shut}", limit.as_secs())).map(drop)
}

/// Copies a bundle into the guest and installs it into the other slot.
fn install(guest: &Guest, bundle: &Path) -> Result<Duration> {
    let begun = Instant::now();
    guest.put(bundle, BUNDLE)?;
    guest.ssh(&format!("rauc install {BUNDLE} && rm {BUNDLE}")).context("`rauc install` in the guest")?;
    Ok(begun.elapsed())
}

/// Asks for a reboot in order; the number of the first marker that is of the next boot.
fn reboot(guest: &Guest) -> Result<usize> {
    let from = guest.markers().len();
    // The connection may be closed before the command has answered.
    guest.ssh("systemd-run --on-active=2 systemctl reboot")?;
    Ok(from)
}

/// Something that starts and ends at once, in place of the gateway.
fn broken_gateway(folder: &Path) -> Result<PathBuf> {
    let file = folder.join("broken-gateway");
    fs::write(&file, "#!/bin/sh\necho 'this gateway is broken on purpose' >&2\nexit 1\n")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    Ok(file)
}

/// Makes an update bundle, with another gateway in it if one is named.
fn bundle(context: &Context<'_>, folder: &Path, name: &str, gateway: Option<&Path>) -> Result<PathBuf> {
    let file = folder.join(format!("{name}.raucb"));
    let mut image = command::this_program();
    image.args(["image", "--board", "generic-arm64", "--slot-version", name, "--bundle"]).arg(&file);
    if let Some(keys) = &context.options.update_key {
        image.arg("--update-key").arg(keys);
    }
    if let Some(gateway) = gateway {
        image.env("MILLRACE_GATEWAY_BINARY", gateway);
    }
    command::run(&mut image)?;
    Ok(file)
}

fn size_mib(file: &Path) -> Result<u64> {
    Ok(fs::metadata(file)?.len() >> 20)
}
