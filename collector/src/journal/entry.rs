//! The layout of one journal entry: a batch as it came, and what the ledger decided about it.
//!
//! ```text
//! version u8 = 1 │ length of header u32 LE │ header (postcard) │ batch (as the gateway encoded it)
//! ```
//! The decision stands in the entry, so that a replay does not decide again: by then the lake may hold a part of the batch, and a ledger
//! that starts from the lake's marks would call the rest a duplicate. The spool around it carries the checksum.
//!
//! Life cycle: written before the acknowledgement, read again only at a start, deleted when its rows are in the lake.

use protocol::{GatewayId, Loss, StampedRecord, Timestamp};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;
const PREFIX_BYTES: usize = 5;

/// What is known of a batch beyond its own bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub gateway: GatewayId,
    pub received_at: Timestamp,
    /// Records at or below were here before.
    pub after: u64,
    /// The mark of the stream with this entry.
    pub through: u64,
    /// A hole before the batch that nobody can fill any more.
    pub loss: Option<Loss>,
}

/// Why an entry can't be read.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error("the entry is cut off")]
    Short,
    #[error("the entry is of version {0}, which this program does not know")]
    Version(u8),
    #[error("the header: {0}")]
    Header(#[from] postcard::Error),
}

/// One entry as bytes.
///
/// # Errors
/// [`EntryError::Header`], which takes running out of memory.
pub fn encode(header: &Header, batch: &[u8]) -> Result<Vec<u8>, EntryError> {
    let header = postcard::to_stdvec(header)?;
    let length = u32::try_from(header.len()).map_err(|_| EntryError::Short)?;
    let mut entry = Vec::with_capacity(PREFIX_BYTES + header.len() + batch.len());
    entry.push(VERSION);
    entry.extend_from_slice(&length.to_le_bytes());
    entry.extend_from_slice(&header);
    entry.extend_from_slice(batch);
    Ok(entry)
}

/// The header of an entry, and its batch, still encoded.
///
/// # Errors
/// [`EntryError`] for what [`encode`] did not write.
pub fn decode(entry: &[u8]) -> Result<(Header, &[u8]), EntryError> {
    let (prefix, rest) = entry.split_at_checked(PREFIX_BYTES).ok_or(EntryError::Short)?;
    let &[version, a, b, c, d] = prefix else { return Err(EntryError::Short) };
    if version != VERSION {
        return Err(EntryError::Version(version));
    }
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(|_| EntryError::Short)?;
    let (header, batch) = rest.split_at_checked(length).ok_or(EntryError::Short)?;
    Ok((postcard::from_bytes(header)?, batch))
}

impl Header {
    /// Of the records of the batch those that are new, led by the loss of the hole before them.
    pub fn fresh(&self, mut records: Vec<StampedRecord>) -> Vec<StampedRecord> {
        records.retain(|stamped| stamped.seq > self.after);
        if let Some(loss) = &self.loss {
            // It shares the sequence of the first entry after the hole: stored or not as a whole.
            records.insert(0, StampedRecord { seq: self.after + 1, record: protocol::Record::Loss(loss.clone()) });
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use protocol::{LossReason, Record};

    use super::*;

    fn loss() -> Loss {
        Loss {
            asset: None,
            signal: None,
            reason: LossReason::StreamGap,
            count: 0,
            from: Timestamp(1),
            to: Timestamp(2),
            detail: "entries 6..7".into(),
        }
    }

    fn header(loss: Option<Loss>) -> Header {
        Header { gateway: GatewayId::new("gw").expect("valid"), received_at: Timestamp(5), after: 7, through: 9, loss }
    }

    #[test]
    fn what_was_written_is_read() {
        for header in [header(None), header(Some(loss()))] {
            let bytes = encode(&header, b"batch").expect("encoded");
            assert_eq!(decode(&bytes).expect("decoded"), (header, b"batch".as_slice()));
        }
    }

    #[test]
    fn a_damaged_entry_is_an_error_and_no_panic() {
        let bytes = encode(&header(Some(loss())), b"").expect("encoded");
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "cut at {length}");
        }
        assert!(matches!(decode(&[9, 0, 0, 0, 0]), Err(EntryError::Version(9))));
        assert!(matches!(decode(&[1, 255, 255, 255, 255, 0]), Err(EntryError::Short)));
    }

    #[test]
    fn only_new_records_pass_and_the_loss_leads_them() {
        let record = |seq| StampedRecord { seq, record: Record::Loss(loss()) };
        let fresh = header(Some(loss())).fresh((6..=9).map(record).collect());
        assert_eq!(fresh.iter().map(|stamped| stamped.seq).collect::<Vec<_>>(), [8, 8, 9]);
        assert_eq!(header(None).fresh(vec![record(7)]), []);
    }
}
