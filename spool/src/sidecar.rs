//! The small files beside a generation's database.
//!
//! - `mark-a`, `mark-b`: how far it has come and what is acknowledged, written with each commit in turn, not synced. After a power cut they
//!   may be behind, which says nothing, but never ahead of what is durable. If they are ahead of what the database knows, entries are lost.
//! - `mark`: the same, durable, written now and then.
//! - `seal`: what it holds, durable, written when nothing is appended to it any more; so it need not be opened to be known.
//! - `touched`: it is there when entries may have been sent.
//! - `clean`: a checksum over the database, written when that was closed, not synced, and emptied, durably, before it is opened. If it is
//!   there and wrong the database was changed by something else; after a power cut it may be missing, which says nothing.

use crate::{
    LANES, SpoolError,
    disk::Disk,
    layout::{self, Meta, Progress},
};

const MARKS: [&str; 2] = ["mark-a", "mark-b"];
const DURABLE_MARK: &str = "mark";
const SEAL: &str = "seal";
const TOUCHED: &str = "touched";
const CLEAN: &str = "clean";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    pub(crate) generation: u64,
    /// Of several marks the one with the higher counter stands.
    pub(crate) counter: u64,
    pub(crate) progress: Progress,
    pub(crate) acked: [u64; LANES],
    pub(crate) acked_units: [u64; LANES],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) meta: Meta,
    pub(crate) progress: Progress,
}

/// All that is told beside a database.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    pub(crate) mark: Option<Mark>,
    pub(crate) seal: Option<Seal>,
    pub(crate) touched: bool,
}

impl Told {
    pub(crate) fn read(disk: &dyn Disk, name: &str) -> Self {
        let read = |file| disk.read_file(name, file).ok().flatten();
        let mark = MARKS.iter().chain([&DURABLE_MARK]).filter_map(|file| Mark::decode(&read(file)?)).max_by_key(|mark| mark.counter);
        Self { mark, seal: read(SEAL).and_then(|bytes| Seal::decode(&bytes)), touched: read(TOUCHED).is_some() }
    }
}

impl Mark {
    pub(crate) fn write(&self, disk: &dyn Disk, name: &str, sync: bool) -> Result<(), SpoolError> {
        let mut out = Vec::new();
        layout::put(&mut out, &[self.generation, self.counter, self.progress.commit]);
        out.extend_from_slice(&self.progress.body());
        layout::put(&mut out, &self.acked);
        layout::put(&mut out, &self.acked_units);
        let file = if sync { DURABLE_MARK } else { MARKS[(self.counter % 2) as usize] };
        disk.write_file(name, file, &checked(b"mark", &out), sync)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = unchecked(b"mark", bytes)?;
        let (generation, counter, commit) = (layout::take(&mut rest)?, layout::take(&mut rest)?, layout::take(&mut rest)?);
        let progress = Progress::from_body(commit, rest)?;
        let mut rest = rest.get(progress.body().len()..)?;
        let (acked, acked_units) = (layout::take_lanes(&mut rest)?, layout::take_lanes(&mut rest)?);
        Some(Self { generation, counter, progress, acked, acked_units })
    }
}

impl Seal {
    pub(crate) fn write(&self, disk: &dyn Disk, name: &str) -> Result<(), SpoolError> {
        let mut out = Vec::new();
        layout::put(&mut out, &[self.meta.id, self.progress.commit]);
        out.extend_from_slice(&self.progress.body());
        out.extend_from_slice(&self.meta.body());
        disk.write_file(name, SEAL, &checked(b"seal", &out), true)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = unchecked(b"seal", bytes)?;
        let (id, commit) = (layout::take(&mut rest)?, layout::take(&mut rest)?);
        let progress = Progress::from_body(commit, rest)?;
        let meta = Meta::from_body(id, rest.get(progress.body().len()..)?)?;
        Some(Self { meta, progress })
    }
}

pub(crate) fn touch(disk: &dyn Disk, name: &str) -> Result<(), SpoolError> {
    disk.write_file(name, TOUCHED, b"entries of this generation may have been sent\n", true)
}

/// Whether a folder's database is as it was when it was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    Clean,
    /// Whoever had it open did not come to close it.
    Unclean,
    /// It was closed, and is not what it was.
    Changed,
}

pub(crate) fn how_closed(disk: &dyn Disk, name: &str) -> Closed {
    let said = disk.read_file(name, CLEAN).ok().flatten().and_then(|bytes| Some(unchecked(b"clea", &bytes)?.to_vec()));
    match (said, disk.digest(name)) {
        (Some(said), Ok(found)) if said == found.to_le_bytes() => Closed::Clean,
        (Some(_), _) => Closed::Changed,
        (None, _) => Closed::Unclean,
    }
}

pub(crate) fn note_closed(disk: &dyn Disk, name: &str) -> Result<(), SpoolError> {
    let digest = disk.digest(name)?;
    disk.write_file(name, CLEAN, &checked(b"clea", &digest.to_le_bytes()), false)
}

pub(crate) fn note_open(disk: &dyn Disk, name: &str, closed: Closed) -> Result<(), SpoolError> {
    disk.write_file(name, CLEAN, b"", closed == Closed::Clean)
}

fn checked(magic: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = [magic, body].concat();
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn unchecked<'a>(magic: &[u8; 4], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (checked, checksum) = bytes.split_last_chunk::<4>()?;
    (crc32c::crc32c(checked) == u32::from_le_bytes(*checksum)).then_some(())?;
    checked.strip_prefix(magic)
}
