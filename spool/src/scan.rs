//! Looking for values in the raw bytes of a database's files, wherever they lie, without opening it.

use crate::{
    LANES, SpoolError,
    disk::Disk,
    layout::{HEAD_BYTES, Head, Kind, MAGIC, Meta, NoHead, PIECE_BYTES, Progress},
};

/// Finds values in raw bytes that come in pieces.
#[derive(Debug, Default)]
struct Scanner {
    buffer: Vec<u8>,
}

impl Scanner {
    fn push(&mut self, piece: &[u8], each: &mut dyn FnMut(Head, &[u8])) {
        self.buffer.extend_from_slice(piece);
        self.run(false, each);
    }

    fn finish(mut self, each: &mut dyn FnMut(Head, &[u8])) {
        self.run(true, each);
    }

    fn run(&mut self, to_the_end: bool, each: &mut dyn FnMut(Head, &[u8])) {
        let mut at = 0;
        loop {
            let Some(found) = self.buffer[at..].iter().position(|byte| *byte == MAGIC[0]) else {
                at = self.buffer.len();
                break;
            };
            at += found;
            let rest = &self.buffer[at..];
            match Head::parse(&rest[..rest.len().min(HEAD_BYTES + PIECE_BYTES)]) {
                Ok((head, bytes)) => {
                    each(head, bytes);
                    at += HEAD_BYTES + bytes.len();
                }
                Err(NoHead::Short) if !to_the_end && MAGIC.starts_with(&rest[..rest.len().min(MAGIC.len())]) => break,
                Err(_) => at += 1,
            }
        }
        self.buffer.drain(..at);
    }
}

pub(crate) fn scan_raw(disk: &dyn Disk, name: &str, each: &mut dyn FnMut(Head, &[u8])) -> Result<(), SpoolError> {
    let mut scanner = Scanner::default();
    disk.raw(name, &mut |piece| scanner.push(piece, each))?;
    scanner.finish(each);
    Ok(())
}

/// What the raw bytes tell at first sight.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    id: Option<u64>,
    pub(crate) meta: Option<Meta>,
    /// Of the last commit.
    pub(crate) newest: Option<Progress>,
    /// The newest commit of which a part of the checkpoint was found.
    pub(crate) checkpoint: u64,
    pub(crate) through: [u64; LANES],
    pub(crate) units: [u64; LANES],
}

impl Survey {
    /// The generation's id.
    pub(crate) fn id(&self) -> Option<u64> {
        self.meta.map(|meta| meta.id).or(self.id)
    }

    /// Something was written after it was made.
    pub(crate) fn was_used(&self) -> bool {
        self.through != [0; LANES] || self.checkpoint > 1 || self.newest.is_some_and(|progress| progress.commit > 1)
    }
}

pub(crate) fn survey(disk: &dyn Disk, name: &str) -> Result<Survey, SpoolError> {
    let mut survey = Survey::default();
    scan_raw(disk, name, &mut |head, bytes| {
        survey.id.get_or_insert(head.generation);
        match head.kind {
            Kind::Meta => survey.meta = Meta::from_body(head.generation, bytes).or(survey.meta),
            Kind::Commit if survey.newest.is_none_or(|newest| newest.commit < head.seq) => {
                survey.newest = Progress::from_body(head.seq, bytes).or(survey.newest);
            }
            Kind::Checkpoint => survey.checkpoint = survey.checkpoint.max(head.seq),
            Kind::Entry => {
                let lane = usize::from(head.lane);
                if head.seq > survey.through[lane] {
                    survey.through[lane] = head.seq;
                    survey.units[lane] = head.units_before.saturating_add(head.units);
                }
            }
            _ => {}
        }
    })?;
    Ok(survey)
}
