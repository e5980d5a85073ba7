//! Values of the replicated store in JSON: standard base64 with padding (RFC 4648), as Go encodes a `[]byte`.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes as base64.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes that `text` encodes; `None` when it is not their one canonical base64 form.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// One value of the store, serialised as base64.
struct Base64Value(Bytes);

impl Serialize for Base64Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let bytes = decode(&text).ok_or_else(|| D::Error::custom("a value that is not base64"))?;
        Ok(Base64Value(bytes.into()))
    }
}

/// For `#[serde(with)]` on a map of keys to values that may be left out.
pub(super) mod values {
    use super::{
        BTreeMap, Base64Value, Bytes, Deserializer, MapAccess, SerializeMap, Serializer, Visitor, fmt,
    };

    pub(in crate::model) fn serialize<S: Serializer>(
        values: &Option<BTreeMap<String, Bytes>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Some(values) = values else {
            return serializer.serialize_none();
        };
        let mut map = serializer.serialize_map(Some(values.len()))?;
        for (key, value) in values {
            map.serialize_entry(key, &Base64Value(value.clone()))?;
        }
        map.end()
    }

    pub(in crate::model) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<BTreeMap<String, Bytes>>, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Option<BTreeMap<String, Bytes>>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of keys to values in base64")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_none<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_map(self)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut values = BTreeMap::new();
                while let Some((key, Base64Value(value))) = map.next_entry()? {
                    values.insert(key, value);
                }
                Ok(Some(values))
            }
        }
        deserializer.deserialize_option(Values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The test vectors of RFC 4648, and bytes that are not text.
    #[test]
    fn the_form_is_that_of_the_standard() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"fooba", "Zm9vYmE="),
            (b"foobar", "Zm9vYmFy"),
            (&[0xff, 0xfe, 0xfb, 0xf0], "//778A=="),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).as_deref(), Some(bytes));
        }
        for bad in [
            "Z", "Zg", "Zg=", "Zh==", "====", "Zg==Zg==", "Zm8 ", "Zm9v\n", "Z===", "Zm-_",
        ] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_value_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }

        #[test]
        fn no_text_panics_and_each_value_has_one_form(text in "[A-Za-z0-9+/=]{0,12}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
