//! Names of things. Each is checked once, where it is made; after that it can be trusted everywhere.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is no valid identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("{what} is empty")]
    Empty { what: &'static str },
    #[error("{what} has {len} bytes, more than {max}")]
    TooLong { what: &'static str, len: usize, max: usize },
    #[error("{what} {text:?} may only hold {allowed}")]
    BadCharacter { what: &'static str, text: String, allowed: &'static str },
    #[error("asset path {text:?} must have the four parts site/area/line/machine")]
    NotFourParts { text: String },
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and makes the identifier.
            ///
            /// # Errors
            /// [`IdError`] names the rule that `text` breaks.
            pub fn new(text: &str) -> Result<Self, IdError> {
                $check(text)?;
                Ok(Self(Arc::from(text)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::new(&text).map_err(de::Error::custom)
            }
        }
    };
}

text_id!(
    /// A gateway's name: 1 to 63 of `a-z 0-9 -`, not beginning or ending with `-`; it is the CN of the gateway's certificate.
    GatewayId,
    check_gateway
);
text_id!(
    /// ISA-95 equipment path `site/area/line/machine`: four parts of `A-Z a-z 0-9 _ . -`, at most 200 bytes together.
    AssetPath,
    check_asset
);
text_id!(
    /// A signal of a machine, `spindle_temperature`: a letter, then `a-z 0-9 _`, at most 64 bytes.
    SignalName,
    check_signal
);

/// Random id of one spool generation: with a sequence it names a stored block for good.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({self})")
    }
}

impl AssetPath {
    /// The four parts `[site, area, line, machine]`.
    pub fn parts(&self) -> [&str; 4] {
        let mut parts = self.0.split('/');
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    }

    /// The last part.
    pub fn machine(&self) -> &str {
        self.parts()[3]
    }
}

fn check_length(what: &'static str, text: &str, max: usize) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if text.len() > max {
        return Err(IdError::TooLong { what, len: text.len(), max });
    }
    Ok(())
}

fn check_gateway(text: &str) -> Result<(), IdError> {
    const WHAT: &str = "gateway id";
    check_length(WHAT, text, 63)?;
    let allowed = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !allowed || text.starts_with('-') || text.ends_with('-') {
        return Err(IdError::BadCharacter { what: WHAT, text: text.into(), allowed: "a-z, 0-9 and - (not first or last)" });
    }
    Ok(())
}

fn check_asset(text: &str) -> Result<(), IdError> {
    const WHAT: &str = "asset path";
    check_length(WHAT, text, 200)?;
    if text.split('/').count() != 4 || text.split('/').any(str::is_empty) {
        return Err(IdError::NotFourParts { text: text.into() });
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-/".contains(&b)) {
        return Err(IdError::BadCharacter { what: WHAT, text: text.into(), allowed: "A-Z, a-z, 0-9, _, . and - between slashes" });
    }
    Ok(())
}

fn check_signal(text: &str) -> Result<(), IdError> {
    const WHAT: &str = "signal name";
    check_length(WHAT, text, 64)?;
    let allowed = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !allowed || !text.as_bytes()[0].is_ascii_lowercase() {
        return Err(IdError::BadCharacter { what: WHAT, text: text.into(), allowed: "a letter, then a-z, 0-9 and _" });
    }
    Ok(())
}
