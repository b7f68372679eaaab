//! The checkpoint in parts: all that the pipeline remembers, as bytes that are made durable together with the records before it.
//!
//! ```text
//! part 0       head: when and by whom it was written, the ledger's losses not yet told, the books
//! part 1       directory: the asset of each part
//! part 2       what overflow took; `overflow` writes it, the pipeline only reads it
//! part 16 + n  asset n: its machine, its signals with their windows and detectors, its senders
//! ```
//! Each part is `MRG`, a letter for its kind, a version byte, then postcard. Life cycle: a commit writes the head and the parts of the assets that
//! made a record or booked a loss since the last one, so that state and records agree; a *full* commit writes those of all assets that
//! changed. They are read once, at the start. A part is found whole or not at all (the spool checks it); one that can't be read costs what was
//! open in its asset, and is told.

use std::{borrow::Cow, collections::BTreeMap};

use protocol::{AssetPath, Loss, SignalName, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Pipeline, registry::Tally};
use crate::{budget, detect::State, ledger::Ledger, machine::Machine, sequence::Tracker, window::Series};

/// The part with the head.
pub const HEAD: u32 = 0;
/// The part that names the assets.
pub(super) const DIRECTORY: u32 = 1;
/// The part that tells what overflow took.
pub const OVERFLOW: u32 = 2;
/// The part of the first asset.
pub(super) const ASSETS: u32 = 16;

const MAGIC: &[u8; 3] = b"MRG";
const VERSION: u8 = 2;

/// See the module.
#[derive(Serialize, Deserialize)]
pub(super) struct Head<'a> {
    pub(super) committed_at: Timestamp,
    /// The last commit that held all that had changed.
    pub(super) full_at: Timestamp,
    pub(super) boot_id: u64,
    pub(super) clean: bool,
    /// Nothing had come in for a while.
    pub(super) idle: bool,
    /// How long after `full_at` the next such commit was to be, at most, if something came in.
    pub(super) interval_us: i64,
    pub(super) ledger: Cow<'a, Ledger>,
    pub(super) lost_after: u64,
    pub(super) lost_before: u64,
    /// Of assets whose parts were lost.
    pub(super) departed: Tally,
    /// Sums over the parts as they are with this head.
    pub(super) tally: Tally,
    pub(super) open: u64,
    /// What waits in memory because the disk is full: lost if this is the last that is heard of it.
    pub(super) unsaved: Cow<'a, [Loss]>,
    pub(super) budget: budget::Account,
}

#[derive(Serialize, Deserialize)]
pub(super) struct AssetPart<'a> {
    pub(super) path: Cow<'a, AssetPath>,
    pub(super) as_of: Timestamp,
    pub(super) length_us: i64,
    pub(super) machine: Cow<'a, Machine>,
    pub(super) tally: Tally,
    pub(super) signals: Vec<SignalPart<'a>>,
    pub(super) senders: Vec<SenderPart<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SignalPart<'a> {
    pub(super) name: Cow<'a, SignalName>,
    pub(super) unit: Cow<'a, str>,
    pub(super) series: Cow<'a, Series>,
    /// By the detector's fingerprint.
    pub(super) detectors: Vec<(u64, Cow<'a, State>)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SenderPart<'a> {
    pub(super) origin: Cow<'a, str>,
    /// Its gaps name signals by their place in this part.
    pub(super) tracker: Cow<'a, Tracker>,
    pub(super) last_at: Option<Timestamp>,
    pub(super) missing_before: Option<Timestamp>,
}

/// The asset of each part.
pub(super) type Directory<'a> = BTreeMap<u32, Cow<'a, AssetPath>>;

/// What overflow took since the gateway was set up, in readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relieved {
    pub lost: u64,
}

/// Why a part can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("it is no part of a checkpoint")]
    Magic,
    #[error("its version is {0}, this program reads {VERSION}")]
    Version(u8),
    #[error("it can't be decoded: {0}")]
    Postcard(#[from] postcard::Error),
    #[error("its contents don't fit together")]
    Unsound,
}

/// A kind of part.
pub(super) trait Kind {
    const LETTER: u8;
}

impl Kind for Head<'_> {
    const LETTER: u8 = b'H';
}

impl Kind for AssetPart<'_> {
    const LETTER: u8 = b'A';
}

impl Kind for Directory<'_> {
    const LETTER: u8 = b'D';
}

impl Kind for Relieved {
    const LETTER: u8 = b'O';
}

pub(super) fn write<T: Kind + Serialize>(part: &T, room: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(room + 8);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[T::LETTER, VERSION]);
    // Encoding plain data into a growing vector has no way to fail; if it did, the next start would say so.
    postcard::to_extend(part, bytes).unwrap_or_default()
}

pub(super) fn read<T: Kind + DeserializeOwned>(bytes: &[u8]) -> Result<T, RestoreError> {
    let body = bytes.strip_prefix(MAGIC).ok_or(RestoreError::Magic)?;
    match body {
        [letter, VERSION, body @ ..] if *letter == T::LETTER => Ok(postcard::from_bytes(body)?),
        [letter, version, ..] if *letter == T::LETTER => Err(RestoreError::Version(*version)),
        _ => Err(RestoreError::Magic),
    }
}

impl Relieved {
    /// The bytes of part [`OVERFLOW`].
    pub fn write(self) -> Vec<u8> {
        write(&self, 16)
    }

    /// What the part says; nothing if there is none.
    pub fn read(parts: &[(u32, Vec<u8>)]) -> Self {
        parts.iter().find(|(id, _)| *id == OVERFLOW).and_then(|(_, bytes)| read(bytes).ok()).unwrap_or_default()
    }
}

/// When the last commit was made, by the clock of then: a floor for what time it is now.
pub fn committed_at(parts: &[(u32, Vec<u8>)]) -> Option<Timestamp> {
    let (_, bytes) = parts.iter().find(|(id, _)| *id == HEAD)?;
    read::<Head<'_>>(bytes).ok().map(|head| head.committed_at)
}

impl Pipeline {
    /// The part of an asset as it is now.
    pub(super) fn asset_part(&self, asset: u32, as_of: Timestamp) -> Vec<u8> {
        let entry = &self.registry.assets[asset as usize];
        let signal = |id: &u32| {
            let signal = &self.registry.signals[*id as usize];
            let detectors = signal.detectors.iter();
            SignalPart {
                name: Cow::Borrowed(&signal.name),
                unit: Cow::Borrowed(&signal.unit),
                series: Cow::Borrowed(&signal.series),
                detectors: detectors.filter_map(|(i, state)| Some((*self.fingerprints.get(*i as usize)?, Cow::Borrowed(state)))).collect(),
            }
        };
        let place = |id: u32| entry.signals.iter().position(|known| *known == id).and_then(|at| u32::try_from(at).ok());
        let sender = |id: &u32| {
            let sender = &self.registry.senders[*id as usize];
            let tracker = match sender.tracker.held() {
                0 => Cow::Borrowed(&sender.tracker),
                _ => Cow::Owned(sender.tracker.renumbered(place).unwrap_or_default()),
            };
            SenderPart { origin: Cow::Borrowed(&sender.origin), tracker, last_at: sender.last_at, missing_before: sender.missing_before }
        };
        let part = AssetPart {
            path: Cow::Borrowed(&entry.path),
            as_of,
            length_us: self.lengths.length_us,
            machine: Cow::Borrowed(&entry.machine),
            tally: entry.tally,
            signals: entry.signals.iter().map(signal).collect(),
            senders: entry.senders.iter().map(sender).collect(),
        };
        write(&part, 128 + 192 * entry.signals.len())
    }

    /// The part that names the assets.
    pub(super) fn directory_part(&self) -> Vec<u8> {
        let directory: Directory<'_> = (ASSETS..).zip(&self.registry.assets).map(|(id, asset)| (id, Cow::Borrowed(&asset.path))).collect();
        write(&directory, 48 * directory.len())
    }
}
