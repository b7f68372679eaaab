//! `cargo xtask image --test`: the image boots in an emulator, its gateway enrols at a collector here and takes in simulated sensors; its power is
//! cut, it is updated to something broken, it is provisioned wrongly, and the systems of the Pis are given their networks. Nothing that was acknowledged may be lost, and nothing may need a hand.
//!
//! Each part has its own card, collector and books, so each can be run alone. All stays in `target/image/boot-test/`, the transcript on top.

mod books;
mod boot;
mod card;
mod console;
mod cuts;
mod footprint;
mod guest;
mod network;
mod provision;
mod qmp;
mod rpi3;
mod schedule;
mod stage;
mod transcript;
mod update;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum as _;

use self::{stage::Context, transcript::Transcript};
use crate::{
    build::{self, Programs},
    command, setup,
};

/// What the test needs beside what an image does: (a file that shows the package is there, the package).
const NEEDED: &[(&str, &str)] = &[
    ("/usr/bin/qemu-system-aarch64", "qemu-system-arm"),
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "qemu-efi-aarch64"),
    ("/usr/bin/nbdkit", "nbdkit"),
    ("/usr/bin/mcopy", "mtools"),
    ("/usr/bin/ssh-keygen", "openssh-client"),
    ("/usr/bin/mosquitto_pub", "mosquitto-clients"),
];

#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Boot test (--test)")]
#[group(id = "boot_test")]
pub struct Options {
    /// Parts of the boot test to run; all of them without this
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,…", requires = "test")]
    pub only: Vec<Part>,
    /// How often the power is cut
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub cuts: u16,
    /// Decides when the power is cut, and what the sensors send
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// A generic-arm64 image that is there already, in place of one built for each part (but `network` and `rpi3`, which are for other boards)
    #[arg(long, value_name = "FILE", requires = "test")]
    pub image: Option<PathBuf>,
    /// An rpi3 image that is there already
    #[arg(long, value_name = "FILE", requires = "test")]
    pub rpi3_image: Option<PathBuf>,
    /// A folder with millrace-collector and millrace-sim that are built already, in place of building them
    #[arg(long, value_name = "FOLDER", requires = "test")]
    pub programs: Option<PathBuf>,
    /// Folder of the key that signs updates: the image's own option of that name
    #[arg(skip)]
    pub update_key: Option<PathBuf>,
}

/// A part of the boot test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// First boot: slot, data partition, health, enrolment, readings at the collector
    Boot,
    /// The power is cut at seeded moments; then the books must balance
    Cuts,
    /// A broken update returns by itself, a sound one stays
    Update,
    /// A refused token, and no network at the first start
    Provision,
    /// What the gateway takes with no, 100 and 10,000 signals, by the guest's own account
    Footprint,
    /// The systems of rpi4 and rpi5: a fixed address and a second network card, then Wi-Fi (by simulated radios) with what a person gets wrong of it
    Network,
    /// The rpi3 image on qemu's raspi3b, as far as it goes
    Rpi3,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Cuts => "cuts",
            Self::Update => "update",
            Self::Provision => "provision",
            Self::Footprint => "footprint",
            Self::Network => "network",
            Self::Rpi3 => "rpi3",
        }
    }

    fn play(self, context: &mut Context<'_>) -> Result<()> {
        match self {
            Self::Boot => boot::run(context),
            Self::Cuts => cuts::run(context),
            Self::Update => update::run(context),
            Self::Provision => provision::run(context),
            Self::Footprint => footprint::run(context),
            Self::Network => network::run(context),
            Self::Rpi3 => rpi3::run(context),
        }
    }
}

/// How often Ctrl-C was pressed.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);
/// A part is at work that ends in order at the first one.
static ENDS_IN_ORDER: AtomicBool = AtomicBool::new(false);

/// An error once Ctrl-C was pressed (a second time, where the first one is for an end in order): all that was started is then ended on the way up.
fn interrupted() -> Result<()> {
    if INTERRUPTS.load(Ordering::SeqCst) > u32::from(ENDS_IN_ORDER.load(Ordering::SeqCst)) {
        bail!("interrupted");
    }
    Ok(())
}

/// Ctrl-C was pressed: no more is to be begun.
fn is_asked_to_end() -> bool {
    INTERRUPTS.load(Ordering::SeqCst) > 0
}

/// Runs the boot test; true if all of it passed.
///
/// # Errors
/// When it can't be begun. A part that fails stands in the transcript, and the others are still run.
pub fn run(options: &Options) -> Result<bool> {
    setup::debian("the boot test", NEEDED)?;
    let programs = match &options.programs {
        Some(folder) => given(folder)?,
        None => build::all()?,
    };
    // A second handler in one process is refused, and the first one does.
    let _ = ctrlc::set_handler(|| {
        INTERRUPTS.fetch_add(1, Ordering::SeqCst);
    });
    let folder = command::target_dir().join("image/boot-test");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let transcript = Transcript::begin(&folder.join("transcript.txt"))?;
    let key = key(&folder)?;
    let mut context = Context { options, programs: &programs, folder, transcript, key };
    let qemu = command::output(Command::new("qemu-system-aarch64").arg("--version"))?;
    context.transcript.say(qemu.lines().next().unwrap_or_default());
    for part in Part::value_variants().iter().filter(|part| options.only.is_empty() || options.only.contains(part)) {
        context.transcript.part(part.name());
        if let Err(error) = part.play(&mut context) {
            context.transcript.failed("ended early", &format!("{error:#}"));
        }
        if is_asked_to_end() {
            break;
        }
    }
    context.transcript.end();
    eprintln!("transcript: {}", context.transcript.file.display());
    Ok(context.transcript.is_clean())
}

/// Programs that somebody has built.
fn given(folder: &Path) -> Result<Programs> {
    let folder = fs::canonicalize(folder).with_context(|| format!("--programs {}", folder.display()))?;
    for program in ["millrace-collector", "millrace-sim"] {
        if !folder.join(program).exists() {
            bail!("{} holds no {program}", folder.display());
        }
    }
    Ok(Programs::within(folder))
}

/// For people, with one digit behind the point.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A key of this test alone, made once.
fn key(folder: &Path) -> Result<PathBuf> {
    let key = folder.join("ssh-key");
    if !key.exists() {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "millrace-boot-test", "-f"]).arg(&key);
        command::output(&mut keygen)?;
    }
    Ok(key)
}
