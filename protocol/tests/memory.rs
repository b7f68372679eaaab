//! What decoding takes of memory, honest or hostile. A binary of its own with one test: the counting allocator counts all threads.

#[cfg(test)]
#[path = "it/plant.rs"]
mod plant;

use peak_alloc::PeakAlloc;
use plant::Sensor;
use protocol::{Limits, Record, decode_batch, decode_block, encode_batch, encode_block};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What pco needs for the time of one column, and columns in two forms while one is made from the other.
const SLACK: usize = 6 << 20;

fn peak_of<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    (ALLOCATOR.peak_usage().saturating_sub(before), result)
}

fn sealed(payload: &[u8]) -> Vec<u8> {
    // Kind block; declares all of the 16 MiB that may be declared.
    let mut frame = [b"MR".as_slice(), &[1, 1, 0x80, 0x80, 0x80, 0x08], payload].concat();
    let checksum = crc32c::crc32c(&frame).to_le_bytes();
    frame.extend_from_slice(&checksum);
    frame
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

#[test]
fn decoding_never_takes_more_than_the_decoded_cap_and_what_one_column_needs() {
    let limits = Limits::default();

    // Honest: as many windows as a batch may hold.
    let windows = plant::windows(1000, 50, |s| if s % 2 == 0 { Sensor::Decimal(2) } else { Sensor::Single });
    let records: Vec<Record> = windows.iter().take(limits.max_rows).cloned().map(Record::Window).collect();
    let bytes = encode_block(&records).unwrap();
    drop(records);
    let (peak, decoded) = peak_of(|| decode_block(&bytes, &limits).map(|r| r.len()));
    assert_eq!(decoded.unwrap(), 50_000);
    assert!(peak > 8 << 20, "the allocator counts: {peak}");
    assert!(peak <= limits.max_decoded_bytes + SLACK, "honest: {peak}");

    // Bombs: a few bytes that claim much.
    let rows = varint(50_000);
    let all_windows = [0u8, 0];
    let no_names = [0u8, 0, 0];
    let text = [vec![0u8], varint(900_000), vec![b'x'; 900_000]].concat();
    let bombs: Vec<(&str, Vec<u8>)> = vec![
        ("18446744073709551615 rows, more than 50000", varint(u64::MAX)),
        ("ends in the middle of series", [rows.as_slice(), &all_windows, &no_names].concat()),
        ("18446744073709551615 bytes when decoded", [rows.as_slice(), &all_windows, &varint(u64::MAX)].concat()),
        ("62400000 bytes when decoded", [rows.as_slice(), &all_windows, &varint(1_000_000), &[0; 2000]].concat()),
        ("17600000 bytes when decoded", [rows.as_slice(), &all_windows, &no_names, &rows, &[0; 6], &varint(1), &rows].concat()),
        // 50,000 state changes with the same long reason.
        (
            "17100135 bytes when decoded",
            [rows.as_slice(), &[0, 4], &[1, 0, 7], b"a/b/c/d", &[0, 1], &text, &[0, 0], &[0, 0], &[0, 0], &[0, 0], &[0, 0]].concat(),
        ),
        // pco: dictionary mode with 2^25 entries; look-back with a window of 2^24; 2^15 bins.
        ("record kinds is malformed", [rows.as_slice(), &[5, 40], &[0xf4, 0xff, 0xff, 0x1f], &[0; 36]].concat()),
        ("record kinds is malformed", [rows.as_slice(), &[5, 40], &[0x20, 0x17], &[0; 38]].concat()),
        ("column record kinds could not be decompressed", [rows.as_slice(), &[5, 40], &[0x00, 0xfe, 0xff, 0xff], &[0xff; 36]].concat()),
    ];
    for (expected, payload) in bombs {
        let frame = sealed(&payload);
        let (peak, result) = peak_of(|| decode_block(&frame, &limits).map(|r| r.len()));
        let error = result.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}, not {expected}");
        assert!(peak <= limits.max_decoded_bytes + SLACK, "{expected}: {peak}");
    }

    // Mutations of a real batch, below its checksum.
    let sensors = [Sensor::Decimal(2), Sensor::Single, Sensor::Double];
    let frame = encode_batch(&plant::batch(6, &plant::windows(6, 60, |s| sensors[s % 3]))).unwrap();
    for byte in 4..frame.len() - 4 {
        for value in [0x00, 0x7f, 0xff] {
            let mut mutated = frame.clone();
            mutated[byte] = value;
            let body = mutated.len() - 4;
            let checksum = crc32c::crc32c(&mutated[..body]).to_le_bytes();
            mutated[body..].copy_from_slice(&checksum);
            let (peak, _) = peak_of(|| decode_batch(&mutated, &limits).is_ok());
            assert!(peak <= limits.max_decoded_bytes + SLACK, "byte {byte} = {value}: {peak}");
        }
    }
}
