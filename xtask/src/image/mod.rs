//! `cargo xtask image`: the image of a card, from nothing to the file that is flashed. Stands on `cargo xtask cross` (the gateway's program), on
//! Debian's packages, and on what is in `deploy/image`.
//!
//! ```text
//! options, checked -> tools -> gateway -> base (mmdebstrap, kept) -> slot (squashfs) -> card (FAT) -> disk -> manifest, bundle
//! ```
//! The same input gives the same bytes: all times are that of the newest commit, and names, orders and ids are fixed.

mod base;
mod boards;
pub mod boot_test;
mod bundle;
mod card;
mod cards;
mod digest;
mod disk;
mod keys;
mod manifest;
mod mirror;
mod provision;
mod slot;
mod tools;
mod work;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};

pub use self::boards::Board;
use self::{base::Base, provision::Provision, slot::Slot, work::Work};
use crate::{
    command,
    cross::{self, target::Target},
};

#[derive(clap::Args, Clone)]
#[command(after_help = "\
Examples:
  cargo xtask image --board rpi4 --gateway press-gw1 --token mrt1.… --out millrace.img
  cargo xtask image --board rpi3 --gateway press-gw1 --token mrt1.… --wifi 'hall:secret words' --wifi-country DE --ssh-key ~/.ssh/id_ed25519.pub
  cargo xtask image --board rpi4 --csv cards.csv --out-dir cards      an image for each line; columns as the options: gateway,token,static_ip,…
  cargo xtask image --board rpi4 --csv cards.csv --out-dir cards --conf-only      only a provision.conf for each, for cards that are flashed alike
  cargo xtask image --test --only boot,cuts      boots an image in an emulator and cuts its power ten times
  cargo xtask image --board rpi4 --update-key ~/millrace-key --bundle update.raucb      an update for cards that are out there

The first image takes minutes (Debian's packages are set up in emulation), the next ones seconds. docs/flash.md: how to flash, provision, update.")]
pub struct Options {
    /// What it is for
    #[arg(long, required_unless_present = "test")]
    board: Option<Board>,
    #[command(flatten)]
    provision: Provision,
    /// One card for each line of this file; what a line leaves empty is as on the command line
    #[arg(long, value_name = "FILE", requires = "out_dir")]
    csv: Option<PathBuf>,
    /// Folder for the cards of --csv
    #[arg(long, value_name = "DIR", requires = "csv")]
    out_dir: Option<PathBuf>,
    /// With --csv: write only DIR/GATEWAY/provision.conf, and no images
    #[arg(long, requires = "csv")]
    conf_only: bool,
    /// Folder of the key that signs updates; made there if there is none. Cards take only updates signed by it
    #[arg(long, value_name = "DIR")]
    update_key: Option<PathBuf>,
    /// Write an update for cards that are out there as well
    #[arg(long, value_name = "FILE.raucb")]
    bundle: Option<PathBuf>,
    /// The image [default: millrace.img, unless only --bundle or --csv is asked for]
    #[arg(long, value_name = "FILE", conflicts_with = "csv")]
    out: Option<PathBuf>,
    /// What the slot calls itself [default: the gateway's version and the commit]
    #[arg(long, value_name = "TEXT")]
    slot_version: Option<String>,
    /// Debian mirror [default: that of this machine's apt]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Make the base system anew, with the newest packages
    #[arg(long)]
    refresh: bool,
    /// Boot the generic-arm64 image in an emulator, cut its power, update it, and hold it to account (docs/boot-test.md)
    #[arg(long, conflicts_with_all = ["board", "csv", "out", "bundle"])]
    test: bool,
    #[command(flatten)]
    boot_test: boot_test::Options,
}

/// What all images of one run share.
struct Parts {
    board: Board,
    base: Base,
    slot: Slot,
    data: PathBuf,
    version: String,
}

/// Builds what was asked for.
///
/// # Errors
/// Wrong options before anything is begun; then what a step says.
pub fn run(options: &Options) -> Result<bool> {
    let Some(board) = options.board.filter(|_| !options.test) else {
        return boot_test::run(&boot_test::Options { update_key: options.update_key.clone(), ..options.boot_test.clone() });
    };
    let started = Instant::now();
    let cards = cards(options)?;
    if options.conf_only {
        return conf_only(options, &cards).map(|()| true);
    }
    let outs = outs(options, &cards)?;
    tools::ready(options.bundle.is_some())?;
    let work = Work::open()?;
    space(options, &outs, &work)?;
    let result = build(options, board, &cards, &outs, &work);
    result.map_err(|error| {
        let here = work.kept("");
        let folders: Vec<&Path> = [here.as_path()].into_iter().chain(outs.iter().chain(&options.bundle).map(PathBuf::as_path)).collect();
        work::explained(error, &folders)
    })?;
    eprintln!("done in {} s", started.elapsed().as_secs());
    Ok(true)
}

fn build(options: &Options, board: Board, cards: &[Provision], outs: &[PathBuf], work: &Work) -> Result<()> {
    let mirror = mirror::of_this_machine(options.mirror.as_deref())?;
    let key = keys::open(options.update_key.as_deref(), work)?;
    let gateway = gateway()?;

    let base = base::make(board, &mirror, work, options.refresh)?;
    let version = version(options)?;
    let slot = slot::make(&slot::Parts { board, base: &base, gateway: &gateway, key: &key, version: &version }, work)?;
    let parts = Parts { board, base, slot, data: disk::data(work)?, version };
    images(cards, outs, &parts, work)?;
    match &options.bundle {
        Some(out) => bundle::make(board, &parts.version, &parts.slot, &key, work, out),
        None => Ok(()),
    }
}

/// One for each image; one of the command line's options without a CSV file.
fn cards(options: &Options) -> Result<Vec<Provision>> {
    let Some(path) = &options.csv else {
        return match options.provision.clone().resolved() {
            Ok(card) => Ok(vec![card]),
            Err(problems) => {
                let list: Vec<String> = problems.iter().map(|problem| format!("--{problem}")).collect();
                bail!("{}", list.join("\n"))
            }
        };
    };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    cards::read(path, &text, &options.provision)
}

fn conf_only(options: &Options, cards: &[Provision]) -> Result<()> {
    let folder = options.out_dir.as_deref().unwrap_or_else(|| Path::new("."));
    for card in cards {
        let own = folder.join(card.gateway.as_deref().unwrap_or_default());
        fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
        let path = own.join("provision.conf");
        fs::write(&path, card::conf(card)?).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Where the images go.
fn outs(options: &Options, cards: &[Provision]) -> Result<Vec<PathBuf>> {
    let outs = match (&options.out_dir, &options.out) {
        (Some(folder), _) => cards.iter().map(|card| folder.join(format!("{}.img", card.gateway.as_deref().unwrap_or("card")))).collect(),
        (None, Some(out)) => vec![out.clone()],
        (None, None) if options.bundle.is_some() => vec![],
        (None, None) => vec![PathBuf::from("millrace.img")],
    };
    for out in outs.iter().chain(&options.bundle) {
        if out.is_dir() {
            bail!("{} is a folder; name the file", out.display());
        }
        if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
    }
    Ok(outs)
}

/// Before minutes of work: is there room for the result?
fn space(options: &Options, outs: &[PathBuf], work: &Work) -> Result<()> {
    // A tree of 700 MiB, a slot, a data and a FAT partition.
    work::needs_space(&work.kept("x"), 2 << 30, "building")?;
    // Images are sparse: the slot and the FAT partition are what takes room.
    let each = 512 << 20;
    let here = outs.len() as u64 + u64::from(options.bundle.is_some());
    match outs.first().or(options.bundle.as_ref()) {
        Some(first) => work::needs_space(first, here * each, &format!("writing {here} file(s)")),
        None => Ok(()),
    }
}

/// The gateway's program for arm64: MILLRACE_GATEWAY_BINARY, or what `cargo xtask cross` makes.
fn gateway() -> Result<PathBuf> {
    let Some(path) = std::env::var_os("MILLRACE_GATEWAY_BINARY").map(PathBuf::from) else {
        return cross::gateway(Target::Aarch64);
    };
    let head = fs::read(&path).with_context(|| format!("MILLRACE_GATEWAY_BINARY: cannot read {}", path.display()))?;
    if !is_arm64(&head) {
        bail!("MILLRACE_GATEWAY_BINARY: {} is no program for arm64", path.display());
    }
    Ok(path)
}

/// ELF, 64 bits, machine 183; or a script.
fn is_arm64(head: &[u8]) -> bool {
    head.starts_with(b"#!") || (head.starts_with(b"\x7fELF\x02\x01") && head.get(18..20) == Some(&[183, 0]))
}

fn version(options: &Options) -> Result<String> {
    if let Some(version) = &options.slot_version {
        return Ok(version.clone());
    }
    let commit =
        command::output(Command::new("git").args(["describe", "--always", "--dirty=-changed", "--abbrev=9"]).current_dir(command::root()));
    let commit = commit.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned());
    Ok(format!("{}-{commit}", env!("CARGO_PKG_VERSION")))
}

fn images(cards: &[Provision], outs: &[PathBuf], parts: &Parts, work: &Work) -> Result<()> {
    let mut first: Option<&Path> = None;
    for (card, out) in cards.iter().zip(outs) {
        let folder = card::files(parts.board, &parts.base, &parts.slot, card, work)?;
        let fat = disk::fat(&folder, "fat.img", work)?;
        match first {
            None => disk::assemble(parts.board, &fat, &parts.slot.image, &parts.data, out)?,
            Some(first) => disk::with_other_fat(first, &fat, out)?,
        }
        first.get_or_insert(out);
        let contents = manifest::Contents {
            board: parts.board,
            version: &parts.version,
            epoch: work.epoch,
            base: &parts.base,
            slot: &parts.slot,
            parts: vec![("image", out), ("fat", &fat), ("slot", &parts.slot.image), ("data", &parts.data)],
        };
        let mut beside = out.clone().into_os_string();
        beside.push(".manifest");
        fs::write(&beside, manifest::text(&contents)?)?;
        println!("{}", out.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_for_another_machine_is_refused() {
        let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0".to_vec();
        assert!(is_arm64(&elf));
        elf[18] = 62;
        assert!(!is_arm64(&elf));
        assert!(!is_arm64(b""));
    }
}
