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

/// One lane of one spool generation, by the generation's random id: with a sequence it names a stored block for good.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub u64);

impl StreamId {
    /// Bits of the number that tell the lane; they are 0 in a generation's id.
    const LANE_BITS: u64 = 3;

    /// The stream of a lane (0 to 3) of the generation with this id.
    pub const fn of(generation: u64, lane: usize) -> Self {
        Self((generation & !Self::LANE_BITS) | (lane as u64 & Self::LANE_BITS))
    }

    /// Id of the generation.
    pub const fn generation(self) -> u64 {
        self.0 & !Self::LANE_BITS
    }

    pub const fn lane(self) -> usize {
        (self.0 & Self::LANE_BITS) as usize
    }
}

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gateway_id_is_a_host_name_label() {
        for good in ["a", "press-gw1", "0", "a--b", &"x".repeat(63)] {
            assert_eq!(GatewayId::new(good).unwrap().as_str(), good);
        }
        assert!(matches!(GatewayId::new(""), Err(IdError::Empty { .. })));
        assert!(matches!(GatewayId::new(&"x".repeat(64)), Err(IdError::TooLong { len: 64, max: 63, .. })));
        for bad in ["-a", "a-", "-", "Press", "a_b", "a.b", "a b", "ä", "a\n", "a/b"] {
            assert!(matches!(GatewayId::new(bad), Err(IdError::BadCharacter { .. })), "{bad:?}");
        }
    }

    #[test]
    fn an_asset_path_has_four_parts() {
        let asset = AssetPath::new("plant1/Press-Shop/line_2/press.7").unwrap();
        assert_eq!(asset.parts(), ["plant1", "Press-Shop", "line_2", "press.7"]);
        assert_eq!(asset.machine(), "press.7");
        for bad in ["a", "a/b/c", "a/b/c/d/e", "/a/b/c", "a/b/c/", "a//c/d", "///"] {
            assert!(matches!(AssetPath::new(bad), Err(IdError::NotFourParts { .. })), "{bad:?}");
        }
        for bad in ["a/b/c/d e", "a/b/c/ü", "a/b/c/+", "a/b/c/#", "a/b/c/d\0"] {
            assert!(matches!(AssetPath::new(bad), Err(IdError::BadCharacter { .. })), "{bad:?}");
        }
        let part = "x".repeat(49);
        assert!(AssetPath::new(&format!("{part}/{part}/{part}/{}", "x".repeat(50))).is_ok());
        assert!(matches!(AssetPath::new(&format!("{part}/{part}/{part}/{}", "x".repeat(51))), Err(IdError::TooLong { len: 201, .. })));
        assert!(matches!(AssetPath::new(""), Err(IdError::Empty { .. })));
    }

    #[test]
    fn a_signal_name_begins_with_a_letter() {
        for good in ["a", "spindle_temperature", "t1", &"x".repeat(64)] {
            assert!(SignalName::new(good).is_ok(), "{good:?}");
        }
        for bad in ["1t", "_t", "Temp", "a-b", "a.b", "a b", "é"] {
            assert!(matches!(SignalName::new(bad), Err(IdError::BadCharacter { .. })), "{bad:?}");
        }
        assert!(matches!(SignalName::new(""), Err(IdError::Empty { .. })));
        assert!(matches!(SignalName::new(&"x".repeat(65)), Err(IdError::TooLong { .. })));
    }

    #[test]
    fn a_bad_identifier_in_json_is_refused_and_named() {
        assert_eq!(serde_json::from_str::<AssetPath>("\"a/b/c/d\"").unwrap().as_str(), "a/b/c/d");
        let error = serde_json::from_str::<AssetPath>("\"a/b/c\"").unwrap_err().to_string();
        assert!(error.contains("site/area/line/machine"), "{error}");
        assert!(serde_json::from_str::<GatewayId>("\"NO\"").is_err());
        assert_eq!(serde_json::to_string(&SignalName::new("t1").unwrap()).unwrap(), "\"t1\"");
        assert_eq!(StreamId(0xbeef).to_string(), "000000000000beef");
        let stream = StreamId::of(0xbee7, 1);
        assert_eq!((stream, stream.generation(), stream.lane()), (StreamId(0xbee5), 0xbee4, 1));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_as_it_is_or_refused(text: String) {
            if let Ok(id) = GatewayId::new(&text) {
                prop_assert_eq!(id.as_str(), &text);
            }
            if let Ok(id) = AssetPath::new(&text) {
                prop_assert_eq!(id.parts().join("/"), text.clone());
            }
            if let Ok(id) = SignalName::new(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
