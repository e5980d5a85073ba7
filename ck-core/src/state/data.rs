//! The replicated store: a few small values, which every node has.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{CommandResult, Expect, Reply, refuse};
use crate::error::{Error, ErrorCode};
use crate::model::DataEntry;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;
/// The largest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;
/// The limit for all keys and values together, in bytes: every node keeps them in memory.
pub const MAX_DATA_BYTES: usize = 256 * 1024 * 1024;

/// Keys and values, each with the revision that wrote it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DataStore {
    entries: BTreeMap<String, DataEntry>,
    bytes: usize,
}

/// Checks a key before it is proposed; applying checks it again, because a log may hold anything.
pub(crate) fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        let code = if key.is_empty() {
            ErrorCode::InvalidArgument
        } else {
            ErrorCode::TooLarge
        };
        return Err(Error::new(
            code,
            format!("a key has 1 to {MAX_KEY_BYTES} bytes, this one {}", key.len()),
        ));
    }
    Ok(())
}

/// Checks a value before it is proposed; applying checks it again.
pub(crate) fn check_value(value: &[u8]) -> Result<(), Error> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(Error::new(
            ErrorCode::TooLarge,
            format!(
                "a value has at most {MAX_VALUE_BYTES} bytes, this one {}",
                value.len()
            ),
        ));
    }
    Ok(())
}

impl DataStore {
    /// The value of `key`, with the revision that wrote it.
    pub fn get(&self, key: &str) -> Option<&DataEntry> {
        self.entries.get(key)
    }

    /// Every key and value, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &DataEntry)> {
        self.entries.iter()
    }

    /// Up to `limit` keys that begin with `prefix` and come after `after`, in order.
    pub fn keys<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> impl Iterator<Item = &'a String> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.entries
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(move |key| key.starts_with(prefix))
            .take(limit)
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The size of all keys and values together, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn check(&self, key: &str, expect: Expect) -> Result<(), Error> {
        let actual = self.entries.get(key).map(|entry| entry.revision);
        match (expect, actual) {
            _ if planted!("swap-blindly") => Ok(()),
            (Expect::Any, _) | (Expect::Absent, None) => Ok(()),
            (Expect::Revision(wanted), Some(actual)) if wanted == actual => Ok(()),
            (_, Some(actual)) => Err(Error::new(
                ErrorCode::Conflict,
                format!("key {key:?} was written at revision {actual}"),
            )),
            (_, None) => Err(Error::new(
                ErrorCode::Conflict,
                format!("key {key:?} does not exist"),
            )),
        }
    }

    pub(super) fn set(&mut self, key: &str, value: &Bytes, expect: Expect, index: u64) -> CommandResult {
        check_key(key)?;
        check_value(value)?;
        self.check(key, expect)?;
        let old = self
            .entries
            .get(key)
            .map_or(0, |entry| key.len() + entry.value.len());
        let bytes = self.bytes - old + key.len() + value.len();
        if bytes > MAX_DATA_BYTES {
            return refuse(
                ErrorCode::TooLarge,
                format!("the store may hold {MAX_DATA_BYTES} bytes, and would hold {bytes}"),
            );
        }
        self.bytes = bytes;
        let entry = DataEntry {
            value: value.clone(),
            revision: index,
        };
        match self.entries.get_mut(key) {
            Some(slot) => *slot = entry,
            None => {
                self.entries.insert(key.to_owned(), entry);
            }
        }
        Ok(Reply::Done)
    }

    pub(super) fn delete(&mut self, key: &str, expect: Expect) -> CommandResult {
        check_key(key)?;
        self.check(key, expect)?;
        match self.entries.remove(key) {
            Some(entry) => {
                self.bytes -= key.len() + entry.value.len();
                Ok(Reply::Deleted(true))
            }
            None => Ok(Reply::Deleted(false)),
        }
    }
}
