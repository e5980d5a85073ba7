//! TLS 1.3 of a node: one certificate for both ends of its connections, and one CA for everybody else's.
//!
//! The provider of the cryptography is passed to every configuration: a library sets no default of its process. No session
//! is resumed, so a certificate is verified on every connection, under the CA of that moment.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ring::digest;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::certificate::CertificateIdentity;
use super::server_verifier::ServerVerifier;
use super::validity::Validity;
use crate::error::{Error, ErrorCode, Result};

/// The protocol that peers offer in ALPN (RFC 7301), so that their connections are told from those of clients before the
/// costly part of the handshake.
pub(super) const PEER_ALPN: &[u8] = b"clusterkit/1";
/// The protocol that clients offer, if any.
pub(super) const HTTP_ALPN: &[u8] = b"http/1.1";
/// Peers and clients of this project's speak these; a server that has no protocol in common refuses the handshake.
const PEER_OFFER: [&[u8]; 2] = [PEER_ALPN, HTTP_ALPN];

/// The cryptography of every TLS connection.
pub(super) fn provider() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    let provider = rustls::crypto::ring::default_provider();
    Arc::new(provider)
}

/// The contents of the three files of a node, as PEM.
#[derive(Clone)]
pub struct TlsPem {
    /// The node's certificate, and what leads from it to the CA.
    pub cert: Vec<u8>,
    /// The private key of the certificate.
    pub key: Vec<u8>,
    /// The certificates of the authority.
    pub ca: Vec<u8>,
}

impl fmt::Debug for TlsPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPem").finish_non_exhaustive()
    }
}

/// For whom a node's certificates have to be.
#[derive(Debug, Clone)]
pub struct TlsOwner {
    /// The name of the cluster.
    pub cluster: String,
    /// The id of the node.
    pub node: String,
    /// True where members prove that they know a secret besides. Then certificates without a URI of ClusterKit are good
    /// enough to be a server under its host name.
    pub has_secret: bool,
}

/// TLS of a node. Clones are the same.
#[derive(Clone)]
pub struct Tls {
    inner: Arc<TlsInner>,
}

struct TlsInner {
    owner: TlsOwner,
    state: ArcSwap<TlsState>,
}

/// What is in the files at one moment.
pub(super) struct TlsState {
    digest: Vec<u8>,
    pub(super) server: Arc<ServerConfig>,
    pub(super) peers: Arc<ClientConfig>,
    /// Seconds since 1970.
    expires: u64,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("expires", &self.expires())
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS with the contents of these files.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`]: a file has not in it what it should, the key is that of another certificate, the
    /// certificate does not lead to the CA, or it is for somebody else. An expired certificate is no error.
    pub fn new(owner: TlsOwner, pem: &TlsPem) -> Result<Self> {
        let state = TlsState::new(&owner, pem)?;
        Ok(Tls {
            inner: Arc::new(TlsInner {
                owner,
                state: ArcSwap::from_pointee(state),
            }),
        })
    }

    /// The same with a certificate that is not this node's, as a stranger has.
    #[cfg(test)]
    pub(crate) fn unchecked(owner: TlsOwner, pem: &TlsPem) -> Self {
        let state = TlsState::unchecked(&owner, pem, 0).unwrap();
        let state = ArcSwap::from_pointee(state);
        let inner = Arc::new(TlsInner { owner, state });
        Tls { inner }
    }

    /// Takes these contents instead, for connections from now on. Returns whether that changed anything.
    ///
    /// # Errors
    /// As [`Tls::new`]; then everything stays as it is.
    pub fn replace(&self, pem: &TlsPem) -> Result<bool> {
        if self.state().digest == digest_of(pem) {
            return Ok(false);
        }
        let state = TlsState::new(&self.inner.owner, pem)?;
        self.inner.state.store(Arc::new(state));
        Ok(true)
    }

    /// When the node's certificate expires, in seconds since 1970.
    pub fn expires(&self) -> u64 {
        self.state().expires
    }

    /// How many seconds the node's certificate is still valid; negative once it has expired.
    pub fn seconds_left(&self) -> i64 {
        let signed = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        signed(self.expires()).saturating_sub(signed(crate::env::wall_now().as_secs()))
    }

    pub(super) fn state(&self) -> Arc<TlsState> {
        self.inner.state.load_full()
    }
}

impl TlsState {
    fn new(owner: &TlsOwner, pem: &TlsPem) -> Result<Self> {
        let roots = roots_of("tls.ca", &pem.ca)?;
        let chain = chain_of("tls.cert", &pem.cert)?;
        let expires = check_own(owner, &chain, &roots, &provider())?;
        TlsState::unchecked(owner, pem, expires)
    }

    fn unchecked(owner: &TlsOwner, pem: &TlsPem, expires: u64) -> Result<Self> {
        let provider = provider();
        let roots = Arc::new(roots_of("tls.ca", &pem.ca)?);
        let chain = chain_of("tls.cert", &pem.cert)?;
        let key = || key_of("tls.key", &pem.key);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            // HTTP clients may show a token instead. What a connection may do without a certificate is decided later.
            .allow_unauthenticated()
            .build()
            .map_err(|error| invalid("tls.ca", &error))?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| invalid("tls.cert", &error))?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.clone(), key()?)
            .map_err(|error| invalid("tls.cert and tls.key", &error))?;
        server.alpn_protocols = PEER_OFFER.map(<[u8]>::to_vec).into();
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let verifier = ServerVerifier::new(roots, &provider, Some(owner.cluster.clone()), owner.has_secret);
        let mut peers = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| invalid("tls.cert", &error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(chain, key()?)
            .map_err(|error| invalid("tls.cert and tls.key", &error))?;
        peers.alpn_protocols = PEER_OFFER.map(<[u8]>::to_vec).into();
        peers.resumption = Resumption::disabled();
        Ok(TlsState {
            digest: digest_of(pem),
            server: Arc::new(server),
            peers: Arc::new(peers),
            expires,
        })
    }
}

/// Checks that the other members could accept a certificate of this node, but for the time. Returns when it expires.
fn check_own(
    owner: &TlsOwner,
    chain: &[CertificateDer<'static>],
    roots: &RootCertStore,
    provider: &CryptoProvider,
) -> Result<u64> {
    let (first, rest) = chain.split_first().ok_or_else(|| no_certificate("tls.cert"))?;
    let validity = Validity::of(first).ok_or_else(|| invalid("tls.cert", &"its dates cannot be read"))?;
    let now = UnixTime::now().as_secs();
    // Whether it is valid now is for the warnings: a file that was replaced late is better than none.
    let at = now.clamp(validity.not_before, validity.not_after.max(validity.not_before));
    let parsed = ParsedCertificate::try_from(first).map_err(|error| invalid("tls.cert", &error))?;
    rustls::client::verify_server_cert_signed_by_trust_anchor(
        &parsed,
        roots,
        rest,
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(at)),
        provider.signature_verification_algorithms.all,
    )
    .map_err(|error| invalid("tls.cert", &format!("it does not lead to tls.ca: {error}")))?;
    let identity = CertificateIdentity::of(first);
    let (cluster, node) = (&owner.cluster, &owner.node);
    let is_needed = identity.has_cluster_uri() || !owner.has_secret;
    if is_needed && !identity.is_node(cluster, node) {
        return Err(invalid(
            "tls.cert",
            &format!(
                "it is not that of node {node:?} in cluster {cluster:?}: its subject alternative names need the URI {}",
                super::peer_uri(cluster, node)
            ),
        ));
    }
    Ok(validity.not_after)
}

fn digest_of(pem: &TlsPem) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [&pem.cert, &pem.key, &pem.ca] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

/// The certificates in a PEM file.
pub(super) fn chain_of(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<std::result::Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if chain.is_empty() => Err(no_certificate(what)),
        Ok(chain) => Ok(chain),
        Err(error) => Err(invalid(what, &format!("it is no PEM: {error}"))),
    }
}

/// The private key in a PEM file.
pub(super) fn key_of(what: &str, pem: &[u8]) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        // Nothing of the file is shown.
        use rustls::pki_types::pem::Error as PemError;
        let problem = match error {
            PemError::NoItemsFound => "there is no private key in it that is not encrypted",
            _ => "it is no PEM",
        };
        invalid(what, &problem)
    })
}

/// The certificates of a CA.
pub(super) fn roots_of(what: &str, pem: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in chain_of(what, pem)? {
        roots.add(certificate).map_err(|error| invalid(what, &error))?;
    }
    Ok(roots)
}

fn no_certificate(what: &str) -> Error {
    invalid(what, &"there is no certificate in it")
}

pub(super) fn invalid(what: &str, problem: &dyn fmt::Display) -> Error {
    Error::new(ErrorCode::InvalidOption, format!("{what}: {problem}"))
}
