//! The image for the Raspberry Pi 3 on qemu's `raspi3b`, as far as it goes: how far it came is noted and fails nothing, since qemu lacks a part of
//! that board (its firmware, its Ethernet chip, some of its clocks). qemu loads U-Boot in the firmware's place.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    card::{CARD_BYTES, Card},
    interrupted,
    stage::{ARGUMENTS, Context},
};
use crate::{command, demo::fleet::Process};

const LIMIT: Duration = Duration::from_secs(12 * 60);
/// Steps of a boot, and what shows on a console once each is reached.
const STEPS: &[(&str, &[&str])] = &[
    ("U-Boot", &["U-Boot 20"]),
    ("GRUB by UEFI, a slot chosen", &["millrace: starting slot "]),
    ("kernel started", &["Linux version", "EFI stub:", "raspberrypi-exp-gpio"]),
    // How systemd 257 and later set a console up, which is all that a quiet one shows.
    ("root file system and systemd", &["systemd[", "\u{1b}[!p\u{1b}]104\u{7}"]),
    ("slot booted", &["millrace: slot "]),
    ("data partition grown", &["millrace: data partition "]),
    ("gateway healthy", &["millrace: gateway healthy"]),
];
/// qemu's watchdog of the BCM2835 resets at once when it is armed (`bcm2835_powermgt.c`: there is no timer behind it), so nothing may arm it.
const WITHOUT_WATCHDOG: &str = "set arguments=\"loglevel=7 module_blacklist=bcm2835_wdt systemd.watchdog_sec=0\"\n";
/// What U-Boot reads on the card, and what qemu is given.
const U_BOOT: &str = "u-boot.bin";
const DEVICE_TREE: &str = "bcm2837-rpi-3-b.dtb";

pub fn run(context: &mut Context<'_>) -> Result<()> {
    let folder = context.folder.join("rpi3");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let begun = Instant::now();
    let file = folder.join("card.img");
    // qemu takes cards of 2^n bytes only.
    let card = match &context.options.rpi3_image {
        Some(image) => Card::copy_of(image, &file, CARD_BYTES)?,
        None => {
            let mut image = command::this_program();
            image.args(["image", "--board", "rpi3", "--gateway", "boot-test-rpi3", "--out"]).arg(&file);
            command::run(&mut image)?;
            Card::grown(&file, CARD_BYTES)?
        }
    };
    context.transcript.passed("card made", begun.elapsed(), "");
    card.write(ARGUMENTS, WITHOUT_WATCHDOG)?;
    card.take(U_BOOT, &folder.join(U_BOOT))?;
    card.take(DEVICE_TREE, &folder.join(DEVICE_TREE))?;
    let begun = Instant::now();
    let mut qemu = Process::start("qemu", qemu(&card.file, &folder), &folder)?;
    let mut reached = 0;
    while begun.elapsed() < LIMIT && reached < STEPS.len() && qemu.check().is_ok() {
        interrupted()?;
        let said = said(&folder);
        while let Some((step, _)) = STEPS.get(reached).filter(|_| progress(&said) > reached) {
            context.transcript.noted(step, Some(begun.elapsed()), "");
            reached += 1;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    if reached < STEPS.len() {
        let last = said(&folder).lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing").trim().to_owned();
        let restarts = said(&folder).matches(STEPS[0].1[0]).count().saturating_sub(1);
        let detail = format!(
            "not reached within {} s, with {restarts} restarts meanwhile; the console's last line: {last}",
            begun.elapsed().as_secs()
        );
        context.transcript.noted(STEPS[reached].0, None, &detail);
    }
    Ok(())
}

fn qemu(card: &Path, folder: &Path) -> Command {
    let mut qemu = Command::new("qemu-system-aarch64");
    qemu.args(["-nodefaults", "-display", "none", "-M", "raspi3b", "-accel", "tcg,thread=multi"]);
    qemu.arg("-kernel").arg(folder.join(U_BOOT)).arg("-dtb").arg(folder.join(DEVICE_TREE));
    qemu.args(["-drive", &format!("if=sd,format=raw,file={}", card.display())]);
    qemu.args(["-netdev", "user,id=net", "-device", "usb-net,netdev=net"]);
    for console in consoles() {
        let file = folder.join(console);
        qemu.args(["-chardev", &format!("file,id={console},path={}", file.display()), "-serial", &format!("chardev:{console}")]);
    }
    qemu
}

/// The PL011 and the small UART: which one is the console depends on the device tree.
fn consoles() -> [&'static str; 2] {
    ["console-pl011", "console-mini-uart"]
}

fn said(folder: &Path) -> String {
    consoles()
        .map(|console| fs::read(folder.join(console)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
        .concat()
}

/// How many steps were reached: a later one proves those before it.
fn progress(said: &str) -> usize {
    STEPS.iter().rposition(|(_, shows)| shows.iter().any(|show| said.contains(show))).map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_step_proves_those_before_it() {
        assert_eq!(progress(""), 0);
        assert_eq!(progress("U-Boot 2025.01+dfsg"), 1);
        assert_eq!(progress("U-Boot 2025.01\nEFI stub: Booting Linux Kernel..."), 3);
        assert_eq!(progress("millrace: starting slot A"), 2, "that is said by GRUB, and not by the slot");
        assert_eq!(progress("millrace: gateway healthy"), STEPS.len());
    }
}
