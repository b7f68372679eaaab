//! The name of a machine: its ISA-95 path `site/area/line/machine`.
//!
//! Invariant: four parts of `A-Z a-z 0-9 _ . -`, at most 200 bytes: safe in an MQTT topic as it stands.

use std::{fmt, ops::Deref, sync::Arc};

use serde::{Serialize, Serializer};

/// Cheap to clone: every line of the truth file carries one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset(Arc<str>);

impl Asset {
    /// Checks `text` and makes the name.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > 200 || text.split('/').count() != 4 || text.split('/').any(str::is_empty) {
            return Err(format!("{text:?} must have the four parts site/area/line/machine"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte)) {
            return Err(format!("{text:?} may hold only A-Z, a-z, 0-9, _, . and - between slashes"));
        }
        Ok(Self(text.into()))
    }
}

impl Deref for Asset {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Serialize for Asset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
