//! How peers prove to each other that they know the cluster's secret, in the upgrade of their connection.
//!
//! ```text
//! caller                                          server
//!   clusterkit-proof: 1 KEYS NONCE      -->
//!                                       <--         clusterkit-proof: 1 KEY NONCE CODE
//!   32 bytes of code, then frames       -->
//! ```
//!
//! `KEYS` are the ids of the keys that the caller has, `KEY` the one that the server has taken. Each code is an HMAC over
//! everything that both ends have said: protocol, cluster, lane, nodes, Raft id, keys, nonces, and the secret of the TLS
//! session where there is one. So a code proves nothing on any other connection. The codes of the two ends are computed with
//! different keys, so none can be sent back as the other. The keys of the frames in each direction are derived from the same
//! text.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt;
use ring::{digest, hmac};
use subtle::ConstantTimeEq;

use super::{ClusterKeys, KeyId, Keyring};
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::net::Hello;
use crate::net::frame_check::{FrameCheck, FrameMac, MAC_ALGORITHM};

/// The version of this exchange.
const VERSION: &str = "1";
const NONCE_LEN: usize = 32;
/// The length of a code, in bytes.
pub(in crate::net) const CODE_LEN: usize = 32;

type Nonce = [u8; NONCE_LEN];

fn nonce() -> Nonce {
    // The generator of rand is a cipher, seeded by the system; in a simulation it is the simulation's.
    let mut nonce = [0; NONCE_LEN];
    for part in nonce.chunks_mut(8) {
        let number: u64 = env::runtime::rng().random();
        part.copy_from_slice(&number.to_be_bytes()[..part.len()]);
    }
    nonce
}

/// What both ends have said of a connection.
struct Transcript<'a> {
    hello: &'a Hello,
    /// The node that was dialled.
    server: &'a str,
    /// The ids of the caller's keys, as it has sent them.
    offered: &'a str,
    key: &'a ClusterKeys,
    nonces: (&'a Nonce, &'a Nonce),
    /// What only the two ends of the TLS session know; empty without TLS.
    binding: &'a [u8],
}

impl Transcript<'_> {
    /// A hash of all of it. Every field comes with its length, so that no two transcripts have the same bytes.
    fn hash(&self) -> digest::Digest {
        let hello = self.hello;
        let mut context = digest::Context::new(&digest::SHA256);
        let raft_id = hello.raft_id.to_be_bytes();
        let id = self.key.id().to_string();
        for field in [
            &b"clusterkit/1 proof"[..],
            VERSION.as_bytes(),
            hello.cluster.as_bytes(),
            hello.lane.name().as_bytes(),
            hello.node.as_bytes(),
            &raft_id,
            self.server.as_bytes(),
            self.offered.as_bytes(),
            id.as_bytes(),
            &self.nonces.0[..],
            &self.nonces.1[..],
            self.binding,
        ] {
            context.update(&(field.len() as u64).to_be_bytes());
            context.update(field);
        }
        context.finish()
    }
}

/// The keys of a connection whose other end has proved itself.
#[derive(Debug)]
pub(in crate::net) struct ProvedKeys {
    /// The key of the keyring that was used.
    pub(in crate::net) id: KeyId,
    /// Of the frames that the caller sends.
    pub(in crate::net) from_caller: FrameCheck,
    /// Of the frames that the server sends.
    pub(in crate::net) from_server: FrameCheck,
}

impl ProvedKeys {
    fn new(key: &ClusterKeys, hash: &digest::Digest, binding: &[u8]) -> Result<Self> {
        let check = |label: &str| {
            if !binding.is_empty() {
                // The proof holds on this TLS session only, and TLS does for its records what a code does for frames.
                return Ok(FrameCheck::Checksum);
            }
            let info = [label.as_bytes(), hash.as_ref()];
            let key = key.frames.expand(&info, MAC_ALGORITHM);
            let key = key.map_err(|_| Error::internal("a key of frames is within HKDF's limit"))?;
            Ok(FrameCheck::Mac(Box::new(FrameMac::new(key.into()))))
        };
        Ok(ProvedKeys {
            id: key.id().clone(),
            from_caller: check("from the caller")?,
            from_server: check("from the server")?,
        })
    }
}

fn code(key: &hmac::Key, hash: &digest::Digest) -> [u8; CODE_LEN] {
    let mut code = [0; CODE_LEN];
    code.copy_from_slice(hmac::sign(key, hash.as_ref()).as_ref());
    code
}

/// The caller's half, between its request and the answer.
pub(in crate::net) struct Offer {
    keys: Arc<[Arc<ClusterKeys>]>,
    nonce: Nonce,
    ids: String,
}

impl Offer {
    pub(in crate::net) fn new(keyring: &Keyring) -> Self {
        let keys = keyring.keys();
        let ids: Vec<String> = keys.iter().map(|key| key.id().to_string()).collect();
        Offer {
            keys,
            nonce: nonce(),
            ids: ids.join(","),
        }
    }

    /// What the caller sends.
    pub(in crate::net) fn header(&self) -> String {
        format!("{VERSION} {} {}", self.ids, URL_SAFE_NO_PAD.encode(self.nonce))
    }

    /// Checks the server's proof. Gives the caller's code, and the keys of the connection.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`]: the server does not know the secret, or did not get what this node has sent.
    pub(in crate::net) fn check_answer(
        self,
        hello: &Hello,
        server: &str,
        header: &str,
        binding: &[u8],
    ) -> Result<([u8; CODE_LEN], ProvedKeys)> {
        let failed = || {
            unauthenticated(
                "the peer's proof is wrong: it has another cluster_secret, or something between the two changes \
                             what they send",
            )
        };
        let mut words = header.split(' ');
        let (Some(VERSION), Some(id), Some(theirs), Some(sent), None) = (
            words.next(),
            words.next(),
            words.next(),
            words.next(),
            words.next(),
        ) else {
            return Err(unauthenticated("the peer's proof cannot be read"));
        };
        let key = KeyId::parse(id).and_then(|id| self.keys.iter().find(|key| *key.id() == id));
        let (Some(key), Some(theirs), Some(sent)) =
            (key, decode::<NONCE_LEN>(theirs), decode::<CODE_LEN>(sent))
        else {
            return Err(failed());
        };
        let hash = Transcript {
            hello,
            server,
            offered: &self.ids,
            key,
            nonces: (&self.nonce, &theirs),
            binding,
        }
        .hash();
        if !bool::from(code(&key.proof_of_server, &hash).ct_eq(&sent)) {
            return Err(failed());
        }
        Ok((
            code(&key.proof_of_caller, &hash),
            ProvedKeys::new(key, &hash, binding)?,
        ))
    }
}

/// The server's half, between its answer and the caller's code.
#[derive(Debug)]
pub(in crate::net) struct PendingProof {
    expected: [u8; CODE_LEN],
    keys: ProvedKeys,
}

impl PendingProof {
    /// The keys of the connection, if the caller's code is right.
    pub(in crate::net) fn check(self, code: &[u8; CODE_LEN]) -> Option<ProvedKeys> {
        bool::from(self.expected.ct_eq(code)).then_some(self.keys)
    }
}

/// Answers a caller's offer with the first of its keys that this node has. Gives what is sent, and what the caller has to
/// prove.
///
/// # Errors
/// [`ErrorCode::Unauthenticated`] for an offer of unknown keys, or one that cannot be read; [`ErrorCode::Version`] for that of
/// another version.
pub(in crate::net) fn answer(
    keyring: &Keyring,
    hello: &Hello,
    server: &str,
    header: &str,
    binding: &[u8],
) -> Result<(String, PendingProof)> {
    let mut words = header.split(' ');
    let (Some(version), Some(ids), Some(theirs), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(unauthenticated("the proof cannot be read"));
    };
    if version != VERSION {
        return Err(Error::new(
            ErrorCode::Version,
            format!("this node proves itself in version {VERSION}, the caller in another one"),
        ));
    }
    let Some(theirs) = decode::<NONCE_LEN>(theirs) else {
        return Err(unauthenticated("the proof cannot be read"));
    };
    let keys = keyring.keys();
    let mut offered = ids.split(',').take(2).filter_map(KeyId::parse);
    let Some(key) = offered.find_map(|id| keys.iter().find(|key| *key.id() == id)) else {
        return Err(unauthenticated(
            "the keys do not agree: the two nodes have different values of cluster_secret",
        ));
    };
    let ours = nonce();
    let hash = Transcript {
        hello,
        server,
        offered: ids,
        key,
        nonces: (&theirs, &ours),
        binding,
    }
    .hash();
    let proof = code(&key.proof_of_server, &hash);
    let header = format!(
        "{VERSION} {} {} {}",
        key.id(),
        URL_SAFE_NO_PAD.encode(ours),
        URL_SAFE_NO_PAD.encode(proof)
    );
    let pending = PendingProof {
        expected: code(&key.proof_of_caller, &hash),
        keys: ProvedKeys::new(key, &hash, binding)?,
    };
    Ok((header, pending))
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

fn unauthenticated(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::Unauthenticated, message)
}
