//! The keys that are derived from the cluster's secret, one for each use (HKDF, RFC 5869).
//!
//! The cluster's name is the salt, so the same secret in two clusters gives different keys. What is derived for one use says
//! nothing about the others: a token for reading proves nothing to peers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ring::{hkdf, hmac};
use serde::{Serialize, Serializer};

/// How a key is named where it is in use: a part of a value derived from it, from which nothing else follows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KEY_ID_LEN]);

const KEY_ID_LEN: usize = 4;

impl KeyId {
    /// The id with this text.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 2 * KEY_ID_LEN || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        {
            return None;
        }
        let number = u32::from_str_radix(text, 16).ok()?;
        Some(KeyId(number.to_be_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The keys of one secret.
pub struct ClusterKeys {
    id: KeyId,
    /// Proves the dialling end to the other one. Two keys, so that an answer is never a proof of the one who asks.
    pub(super) proof_of_caller: hmac::Key,
    /// Proves the end that was dialled.
    pub(super) proof_of_server: hmac::Key,
    /// From which the keys of a connection's frames are derived.
    pub(super) frames: hkdf::Prk,
    pub(super) http_read: hmac::Key,
    pub(super) http_operate: hmac::Key,
    connections: AtomicUsize,
    requests: AtomicU64,
}

/// How much a key of the cluster's secret is used on a node. An old one can go once no node uses it, and no client has a token
/// of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyUse {
    /// The id of the key.
    pub key_id: KeyId,
    /// The connections of peers under it that the node serves now.
    pub connections: usize,
    /// The requests of HTTP clients with a token of it since the node took the key.
    pub requests: u64,
}

impl fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterKeys")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The length of a derived value, for HKDF.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Derives a value. Its length is far below HKDF's limit of 255 hashes, so there is always one.
pub(super) fn derive<const N: usize>(prk: &hkdf::Prk, info: &[&[u8]]) -> [u8; N] {
    let mut value = [0; N];
    let filled = prk.expand(info, Length(N)).and_then(|okm| okm.fill(&mut value));
    debug_assert!(filled.is_ok(), "{N} bytes are within HKDF's limit");
    value
}

impl ClusterKeys {
    /// The keys of this secret in the cluster of this name.
    pub fn new(cluster: &str, secret: &str) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, cluster.as_bytes()).extract(secret.as_bytes());
        let key = |label: &str| hmac::Key::new(hmac::HMAC_SHA256, &derive::<32>(&prk, &[label.as_bytes()]));
        ClusterKeys {
            id: KeyId(derive(&prk, &[b"clusterkit/1 key id"])),
            proof_of_caller: key("clusterkit/1 peer: proof of the caller"),
            proof_of_server: key("clusterkit/1 peer: proof of the server"),
            frames: hkdf::Prk::new_less_safe(
                hkdf::HKDF_SHA256,
                &derive::<32>(&prk, &[b"clusterkit/1 peer: frames"]),
            ),
            http_read: key("clusterkit/1 http: read"),
            http_operate: key("clusterkit/1 http: operate"),
            connections: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
        }
    }

    /// How much the key is used.
    pub(super) fn present_use(&self) -> KeyUse {
        KeyUse {
            key_id: self.id.clone(),
            connections: self.connections.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
        }
    }

    /// Counts a request with a token of this key.
    pub(super) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The id of the secret in this cluster.
    pub fn id(&self) -> &KeyId {
        &self.id
    }
}

/// A connection under a key, counted for as long as this lives.
#[derive(Debug)]
pub(in crate::net) struct CountedConnection(Arc<ClusterKeys>);

impl CountedConnection {
    pub(super) fn new(keys: Arc<ClusterKeys>) -> Self {
        keys.connections.fetch_add(1, Ordering::Relaxed);
        CountedConnection(keys)
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
