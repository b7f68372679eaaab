//! Input that no encoder made. A checksum that fits proves nothing, since a sender can compute it: most of this is mutated below it.

use proptest::{collection::vec, prelude::*, sample::Index};
use protocol::{
    DecodeError, EncodeError, EntryInfo, Limits, Record, SeqRange, decode_ack, decode_batch, decode_block, encode_ack, encode_batch,
    encode_block,
};

use crate::{
    arbitrary,
    plant::{self, Sensor},
};

/// A frame with all that there is: long columns of each encoding, events, texts, sources.
fn rich_batch() -> Vec<u8> {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut batch = arbitrary::batch(1).new_tree(&mut runner).unwrap().current();
    let sensors = [Sensor::Decimal(2), Sensor::Single, Sensor::Double];
    batch.records = plant::batch(9, &plant::windows(9, 16, |s| sensors[s % 3])).records;
    let events = vec(arbitrary::record(), 60).new_tree(&mut runner).unwrap().current();
    batch.records.extend(events.into_iter().map(|record| protocol::StampedRecord { seq: 1040, record }));
    batch.range = Some(SeqRange { first: 1000, last: 1040 });
    batch.entries = (0..41).map(|i| EntryInfo { stamp: None, readings_before: 9 * i, readings: 9 }).collect();
    encode_batch(&batch).unwrap()
}

/// The frame with its checksum made right.
fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    frame.truncate(frame.len().saturating_sub(4));
    let checksum = crc32c::crc32c(&frame).to_le_bytes();
    frame.extend_from_slice(&checksum);
    frame
}

fn decode(frame: &[u8]) -> Result<(), DecodeError> {
    decode_batch(frame, &Limits::default()).map(drop)
}

#[test]
fn a_flipped_bit_anywhere_is_found_by_the_checksum_and_survived_without_it() {
    let frame = rich_batch();
    assert!(decode(&frame).is_ok());
    for byte in 0..frame.len() {
        for flip in [1 << (byte % 8), 1 << ((byte + 5) % 8), 0xff] {
            let mut flipped = frame.clone();
            flipped[byte] ^= flip;
            assert!(decode(&flipped).is_err(), "byte {byte} ^ {flip:02x}");
            // Damage that the checksum does not see may decode to something else; it must only not panic.
            let _ = decode(&sealed(flipped));
        }
    }
}

#[test]
fn a_frame_cut_anywhere_is_an_error_even_with_a_fresh_checksum() {
    let frame = rich_batch();
    for len in 0..frame.len() {
        assert!(decode(&frame[..len]).is_err(), "{len} bytes");
        let cut = sealed([&frame[..len.saturating_sub(4)], &[0; 4]].concat());
        assert!(decode(&cut).is_err(), "{len} bytes");
    }
}

#[test]
fn bytes_behind_the_last_column_are_an_error() {
    let mut frame = rich_batch();
    frame.extend_from_slice(&[0; 7]);
    let error = decode(&sealed(frame)).unwrap_err();
    assert!(matches!(error, DecodeError::TrailingBytes { bytes: 7 }), "{error}");
}

#[test]
fn an_unknown_version_is_named() {
    let mut frame = rich_batch();
    frame[2] = 9;
    assert_eq!(decode(&frame).unwrap_err().to_string(), "format version 9; this program knows 2");
}

#[test]
fn a_frame_of_another_kind_or_no_frame_is_named() {
    let block = encode_block(&[]).unwrap();
    assert!(matches!(decode(&block), Err(DecodeError::WrongKind { found: 1, expected: 2 })));
    assert!(matches!(decode(b"{\"readings\": []}"), Err(DecodeError::NotAFrame)));
    assert!(matches!(decode(b""), Err(DecodeError::NotAFrame)));
}

#[test]
fn caps_hold_on_both_sides() {
    let windows = plant::windows(10, 20, |_| Sensor::Decimal(1));
    let frame = encode_batch(&plant::batch(10, &windows)).unwrap();
    let limits = Limits::default();
    let rows = Limits { max_rows: 199, ..limits };
    assert!(matches!(decode_batch(&frame, &rows), Err(DecodeError::TooManyRows { rows: 200, max: 199 })));
    let decoded = Limits { max_decoded_bytes: 50_000, ..limits };
    assert!(matches!(decode_batch(&frame, &decoded), Err(DecodeError::DecodedTooLarge { max: 50_000, .. })));
    let encoded = Limits { max_encoded_bytes: frame.len() - 1, ..limits };
    assert!(matches!(decode_batch(&frame, &encoded), Err(DecodeError::EncodedTooLarge { .. })));
    assert!([rows, decoded, encoded].iter().all(|limits| decode_batch(&frame, limits).unwrap_err().is_too_large()));

    let Record::Window(window) = plant::batch(1, &windows[..1]).records.remove(0).record else { panic!("a window") };
    let too_many = vec![Record::Window(window); limits.max_rows + 1];
    assert!(matches!(encode_block(&too_many), Err(EncodeError::TooManyRows { rows: 50_001, .. })));
    let loss = |detail: String| {
        let (from, to) = (protocol::Timestamp::default(), protocol::Timestamp::default());
        Record::Loss(protocol::Loss { asset: None, signal: None, reason: protocol::LossReason::Malformed, count: 1, from, to, detail })
    };
    let error = encode_block(&[loss("x".repeat(2 << 20))]).unwrap_err();
    assert!(matches!(error, EncodeError::EncodedTooLarge { .. }) && error.is_too_large());
    let error = encode_block(&vec![loss("x".repeat(1 << 19)); 40]).unwrap_err();
    assert!(matches!(error, EncodeError::DecodedTooLarge { .. }) && error.is_too_large());
}

#[test]
fn records_out_of_order_or_out_of_range_are_refused() {
    let batch = plant::batch(2, &plant::windows(2, 4, |_| Sensor::Double));
    let mut swapped = batch.clone();
    swapped.records.swap(0, 7);
    let mut outside = batch.clone();
    outside.range = Some(SeqRange { first: 1000, last: 1002 });
    let mut rangeless = batch;
    rangeless.range = None;
    for wrong in [swapped, outside, rangeless] {
        assert!(matches!(encode_batch(&wrong), Err(EncodeError::OutOfOrder)));
    }
}

/// Overwrites, cuts out, and repeats stretches of a frame's payload.
#[derive(Debug, Clone)]
enum Mutation {
    Overwrite(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let bytes = prop_oneof![vec(any::<u8>(), 1..4), vec(prop_oneof![Just(0xff), Just(0x80), Just(0), Just(1)], 1..12)];
    prop_oneof![
        3 => (any::<Index>(), bytes).prop_map(|(at, bytes)| Mutation::Overwrite(at, bytes)),
        1 => (any::<Index>(), 1usize..20).prop_map(|(at, len)| Mutation::Remove(at, len)),
        1 => (any::<Index>(), 1usize..20).prop_map(|(at, len)| Mutation::Repeat(at, len)),
    ]
}

fn mutate(frame: &mut Vec<u8>, mutation: Mutation) {
    const HEAD: usize = 4;
    match mutation {
        Mutation::Overwrite(at, bytes) => {
            let at = HEAD + at.index(frame.len() - HEAD);
            let len = bytes.len().min(frame.len() - at);
            frame[at..at + len].copy_from_slice(&bytes[..len]);
        }
        Mutation::Remove(at, len) => {
            let at = HEAD + at.index(frame.len() - HEAD);
            frame.drain(at..(at + len).min(frame.len()));
            frame.resize(frame.len().max(HEAD + 8), 0);
        }
        Mutation::Repeat(at, len) => {
            let at = HEAD + at.index(frame.len() - HEAD);
            let again = frame[at..(at + len).min(frame.len())].to_vec();
            frame.splice(at..at, again);
        }
    }
}

/// More with PROPTEST_CASES, for a night's run.
fn cases(default: u32) -> ProptestConfig {
    ProptestConfig::with_cases(ProptestConfig::default().cases.max(default))
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn mutated_frames_never_panic(frame in Just(rich_batch()), mutations in vec(mutation(), 1..6)) {
        let mut frame = frame;
        mutations.into_iter().for_each(|m| mutate(&mut frame, m));
        let _ = decode(&sealed(frame));
    }

    #[test]
    fn arbitrary_payloads_never_panic(kind in 0u8..5, payload in vec(any::<u8>(), 0..300)) {
        let frame = sealed([b"MR".as_slice(), &[1, kind, 0xff, 0xff, 0xff, 0x07], &payload, &[0; 4]].concat());
        let _ = decode_batch(&frame, &Limits::default());
        let _ = decode_block(&frame, &Limits::default());
        let _ = decode_ack(&frame);
        let _ = decode(&payload);
    }

    #[test]
    fn mutated_acks_never_panic(ack in arbitrary::ack(), at: Index, byte: u8) {
        let mut frame = encode_ack(&ack).unwrap();
        let at = at.index(frame.len());
        frame[at] = byte;
        let _ = decode_ack(&sealed(frame));
    }
}
