//! Whether a certificate is that of the node that was dialled.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, OtherError, PeerIncompatible, RootCertStore, SignatureScheme,
};

use super::Role;
use super::certificate::CertificateIdentity;
use crate::error::{Error, ErrorCode};

/// Accepts a certificate that leads to the CA and is that of a member of the cluster, at whatever address, because those of
/// members change; or that of the host that was dialled, where this is enough. A certificate of an operator or reader is
/// never that of a server.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    algorithms: WebPkiSupportedAlgorithms,
    /// What a certificate is checked against; `None` accepts every one, for `insecure` alone.
    expected: Option<ExpectedServer>,
}

/// Who may be the server.
#[derive(Debug)]
struct ExpectedServer {
    roots: Arc<RootCertStore>,
    cluster: Option<String>,
    accepts_host_name: bool,
}

impl ServerVerifier {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        provider: &CryptoProvider,
        cluster: Option<String>,
        accepts_host_name: bool,
    ) -> Self {
        ServerVerifier {
            algorithms: provider.signature_verification_algorithms,
            expected: Some(ExpectedServer {
                roots,
                cluster,
                accepts_host_name,
            }),
        }
    }

    /// Accepts every certificate: for `insecure` alone.
    pub(super) fn accepting_all(provider: &CryptoProvider) -> Self {
        ServerVerifier {
            algorithms: provider.signature_verification_algorithms,
            expected: None,
        }
    }
}

impl ExpectedServer {
    fn check_identity(
        &self,
        certificate: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        host: &ServerName<'_>,
    ) -> Result<(), rustls::Error> {
        let identity = CertificateIdentity::of(certificate);
        if let Some(cluster) = &self.cluster
            && identity.is_peer(cluster)
        {
            return Ok(());
        }
        let is_peer_elsewhere = identity.names().iter().any(|name| name.role == Role::Peer);
        if identity.has_cluster_uri() && (self.cluster.is_some() || !is_peer_elsewhere) {
            let cluster = self.cluster.as_deref().unwrap_or("any cluster");
            return Err(refused(format!(
                "the server's certificate is not that of a member of {cluster:?}"
            )));
        }
        if !self.accepts_host_name {
            return Err(refused(
                "the server's certificate names no member of the cluster, and there is no cluster_secret with which it could \
                 prove that it is one"
                    .to_owned(),
            ));
        }
        rustls::client::verify_server_name(parsed, host)
    }
}

fn refused(message: String) -> rustls::Error {
    let error = Error::new(ErrorCode::Unauthenticated, message);
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(expected) = &self.expected else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(certificate)?;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &expected.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        expected.check_identity(certificate, &parsed, host)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
