//! Who may connect, and how both ends of a connection prove it.
//!
//! - [`ClusterKeys`] are derived from the cluster's secret, for one use each; a [`Keyring`] has those of one secret, or of
//!   two during a change.
//! - `proof` is the exchange by which peers prove that they know the secret, without any further round trip: it travels in the
//!   upgrade of the connection, and gives the keys of its frames.
//! - [`Token`]s are what HTTP clients show.
//! - [`LocalIdentity`] is who this node says that it is, [`Principal`] who the other end has proved to be.
//! - [`Tls`] is TLS of a node, `tls_accept` and `tls_connect` its two ends; a [`ConnectionIdentity`] is what a TLS session says
//!   of the other end, by its certificate (`certificate`, `server_verifier`).
//!
//! Everything is compared in constant time, and nothing of it is ever printed but the ids of keys.

mod certificate;
#[cfg(any(test, feature = "fuzz"))]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a fuzz target reports what it found by a panic"
)]
pub(crate) mod fuzz;
mod identity;
mod keyring;
mod keys;
mod peer_certificate;
mod proof;
mod server_verifier;
#[cfg(test)]
pub(crate) mod test_certificates;
#[cfg(test)]
mod tests;
mod tls;
mod tls_accept;
mod tls_connect;
mod token;
mod validity;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};

pub(super) use certificate::peer_uri;
pub use certificate::{CertificateIdentity, CertificateName, ConnectionIdentity};
pub use identity::{LocalIdentity, Principal};
pub use keyring::Keyring;
pub use keys::{ClusterKeys, KeyId, KeyUse};
pub(super) use proof::{CODE_LEN, Offer, PendingProof, ProvedKeys, answer};
pub use tls::{Tls, TlsOwner, TlsPem};
pub(crate) use tls_accept::Opening;
pub(crate) use tls_connect::tls_refusal;
pub use tls_connect::{BlockingTlsStream, ClientTls, ClientTlsPem};
pub use token::{Role, Token};

use super::failed_proofs::FailedProofs;
use crate::error::Result;
use crate::logger::Logger;
use crate::options::{Cidr, invalid};

/// The byte stream of a connection, such as TCP or TLS.
pub trait PeerStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> PeerStream for T {}

/// What a connection has to prove, and how this node proves itself. Clones are the same.
#[derive(Clone, Default)]
pub struct Security {
    inner: Arc<SecurityInner>,
    /// The networks in which peers may be; empty for every network.
    allowed: Arc<[Cidr]>,
    /// Who has proved nothing on this node's ports.
    failed_proofs: Arc<FailedProofs>,
}

#[derive(Default)]
struct SecurityInner {
    keyring: Option<Keyring>,
    tls: Option<Tls>,
    /// Members are given a secret or certificates one after the other.
    is_rollout: bool,
    /// Some proof is required all the same.
    requires_proof: AtomicBool,
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("keyring", &self.inner.keyring)
            .field("tls", &self.inner.tls)
            .field("accepts_unproven", &self.accepts_unproven())
            .finish()
    }
}

impl Security {
    /// No proof of anything: every program that reaches the port is taken for what it says.
    pub fn none() -> Self {
        Security::default()
    }

    /// Peers prove that they know a secret of this keyring. With `accepts_unproven` those without a proof are accepted as
    /// well, for as long as the members of a running cluster are given the secret.
    pub fn with_keyring(keyring: Keyring, accepts_unproven: bool) -> Self {
        Security::new(Some(keyring), None, accepts_unproven)
    }

    /// Peers prove that they know a secret of the keyring, where there is one; and connections speak TLS, where there is that.
    /// With TLS and no keyring, peers prove by their certificates which nodes they are. With `accepts_unproven` those without
    /// a proof, and without TLS, are accepted as well.
    pub fn new(keyring: Option<Keyring>, tls: Option<Tls>, accepts_unproven: bool) -> Self {
        Security {
            inner: Arc::new(SecurityInner {
                keyring,
                tls,
                is_rollout: accepts_unproven,
                requires_proof: AtomicBool::new(false),
            }),
            allowed: Arc::default(),
            failed_proofs: Arc::default(),
        }
    }

    /// The same, for the ports of a node with this log. What proves nothing there is counted anew.
    pub(crate) fn logging_to(self, logger: Arc<Logger>) -> Self {
        Security {
            failed_proofs: Arc::new(FailedProofs::logging_to(logger)),
            ..self
        }
    }

    /// Who has proved nothing.
    pub(crate) fn failed_proofs(&self) -> &FailedProofs {
        &self.failed_proofs
    }

    /// The same, and peers are dialled only at addresses in these networks. Names are checked by the address that is dialled,
    /// whatever they resolved to before.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`](crate::ErrorCode::InvalidOption) for a text that is no network.
    pub fn within(self, networks: &[String]) -> Result<Self> {
        let parse = |text: &String| {
            text.parse()
                .map_err(|()| invalid("allowed_cidrs", text, "is no network, such as 10.0.0.0/8"))
        };
        Ok(Security {
            allowed: networks.iter().map(parse).collect::<Result<_>>()?,
            ..self
        })
    }

    /// True when a peer may be dialled at this address.
    pub(super) fn may_dial(&self, address: IpAddr) -> bool {
        self.allowed.is_empty() || self.allowed.iter().any(|network| network.contains(address))
    }

    /// TLS, if it is spoken.
    pub fn tls(&self) -> Option<&Tls> {
        self.inner.tls.as_ref()
    }

    /// The keys from the cluster's secret, if it has one.
    pub fn keyring(&self) -> Option<&Keyring> {
        self.inner.keyring.as_ref()
    }

    /// True while a connection that was made with this key, or with none, may be used.
    pub(super) fn admits(&self, key_id: Option<&KeyId>) -> bool {
        match (self.keyring(), key_id) {
            (Some(keyring), Some(id)) => keyring.has(id),
            _ => true,
        }
    }

    /// True when connections without a proof are accepted: there is nothing to prove, or not yet for everybody.
    pub fn accepts_unproven(&self) -> bool {
        let has_nothing_to_prove = self.inner.keyring.is_none() && self.inner.tls.is_none();
        has_nothing_to_prove || self.inner.is_rollout && !self.inner.requires_proof.load(Ordering::Acquire)
    }

    /// True when connections without TLS are accepted: there is none, or not yet everywhere.
    pub(super) fn accepts_plain(&self) -> bool {
        self.inner.tls.is_none() || self.inner.is_rollout
    }

    /// Accepts no connection without any proof from now on, where there is something to prove. In a rollout one of the two
    /// proofs is enough: a cluster with a secret can be given TLS, and one with certificates a secret.
    pub fn require_proof(&self) {
        self.inner.requires_proof.store(true, Ordering::Release);
    }
}
