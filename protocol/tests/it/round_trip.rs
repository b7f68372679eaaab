//! Lossless, and the same bytes for the same records.

use proptest::{collection::vec, prelude::*};
use protocol::{Limits, Record, decode_ack, decode_batch, decode_block, encode_ack, encode_batch, encode_block};

use crate::arbitrary;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_batch_comes_back(batch in arbitrary::batch(60)) {
        let bytes = encode_batch(&batch).unwrap();
        prop_assert_eq!(&decode_batch(&bytes, &Limits::default()).unwrap(), &batch);
        prop_assert_eq!(encode_batch(&batch).unwrap(), bytes);
    }

    #[test]
    fn any_block_comes_back(block in vec(arbitrary::record(), 0..200)) {
        let bytes = encode_block(&block).unwrap();
        prop_assert_eq!(&decode_block(&bytes, &Limits::default()).unwrap(), &block);
        prop_assert_eq!(encode_block(&block).unwrap(), bytes);
    }

    #[test]
    fn any_ack_comes_back(ack in arbitrary::ack()) {
        prop_assert_eq!(decode_ack(&encode_ack(&ack).unwrap()).unwrap(), ack);
    }

    #[test]
    fn numbers_keep_their_bits(bits in vec(any::<[u64; 6]>(), 1..100), block in vec(arbitrary::record(), 100)) {
        let mut windows: Vec<_> = block.into_iter().filter_map(|r| if let Record::Window(w) = r { Some(w) } else { None }).collect();
        for (window, bits) in windows.iter_mut().zip(&bits) {
            let fields = [&mut window.min, &mut window.max, &mut window.mean, &mut window.stddev, &mut window.first, &mut window.last];
            fields.into_iter().zip(bits).for_each(|(field, bits)| *field = f64::from_bits(*bits | 0x7ff0 << 48));
        }
        let records: Vec<_> = windows.iter().cloned().map(Record::Window).collect();
        let decoded = decode_block(&encode_block(&records).unwrap(), &Limits::default()).unwrap();
        for (window, record) in windows.iter().zip(decoded) {
            let Record::Window(back) = record else { panic!("another kind of record came back") };
            let fields: [fn(&protocol::WindowSummary) -> f64; 6] = [|w| w.min, |w| w.max, |w| w.mean, |w| w.stddev, |w| w.first, |w| w.last];
            for field in fields {
                prop_assert_eq!(field(&back).to_bits(), field(window).to_bits());
            }
        }
    }
}
