//! The bytes of heads and keys, and that no damage to them goes unseen.

use super::*;

const ID: u64 = 0x1122_3344_5566_7788;

fn entry() -> Head {
    Head { lane: 2, units_before: 0x0a0b, units: 7, ..Head::single(Kind::Entry, ID, 0x0102_0304) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_value_is_these_bytes() {
    let value = Head { piece: 1, pieces: 3, ..entry() }.with(b"abc");
    let head = "d76d531b 12 02 0100 0300 0300 8877665544332211 0403020100000000 0b0a000000000000 0700000000000000";
    // The checksum was computed by other means.
    assert_eq!(hex(&value), head.replace(' ', "") + "2cf1a542" + "616263");
}

#[test]
fn the_other_kinds_are_these_bytes() {
    let bodies = [
        (Head::single(Kind::Meta, ID, 1).with(&[]), "d76d531b11"),
        (Head::single(Kind::Checkpoint, ID, 1).with(&[]), "d76d531b13"),
        (retired_value(ID, 9, 5), "d76d531b14"),
        (Progress::default().encode(ID), "d76d531b15"),
    ];
    for (value, begin) in bodies {
        assert_eq!(hex(&value[..5]), begin);
    }
    let progress = Progress { commit: 5, through: [1, 2, 3, 4], units: [5, 6, 7, 8], fingerprint: 9 };
    let numbers: Vec<u8> = (1..=9u64).flat_map(u64::to_le_bytes).collect();
    assert_eq!(progress.body(), numbers);
    assert_eq!(Progress::decode(&progress.encode(ID)).unwrap(), progress);
    let link = Parent { generation: 0x40, through: [1, 2, 3, 4], units: [5, 6, 7, 8] };
    let meta = Meta { id: ID, ordinal: 3, opened_at: SpoolTime(77), parent: None, before: Some(link), salvaged: true };
    let numbers = [3, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 1, 2, 3, 4, 5, 6, 7, 8u64];
    assert_eq!(meta.body(), [vec![1], numbers.iter().copied().flat_map(u64::to_le_bytes).collect()].concat());
    assert_eq!(Meta::decode(&meta.encode()).unwrap(), meta);
}

#[test]
fn keys_sort_as_their_numbers_do_and_tell_what_the_heads_tell() {
    let keys = [
        checkpoint_key(1, 0),
        checkpoint_key(1, 256),
        checkpoint_key(256, 0),
        entry_key(Lane(0), 255, 9),
        entry_key(Lane(0), 256, 0),
        entry_key(Lane(1), 1, 0),
        META_KEY.to_vec(),
        retired_key(1),
        COMMIT_KEY.to_vec(),
    ];
    assert!(keys.is_sorted());
    assert_eq!(parse_entry_key(&entry_key(Lane(3), 77, 5)), Some((Lane(3), 77, 5)));
    assert_eq!(parse_entry_key(&checkpoint_key(1, 0)), None);
    assert_eq!(entry().key(), entry_key(Lane(2), 0x0102_0304, 0));
    assert_eq!(Head { units_before: 8, piece: 2, ..Head::single(Kind::Checkpoint, ID, 4) }.key(), checkpoint_key(8, 2));
}

#[test]
fn a_flipped_bit_anywhere_in_head_or_bytes_is_found_and_so_is_a_missing_byte() {
    let value = entry().with(&[0x5a; 100]);
    assert_eq!(Head::parse(&value), Ok((Head { len: 100, ..entry() }, [0x5a; 100].as_slice())));
    for bit in 0..value.len() * 8 {
        let mut flipped = value.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(Head::parse(&flipped).is_err(), "bit {bit}");
    }
    for len in 0..value.len() {
        assert_eq!(Head::parse(&value[..len]), Err(NoHead::Short), "{len} bytes");
    }
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let mut value = entry().with(b"x");
    value[4] = Kind::Entry as u8 | 2 << 4;
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&value[..CRC_AT]), b"x");
    value[CRC_AT..HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
    assert_eq!(Head::parse(&value), Err(NoHead::Version(2)));
    assert!(matches!(parse_single(&value, Kind::Entry, "it"), Err(SpoolError::UnknownVersion { found: 2, known: 1 })));
}

#[test]
fn pieces_are_joined_only_if_they_are_all_there_and_of_one_entry() {
    let payload: Vec<u8> = (0..PIECE_BYTES * 2 + 5).map(|i| i as u8).collect();
    for len in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, payload.len()] {
        let mut pairs = Vec::new();
        cut(entry(), &payload[..len], &mut pairs);
        assert_eq!(pairs.len(), pieces_of(len));
        let values: Vec<Vec<u8>> = pairs.into_iter().filter_map(|(_, value)| value).collect();
        let join = |values: &[Vec<u8>]| {
            let mut joiner = Joiner::default();
            for value in values {
                let (head, bytes) = Head::parse(value).unwrap();
                joiner.push(head, bytes);
            }
            joiner.finish().map(|(_, bytes)| bytes)
        };
        assert_eq!(join(&values).as_deref(), Some(&payload[..len]));
        for missing in 0..values.len() {
            let mut fewer = values.clone();
            fewer.remove(missing);
            assert_eq!(join(&fewer), None, "{len} bytes, piece {missing}");
        }
        let mut mixed = values.clone();
        let other = Head { units: 8, piece: values.len() as u16 - 1, pieces: values.len() as u16, ..entry() };
        *mixed.last_mut().unwrap() = other.with(b"");
        assert_eq!(join(&mixed).is_some(), values.len() == 1, "{len} bytes");
    }
}
