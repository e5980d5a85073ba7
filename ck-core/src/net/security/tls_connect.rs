//! The dialling end of TLS: peers, and the clients of the REST API.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, StreamOwned};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::{CertificateIdentity, ConnectionIdentity, EXPORTER_LEN};
use super::server_verifier::ServerVerifier;
use super::tls::{HTTP_ALPN, Tls, chain_of, invalid, key_of, provider, roots_of};
use crate::error::{Error, ErrorCode, Result};
use crate::net::Socket;

/// The label of what both ends derive from a session.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-clusterkit-peer";
/// The name that is dialled where an address has none that TLS knows. No certificate is valid for it (RFC 2606).
const NO_HOST: &str = "clusterkit.invalid";

/// What only the two ends of a session know, and what the other end's certificate says.
pub(super) fn identity_of<D>(session: &rustls::ConnectionCommon<D>) -> io::Result<ConnectionIdentity> {
    let exporter = session
        .export_keying_material([0; EXPORTER_LEN], EXPORTER_LABEL, Some(&[]))
        .map_err(io::Error::other)?;
    let certificate = session
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(CertificateIdentity::of);
    Ok(ConnectionIdentity::new(exporter, certificate))
}

/// The host of `host:port`, as a certificate may name it.
fn server_name(addr: &str) -> ServerName<'static> {
    let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    // The zone of an IPv6 address is a name of this machine's own.
    let host = host.split_once('%').map_or(host, |(host, _)| host);
    ServerName::try_from(host.to_owned())
        .or_else(|_| ServerName::try_from(NO_HOST))
        .unwrap_or_else(|_| ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()))
}

async fn connect(
    config: Arc<ClientConfig>,
    socket: Socket,
    addr: &str,
) -> Result<(TlsStream<Socket>, ConnectionIdentity)> {
    let connecting = TlsConnector::from(config).connect(server_name(addr), socket);
    let stream = connecting.await.map_err(|error| failure(&error))?;
    let identity = identity_of(stream.get_ref().1).map_err(|error| failure(&error))?;
    Ok((stream, identity))
}

impl Tls {
    /// Speaks TLS, as a peer, with the node that was dialled at `addr`.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`]: one of the two does not accept the other's certificate. [`ErrorCode::Unreachable`]: the
    /// other end speaks no TLS 1.3, or the connection broke.
    pub(in crate::net) async fn connect(
        &self,
        socket: Socket,
        addr: &str,
    ) -> Result<(TlsStream<Socket>, ConnectionIdentity)> {
        connect(self.state().peers.clone(), socket, addr).await
    }
}

/// TLS of a client of the REST API.
#[derive(Debug, Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
}

/// What a client trusts, and how it proves itself: the contents of files, as PEM, with the names of their options.
#[derive(Clone, Copy, Default)]
pub struct ClientTlsPem<'a> {
    /// A member of this cluster is the right server at whatever address. Without it, that is the cluster that the client's own
    /// certificate names; and without that a server is right only under its host name.
    pub cluster: Option<&'a str>,
    /// The authority; `None` verifies nothing, which only `insecure` may ask for.
    pub ca: Option<&'a [u8]>,
    /// The certificate and key of the client.
    pub own: Option<(&'a [u8], &'a [u8])>,
}

impl fmt::Debug for ClientTlsPem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTlsPem")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl ClientTls {
    /// TLS with the contents of these files.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`]: a file has not in it what it should.
    pub fn new(pem: ClientTlsPem<'_>) -> Result<Self> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| invalid("tls_ca", &error))?
            .dangerous();
        let own = match pem.own {
            Some((cert, key)) => Some((chain_of("tls_cert", cert)?, key_of("tls_key", key)?)),
            None => None,
        };
        let builder = match pem.ca {
            Some(ca) => {
                let roots = Arc::new(roots_of("tls_ca", ca)?);
                let named = || cluster_of(own.as_ref()?.0.first()?);
                let cluster = pem.cluster.map(str::to_owned).or_else(named);
                let verifier = ServerVerifier::new(roots, &provider, cluster, true);
                builder.with_custom_certificate_verifier(Arc::new(verifier))
            }
            None => {
                builder.with_custom_certificate_verifier(Arc::new(ServerVerifier::accepting_all(&provider)))
            }
        };
        let mut config = match own {
            Some((cert, key)) => builder
                .with_client_auth_cert(cert, key)
                .map_err(|error| invalid("tls_cert and tls_key", &error))?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP_ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(ClientTls {
            config: Arc::new(config),
        })
    }

    /// The same with another protocol in ALPN.
    #[cfg(test)]
    pub(crate) fn offering(self, protocol: &[u8]) -> Self {
        let mut config = (*self.config).clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        ClientTls {
            config: Arc::new(config),
        }
    }

    /// Speaks TLS with the node that was dialled at `addr`.
    ///
    /// # Errors
    /// As those of a peer.
    pub(crate) async fn connect(&self, socket: Socket, addr: &str) -> Result<TlsStream<Socket>> {
        Ok(connect(self.config.clone(), socket, addr).await?.0)
    }
}

/// The cluster that a certificate names, if it is one.
fn cluster_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let identity = CertificateIdentity::of(certificate);
    let (first, rest) = identity.names().split_first()?;
    let is_one = rest.iter().all(|name| name.cluster == first.cluster);
    is_one.then(|| first.cluster.clone())
}

/// A connection with TLS for a program without a runtime: reads and writes block as those of the connection below do.
pub struct BlockingTlsStream<S: Read + Write>(StreamOwned<ClientConnection, S>);

impl<S: Read + Write> fmt::Debug for BlockingTlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingTlsStream").finish_non_exhaustive()
    }
}

impl ClientTls {
    /// The same on a connection that blocks.
    ///
    /// # Errors
    /// As those of a peer; the error of the connection is among them, where it has failed.
    pub fn connect_blocking<S: Read + Write>(
        &self,
        mut stream: S,
        addr: &str,
    ) -> io::Result<BlockingTlsStream<S>> {
        let mut session =
            ClientConnection::new(self.config.clone(), server_name(addr)).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(BlockingTlsStream(StreamOwned::new(session, stream)))
    }

    /// What an error of a connection with TLS says, where TLS is what has failed.
    pub fn explain(error: &io::Error) -> Option<Error> {
        tls_error(error).map(|_| failure(error))
    }
}

impl<S: Read + Write> BlockingTlsStream<S> {
    /// The connection below.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.0.sock
    }
}

impl<S: Read + Write> Read for BlockingTlsStream<S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl<S: Read + Write> Write for BlockingTlsStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The error of a connection that failed in TLS, or was refused by an alert.
pub(in crate::net) fn failure(error: &io::Error) -> Error {
    let Some(tls) = tls_error(error) else {
        return Error::new(
            ErrorCode::Unreachable,
            format!("the connection broke in its TLS handshake: {error}"),
        );
    };
    match tls {
        rustls::Error::InvalidCertificate(problem) => Error::new(
            ErrorCode::Unauthenticated,
            format!(
                "the certificate at the other end is not accepted: {}",
                problem_for_people(problem)
            ),
        ),
        rustls::Error::NoCertificatesPresented => Error::new(
            ErrorCode::Unauthenticated,
            format!("the other end shows no certificate: {tls}"),
        ),
        rustls::Error::AlertReceived(alert) if is_about_certificate(*alert) => Error::new(
            ErrorCode::Unauthenticated,
            format!("the other end does not accept this certificate: {tls}"),
        ),
        rustls::Error::InvalidMessage(_) => Error::new(
            ErrorCode::Unreachable,
            format!("the other end speaks no TLS: {tls}"),
        ),
        _ => Error::new(
            ErrorCode::Unreachable,
            format!("TLS failed; it has to be version 1.3: {tls}"),
        ),
    }
}

/// What is wrong with a certificate. Those that this project refuses come with a message of its own.
fn problem_for_people(problem: &CertificateError) -> String {
    if let CertificateError::Other(other) = problem
        && let Some(error) = other.0.downcast_ref::<Error>()
    {
        return error.message().to_owned();
    }
    match problem {
        // An authority of the same name with another key; the name alone is not enough for anybody to be sure.
        CertificateError::BadSignature | CertificateError::UnknownIssuer => {
            "it does not lead to an authority in the CA file".to_owned()
        }
        problem => problem.to_string(),
    }
}

/// The error of TLS in an error of a stream.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// The error of a connection whose other end did not accept this end's certificate, which it says after the handshake;
/// `None` for any other.
pub(crate) fn tls_refusal(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && tls_error(io).is_some()
        {
            return Some(failure(io));
        }
        next = error.source();
    }
    None
}

fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_is_what_a_certificate_may_name() {
        for (addr, expected) in [
            ("node-1.example:8080", "node-1.example"),
            ("node_1:8080", "node_1"),
            ("10.0.0.1:8080", "10.0.0.1"),
            ("[::1]:8080", "::1"),
            ("[fe80::1%eth0]:8080", "fe80::1"),
            ("no name:8080", NO_HOST),
            ("", NO_HOST),
        ] {
            assert_eq!(server_name(addr).to_str(), expected, "{addr:?}");
        }
    }
}
