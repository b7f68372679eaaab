//! From the text of the file to [`Config`]: every key, its default, and what is wrong with it.

use std::path::Path;

use super::{Config, Problem};

/// The annotated example.
pub const EXAMPLE: &str = include_str!("../../../config/collector.toml");

pub(super) fn resolve(_path: &Path, _text: &str, _env: Vec<(String, String)>) -> Result<Config, Vec<Problem>> {
    Err(Vec::new())
}
