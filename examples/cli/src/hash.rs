//! From a key to its partition, as any smart client does it: by the `hash_config` that `GET /cluster` publishes.

use serde::{Deserialize, Serialize};

use crate::error::{CliError, Result};

/// How the cluster maps keys to partitions. A published contract that never changes for a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HashConfig {
    /// `md5`.
    pub(crate) algorithm: String,
    /// `big_endian_uint32`: the digest's first four bytes.
    pub(crate) encoding: String,
    /// The number of partitions.
    pub(crate) modulo: u32,
    /// `partition-%d`.
    pub(crate) format: String,
}

impl HashConfig {
    /// Refuses a mapping that this program cannot compute, before it computes a wrong one.
    pub(crate) fn check(&self) -> Result<()> {
        if self.algorithm == "md5" && self.encoding == "big_endian_uint32" && self.modulo > 0 {
            return Ok(());
        }
        Err(CliError::failed(
            clusterkit::ErrorCode::Version,
            format!(
                "the cluster maps keys by {} / {} modulo {}, which this program does not know",
                self.algorithm, self.encoding, self.modulo
            ),
        ))
    }

    /// The number of the partition that `key` belongs to.
    pub(crate) fn partition(&self, key: &str) -> u32 {
        let digest = md5::compute(key.as_bytes()).0;
        let head = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        head % self.modulo.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(modulo: u32) -> HashConfig {
        HashConfig {
            algorithm: "md5".into(),
            encoding: "big_endian_uint32".into(),
            modulo,
            format: "partition-%d".into(),
        }
    }

    /// From Python: `int.from_bytes(hashlib.md5(key.encode()).digest()[:4], 'big') % n`.
    #[test]
    fn agrees_with_another_languages_md5() {
        VECTORS
            .iter()
            .for_each(|(key, modulo, number)| assert_eq!(config(*modulo).partition(key), *number, "{key:?}"));
    }

    const VECTORS: &[(&str, u32, u32)] = &[
        ("", 64, 25),
        ("user:123", 64, 48),
        ("user:123", 65536, 48),
        ("Schlüssel", 64, 54),
        ("a", 1, 0),
        ("key-999", 1000, 834),
    ];

    #[test]
    fn an_unknown_mapping_is_refused() {
        assert!(config(64).check().is_ok());
        assert!(config(0).check().is_err());
        let other = HashConfig {
            algorithm: "xxh3".into(),
            ..config(64)
        };
        assert!(other.check().unwrap_err().to_string().contains("xxh3"));
    }
}
