//! Which keys there are.

use std::path::Path;

use super::{Config, ConfigErrors};

impl Config {
    /// Reads `path`, applies overrides from `env` (all of the environment may be given) and checks everything.
    ///
    /// # Errors
    /// [`ConfigErrors`] with every problem found.
    pub fn load(path: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        todo!("{path:?} {}", env.into_iter().count())
    }

    /// The same from text that was read from `path`.
    ///
    /// # Errors
    /// [`ConfigErrors`] with every problem found.
    pub fn parse(path: &Path, text: &str, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        todo!("{path:?} {text} {}", env.into_iter().count())
    }
}
