//! What one spool entry holds: where and when it was made, and a block of records.
//!
//! Stands between `commit` (which encodes) and `upload` (which decodes). Layout:
//! ```text
//! length     1 byte: of the stamp
//! stamp      postcard of `protocol::EntryStamp`; what a later program adds at its end is passed over
//! block      the protocol's block, with its own version and checksum
//! ```
//! Invariant: all records of an entry belong to one lane; an entry is stored, refused or lost as a whole.

use protocol::{
    DATA, EntryStamp, Limits, Record, URGENT,
    codec::{DecodeError, EncodeError, decode_block, encode_block},
};

/// Why the payload of an entry can't be used.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error("it ends within its stamp")]
    Truncated,
    #[error("its stamp can't be decoded")]
    Stamp(#[source] postcard::Error),
    #[error("its block can't be decoded")]
    Block(#[source] DecodeError),
}

/// The payload of an entry with these records.
///
/// # Errors
/// [`EncodeError`]: the records don't fit into one block; fewer may.
pub fn encode(stamp: &EntryStamp, records: &[Record]) -> Result<Vec<u8>, EncodeError> {
    let block = encode_block(records)?;
    let stamp = postcard::to_allocvec(stamp).map_err(EncodeError::Envelope)?;
    let length = u8::try_from(stamp.len()).map_err(|_| EncodeError::Envelope(postcard::Error::SerializeBufferFull))?;
    let mut payload = Vec::with_capacity(1 + stamp.len() + block.len());
    payload.push(length);
    payload.extend_from_slice(&stamp);
    payload.extend_from_slice(&block);
    Ok(payload)
}

/// Stamp and records of an entry.
///
/// # Errors
/// [`EntryError`]: it is not what [`encode`] made.
pub fn decode(payload: &[u8]) -> Result<(EntryStamp, Vec<Record>), EntryError> {
    let (stamp, block) = decode_stamp(payload)?;
    Ok((stamp, decode_block(block, &Limits::default()).map_err(EntryError::Block)?))
}

/// Stamp of an entry, and the bytes of its block.
///
/// # Errors
/// [`EntryError`], though never [`EntryError::Block`].
pub fn decode_stamp(payload: &[u8]) -> Result<(EntryStamp, &[u8]), EntryError> {
    let (length, rest) = payload.split_first().ok_or(EntryError::Truncated)?;
    let (stamp, block) = rest.split_at_checked(usize::from(*length)).ok_or(EntryError::Truncated)?;
    let (stamp, _) = postcard::take_from_bytes(stamp).map_err(EntryError::Stamp)?;
    Ok((stamp, block))
}

/// The lane that a record belongs to.
pub fn lane(record: &Record) -> usize {
    match record {
        Record::Anomaly(_) | Record::State(_) | Record::Loss(_) => URGENT,
        Record::Window(_) | Record::Parts(_) => DATA,
    }
}

/// Readings in the summaries among `records`: what an entry counts for in the books.
pub fn readings(records: &[Record]) -> u64 {
    records.iter().fold(0, |sum, record| if let Record::Window(window) = record { sum.saturating_add(window.count) } else { sum })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::{AssetPath, Loss, LossReason, PartCount, TimeQuality, Timestamp};

    use super::*;

    fn stamp() -> EntryStamp {
        EntryStamp {
            boot_id: u64::MAX,
            mono_us: u64::MAX,
            wall: Timestamp::from_micros(i64::MIN),
            time_quality: TimeQuality::Unsynced,
            inherited: true,
        }
    }

    fn records() -> Vec<Record> {
        let (from, to) = (Timestamp::from_micros(5), Timestamp::from_micros(9));
        let parts = PartCount {
            asset: AssetPath::new("p/a/l/m").unwrap(),
            from,
            to,
            produced: 3,
            rejected: 1,
            reworked: 0,
            time_quality: TimeQuality::Synced,
        };
        let loss = Loss { asset: None, signal: None, reason: LossReason::PowerCut, count: 0, from, to, detail: "x".into() };
        vec![Record::Parts(parts), Record::Loss(loss)]
    }

    #[test]
    fn what_is_decoded_is_what_was_encoded_also_at_the_ends_of_numbers() {
        let payload = encode(&stamp(), &records()).unwrap();
        assert_eq!(decode(&payload).unwrap(), (stamp(), records()));
        assert_eq!(decode_stamp(&payload).unwrap().0, stamp());
        assert_eq!(decode(&encode(&stamp(), &[]).unwrap()).unwrap(), (stamp(), Vec::new()));
    }

    #[test]
    fn a_stamp_that_a_later_program_made_longer_is_read_all_the_same() {
        let mut payload = encode(&stamp(), &records()).unwrap();
        let length = usize::from(payload[0]);
        payload[0] += 2;
        payload.splice(1 + length..1 + length, [7, 7]);
        assert_eq!(decode(&payload).unwrap(), (stamp(), records()));
    }

    #[test]
    fn a_cut_payload_is_refused_at_every_length() {
        let payload = encode(&stamp(), &records()).unwrap();
        for length in 0..payload.len() {
            assert!(decode(&payload[..length]).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
