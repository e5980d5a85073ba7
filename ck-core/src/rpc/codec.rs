//! The encoding of everything that nodes send each other and of what they write to their logs: MessagePack with field
//! names, so that versions one apart can read each other.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{self, DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, ErrorCode, Result};

/// Encodes with field names, so that a reader of another version may know fewer or more fields.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes> {
    match rmp_serde::to_vec_named(value) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(Error::internal(format!("encode: {error}"))),
    }
}

/// Decodes what [`encode`] wrote.
///
/// # Errors
/// [`ErrorCode::Corrupt`] with `what` in the message.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    rmp_serde::from_slice(bytes)
        .map_err(|error| Error::new(ErrorCode::Corrupt, format!("{what} cannot be read: {error}")))
}

/// Decodes a list of at most `N` elements. An element may take one byte on the wire and a hundred in memory, so the
/// limit on message size alone does not bound the memory.
pub(crate) fn at_most<'de, D, T, const N: usize>(deserializer: D) -> std::result::Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct AtMost<T, const N: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for AtMost<T, N> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {N}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Vec<T>, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = list.next_element()? {
                if elements.len() == N {
                    return Err(de::Error::custom(format_args!("a list of more than {N}")));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }

    deserializer.deserialize_seq(AtMost::<T, N>(PhantomData))
}
