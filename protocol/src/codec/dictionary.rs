//! Distinct texts of a frame in order of their first appearance; rows refer to them by index.
//!
//! Each entry shares a prefix with the one before it (asset paths and signal names of one gateway mostly do): a varint of how many bytes,
//! then the rest as a byte string.

use std::collections::HashMap;

use crate::codec::{
    DecodeError,
    limits::{ENTRY_WEIGHT, Exceeded, Tally},
    wire::{self, Cursor},
};

/// Gathers texts and gives each its index.
#[derive(Debug, Default)]
pub(crate) struct Builder<'a> {
    entries: Vec<&'a str>,
    indices: HashMap<&'a str, u64>,
}

impl<'a> Builder<'a> {
    pub(crate) fn index(&mut self, text: &'a str) -> u64 {
        let next = self.entries.len() as u64;
        *self.indices.entry(text).or_insert_with(|| {
            self.entries.push(text);
            next
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>, tally: &mut Tally) -> Result<(), Exceeded> {
        wire::put_varint(out, self.entries.len() as u64);
        let mut previous = "";
        for &entry in &self.entries {
            tally.charge(1, ENTRY_WEIGHT + entry.len() as u64)?;
            let shared = shared_prefix(previous, entry);
            wire::put_varint(out, shared as u64);
            wire::put_bytes(out, &entry.as_bytes()[shared..]);
            previous = entry;
        }
        Ok(())
    }
}

/// Reads what [`Builder::write`] wrote; `make` checks each text and gives it its type.
pub(crate) fn read<T>(
    cursor: &mut Cursor<'_>,
    tally: &mut Tally,
    what: &'static str,
    make: impl Fn(&str) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = cursor.length(what)?;
    tally.charge(count as u64, ENTRY_WEIGHT)?;
    // Each entry takes two bytes at least, so this also bounds the allocation by what was sent.
    if count > cursor.remaining() / 2 {
        return Err(DecodeError::Truncated { what });
    }
    let mut entries = Vec::with_capacity(count);
    let mut text = Vec::new();
    for _ in 0..count {
        let shared = cursor.length(what)?;
        if shared > text.len() {
            return Err(DecodeError::Malformed { what });
        }
        let rest = cursor.bytes(what)?;
        tally.charge(1, (shared + rest.len()) as u64)?;
        text.truncate(shared);
        text.extend_from_slice(rest);
        entries.push(make(std::str::from_utf8(&text).map_err(|_| DecodeError::Malformed { what })?)?);
    }
    Ok(entries)
}

fn shared_prefix(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(texts: &[&str]) -> Vec<String> {
        let mut builder = Builder::default();
        for text in texts {
            builder.index(text);
        }
        let mut out = Vec::new();
        builder.write(&mut out, &mut Tally::up_to(1 << 20)).unwrap();
        let mut cursor = Cursor::new(&out);
        let entries = read(&mut cursor, &mut Tally::up_to(1 << 20), "texts", |t| Ok(t.to_owned())).unwrap();
        cursor.finish().unwrap();
        entries
    }

    #[test]
    fn texts_come_back_once_each_in_order_also_when_a_prefix_splits_a_character() {
        assert_eq!(round_trip(&["", "é", "è", "plant/a", "plant/b", "é", "plant"]), ["", "é", "è", "plant/a", "plant/b", "plant"]);
    }

    #[test]
    fn a_chain_of_shared_prefixes_that_unfolds_beyond_the_cap_is_refused() {
        let mut out = Vec::new();
        wire::put_varint(&mut out, 1001);
        wire::put_varint(&mut out, 0);
        wire::put_bytes(&mut out, &[b'x'; 10_000]);
        for _ in 0..1000 {
            wire::put_varint(&mut out, 10_000);
            wire::put_bytes(&mut out, b"");
        }
        let error = read(&mut Cursor::new(&out), &mut Tally::up_to(100_000), "texts", |t| Ok(t.to_owned())).unwrap_err();
        assert!(matches!(error, DecodeError::DecodedTooLarge { .. }), "{error}");
    }
}
