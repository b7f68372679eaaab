//! A column compressed by pco, as a byte string of one chunk's meta data and its only page.
//!
//! pco's own file header (the version of its format) is left out: our version byte stands for it. Reading trusts pco with nothing that
//! costs memory: the number of values comes from the envelope, and two of pco's features that allocate by what the input claims, its
//! dictionary mode (up to 256 MiB) and its look-back window (up to 128 MiB), are never written and refused before they are acted upon.
//! What remains is bounded by the format: 2^15 bins and a table of 2^14 states for each of two latent variables, about 3 MiB for the time of a column.

use pco::{
    ChunkConfig, DeltaSpec, ModeSpec,
    data_types::Number,
    errors::{PcoError, PcoResult},
    metadata::DeltaEncoding,
    wrapped::{FileCompressor, FileDecompressor},
};

use crate::codec::{
    DecodeError,
    columns::Shape,
    wire::{self, Cursor},
};

/// The header that pco 1.x writes for format 4.1.
const PCO_HEADER: [u8; 2] = [4, 1];
/// pco's modes are numbered; `Dict` is the first that we refuse.
const FIRST_REFUSED_MODE: u8 = 4;

/// pco's level: 8, its default, takes three times as long for 2 % fewer bytes.
const LEVEL: usize = 5;

/// Compresses `values` (at least one) to a byte string of its own.
pub(crate) fn compress<T: Number>(values: &[T], shape: Shape, mode: &ModeSpec) -> PcoResult<Vec<u8>> {
    let plain = compress_with(values, mode, DeltaSpec::NoOp)?;
    if shape == Shape::Noise {
        return Ok(plain);
    }
    let deltas = compress_with(values, mode, DeltaSpec::TryConsecutive(1))?;
    Ok(if deltas.len() < plain.len() { deltas } else { plain })
}

fn compress_with<T: Number>(values: &[T], mode: &ModeSpec, delta: DeltaSpec) -> PcoResult<Vec<u8>> {
    let config = ChunkConfig::default().with_compression_level(LEVEL).with_mode_spec(mode.clone()).with_delta_spec(delta);
    let mut chunk = FileCompressor::default().chunk_compressor(values, &config)?;
    let mut out = Vec::with_capacity(chunk.meta_size_hint() + chunk.page_size_hint(0));
    chunk.write_meta(&mut out)?;
    for page in 0..chunk.n_per_page().len() {
        chunk.write_page(page, &mut out)?;
    }
    Ok(out)
}

/// Reads `rows` (at least one) values back.
pub(crate) fn read<T: Number + Default>(cursor: &mut Cursor<'_>, rows: usize, what: &'static str) -> Result<Vec<T>, DecodeError> {
    let bytes = cursor.bytes(what)?;
    if bytes.first().is_none_or(|b| b & 0x0f >= FIRST_REFUSED_MODE) {
        return Err(DecodeError::Malformed { what });
    }
    let column = |source: PcoError| DecodeError::Column { what, source };
    let (file, _) = FileDecompressor::new(&PCO_HEADER[..]).map_err(column)?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(bytes).map_err(column)?;
    if !matches!(chunk.meta().delta_encoding, DeltaEncoding::NoOp | DeltaEncoding::Consecutive { .. }) {
        return Err(DecodeError::Malformed { what });
    }
    let mut page = chunk.page_decompressor(rest, rows).map_err(column)?;
    let mut values = vec![T::default(); rows];
    let progress = page.read(&mut values).map_err(column)?;
    if progress.n_processed != rows || !progress.finished {
        return Err(DecodeError::Truncated { what });
    }
    let rest = page.into_src();
    if !rest.is_empty() {
        return Err(DecodeError::TrailingBytes { bytes: rest.len() });
    }
    Ok(values)
}

pub(crate) fn put(out: &mut Vec<u8>, compressed: &[u8]) {
    wire::put_bytes(out, compressed);
}

/// Bytes that [`put`] writes.
pub(crate) fn size(compressed: &[u8]) -> usize {
    wire::varint_len(compressed.len() as u64) + compressed.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_left_out_is_the_one_that_pco_writes() {
        let header = FileCompressor::default().write_header(Vec::new()).unwrap();
        assert_eq!(header, PCO_HEADER, "pco writes another format now: raise our version");
    }

    fn chunk(values: &[i64], config: &ChunkConfig) -> Vec<u8> {
        let mut chunk = FileCompressor::default().chunk_compressor(values, config).unwrap();
        let mut bytes = Vec::new();
        chunk.write_meta(&mut bytes).unwrap();
        chunk.write_page(0, &mut bytes).unwrap();
        let mut out = Vec::new();
        put(&mut out, &bytes);
        out
    }

    #[test]
    fn dictionary_and_look_back_are_refused() {
        let values: Vec<i64> = (0..1000).map(|i| [7, 1 << 40, -9][i % 3]).collect();
        let dict = chunk(&values, &ChunkConfig::default().with_mode_spec(ModeSpec::TryDict));
        let error = read::<i64>(&mut Cursor::new(&dict), 1000, "column").unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { .. }), "{error}");
        let lookback = chunk(&values, &ChunkConfig::default().with_delta_spec(DeltaSpec::TryLookback));
        let error = read::<i64>(&mut Cursor::new(&lookback), 1000, "column").unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { .. }), "{error}");
    }
}
