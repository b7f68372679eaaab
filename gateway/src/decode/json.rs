//! JSON payloads as a flat list of fields: `{"a":1,"b":{"c":2}}` is `a = 1`, `b.c = 2`.
//!
//! Borrows from the payload where it can. Invariant: at most `max_fields` fields of objects at most `max_depth` deep are kept; a message over
//! either limit is refused whole, never taken in part. Lists hold no fields and are passed over.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// One value of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Field<'a> {
    /// Keys from the outside in, joined by dots.
    pub path: Cow<'a, str>,
    pub value: Scalar<'a>,
}

/// A value that is not an object or a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    Unsigned(u64),
    /// Below zero.
    Signed(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Bool(bool),
    /// What many writers make of NaN.
    Null,
}

impl Scalar<'_> {
    /// The value as a number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Unsigned(value) => Some(*value as f64),
            Self::Signed(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            Self::Text(_) | Self::Bool(_) | Self::Null => None,
        }
    }

    /// The value if it is whole and not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(*value),
            Self::Float(value) => super::modbus::Number::Float(*value).as_u64(),
            _ => None,
        }
    }

    /// How the value reads as text: for codes and ids that may be numbers or texts.
    pub fn to_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Unsigned(value) => Some(value.to_string().into()),
            Self::Signed(value) => Some(value.to_string().into()),
            Self::Float(value) => Some(value.to_string().into()),
            Self::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Self::Null => None,
        }
    }
}

/// Why a payload is not taken.
#[derive(Debug, thiserror::Error)]
#[error("no JSON object: {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Reads the fields of a JSON object.
///
/// # Errors
/// [`JsonError`] if the payload is not exactly one JSON object within the limits.
pub fn fields(payload: &[u8], max_fields: usize, max_depth: usize) -> Result<Vec<Field<'_>>, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(payload);
    let mut out = Vec::with_capacity(12);
    let object = Object { out: &mut out, prefix: "", depth: max_depth, max_fields };
    reader.deserialize_map(object)?;
    reader.end()?;
    Ok(out)
}

struct Object<'b, 'de> {
    out: &'b mut Vec<Field<'de>>,
    prefix: &'b str,
    depth: usize,
    max_fields: usize,
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some(depth) = self.depth.checked_sub(1) else { return Err(A::Error::custom("objects lie too deep in each other")) };
        while let Some(key) = map.next_key_seed(Text)? {
            let path = if self.prefix.is_empty() { key } else { Cow::Owned(format!("{}.{key}", self.prefix)) };
            map.next_value_seed(FieldValue { out: self.out, path, depth, max_fields: self.max_fields })?;
        }
        Ok(())
    }
}

struct FieldValue<'b, 'de> {
    out: &'b mut Vec<Field<'de>>,
    path: Cow<'de, str>,
    depth: usize,
    max_fields: usize,
}

impl<'de> FieldValue<'_, 'de> {
    fn push<E: serde::de::Error>(self, value: Scalar<'de>) -> Result<(), E> {
        if self.out.len() >= self.max_fields {
            return Err(E::custom(format_args!("more than {} fields", self.max_fields)));
        }
        self.out.push(Field { path: self.path, value });
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for FieldValue<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldValue<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.push(Scalar::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.push(Scalar::Unsigned(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.push(u64::try_from(value).map_or(Scalar::Signed(value), Scalar::Unsigned))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.push(Scalar::Float(value))
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<(), E> {
        self.push(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.push(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.push(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        Object { out: self.out, prefix: &self.path, depth: self.depth, max_fields: self.max_fields }.visit_map(map)
    }
}

/// A text, borrowed if it holds no escapes.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(payload: &str) -> Result<Vec<(String, Scalar<'_>)>, JsonError> {
        Ok(fields(payload.as_bytes(), 10, 3)?.into_iter().map(|f| (f.path.into_owned(), f.value)).collect())
    }

    #[test]
    fn nested_objects_are_flattened_and_lists_passed_over() {
        let got = read(r#"{"a":1,"b":{"c":-2.5,"d":{"e":"x"}},"l":[1,{"z":2}],"n":null,"t":true,"m":-3}"#).unwrap();
        let want = [
            ("a".to_owned(), Scalar::Unsigned(1)),
            ("b.c".to_owned(), Scalar::Float(-2.5)),
            ("b.d.e".to_owned(), Scalar::Text("x".into())),
            ("n".to_owned(), Scalar::Null),
            ("t".to_owned(), Scalar::Bool(true)),
            ("m".to_owned(), Scalar::Signed(-3)),
        ];
        assert_eq!(got, want);
        assert_eq!(read(r#"{"a\u0062":"c\n"}"#).unwrap(), [("ab".to_owned(), Scalar::Text("c\n".into()))]);
    }

    #[test]
    fn what_is_no_object_within_limits_is_refused() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let many = format!("{{{}}}", (0..11).map(|i| format!("\"k{i}\":{i}")).collect::<Vec<_>>().join(","));
        for bad in [
            "",
            "{",
            "1",
            "[1]",
            "null",
            "{\"a\":NaN}",
            "{\"a\":1e999}",
            "{\"a\":1}x",
            "{\"a\":1}{\"a\":2}",
            "{a:1}",
            "{\"a\":{\"b\":{\"c\":{}}}}",
            "\u{0}",
            &deep,
            &many,
        ] {
            assert!(read(bad).is_err(), "{}", &bad[..bad.len().min(40)]);
        }
        assert!(fields(b"{\"a\":\"\xff\"}", 10, 3).is_err());
    }
}
