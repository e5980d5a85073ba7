//! What a certificate says of its holder.
//!
//! Roles and names are URIs in the certificate's subject alternative names:
//!
//! ```text
//! clusterkit://CLUSTER/peer/NODE
//! clusterkit://CLUSTER/operate/NAME
//! clusterkit://CLUSTER/read/NAME
//! ```
//!
//! `CLUSTER` and `NAME` are percent-encoded. What is read here is believed only where the certificate was verified before.

use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rustls::pki_types::CertificateDer;

use super::Role;

const URI_SCHEME: &str = "clusterkit://";
/// The longest URI that is read.
const MAX_URI_LEN: usize = 1024;
/// The most roles that one certificate gives.
const MAX_NAMES: usize = 64;

/// One URI in a certificate: what its holder may be, in which cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateName {
    /// The name of the cluster.
    pub cluster: String,
    /// What the holder may do.
    pub role: Role,
    /// The id of the node for [`Role::Peer`]; otherwise a name for the audit.
    pub name: String,
}

/// The characters of a name in a URI that are percent-encoded.
const PERCENT_ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

/// The URI of a member.
pub(in crate::net) fn peer_uri(cluster: &str, node: &str) -> String {
    CertificateName {
        cluster: cluster.to_owned(),
        role: Role::Peer,
        name: node.to_owned(),
    }
    .to_string()
}

impl fmt::Display for CertificateName {
    /// The URI, as [`CertificateName::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = utf8_percent_encode(&self.cluster, PERCENT_ENCODED);
        let name = utf8_percent_encode(&self.name, PERCENT_ENCODED);
        write!(f, "{URI_SCHEME}{cluster}/{}/{name}", self.role.name())
    }
}

impl CertificateName {
    /// Reads `clusterkit://CLUSTER/ROLE/NAME`; `None` for any other text.
    pub fn parse(uri: &str) -> Option<Self> {
        let mut parts = uri.strip_prefix(URI_SCHEME)?.split('/');
        let (Some(cluster), Some(role), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let is_plain = |part: &str| !part.is_empty() && !part.contains(['?', '#', '@']);
        if uri.len() > MAX_URI_LEN || !is_plain(cluster) || !is_plain(name) {
            return None;
        }
        let decode = |part: &str| Some(percent_decode_str(part).decode_utf8().ok()?.into_owned());
        Some(CertificateName {
            cluster: decode(cluster)?,
            role: Role::from_name(role)?,
            name: decode(name)?,
        })
    }
}

/// What a verified certificate says of its holder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CertificateIdentity {
    names: Vec<CertificateName>,
    has_cluster_uri: bool,
}

impl CertificateIdentity {
    /// What this certificate says. One that cannot be read says nothing.
    pub(in crate::net) fn of(certificate: &CertificateDer<'_>) -> Self {
        match webpki::EndEntityCert::try_from(certificate) {
            Ok(read) => CertificateIdentity::of_uris(read.valid_uri_names()),
            Err(_) => CertificateIdentity::default(),
        }
    }

    fn of_uris<'a>(uris: impl Iterator<Item = &'a str>) -> Self {
        let mut identity = CertificateIdentity::default();
        for uri in uris {
            let scheme = uri.get(..URI_SCHEME.len()).unwrap_or_default();
            // A URI that cannot be read still marks the certificate: it is never taken for one of somebody else's.
            identity.has_cluster_uri |= scheme.eq_ignore_ascii_case(URI_SCHEME);
            if identity.names.len() < MAX_NAMES {
                identity.names.extend(CertificateName::parse(uri));
            }
        }
        identity
    }

    /// Every role that it gives.
    pub fn names(&self) -> &[CertificateName] {
        &self.names
    }

    /// True for a certificate that was made for ClusterKit: it is never more than its URIs say.
    pub fn has_cluster_uri(&self) -> bool {
        self.has_cluster_uri
    }

    /// The highest role that it gives in this cluster.
    pub fn highest_in(&self, cluster: &str) -> Option<&CertificateName> {
        let here = self.names.iter().filter(|name| name.cluster == cluster);
        here.max_by_key(|name| name.role)
    }

    /// True where its holder is a member of this cluster.
    pub fn is_peer(&self, cluster: &str) -> bool {
        self.highest_in(cluster)
            .is_some_and(|name| name.role == Role::Peer)
    }

    /// True where its holder is this member of this cluster.
    pub fn is_node(&self, cluster: &str, node: &str) -> bool {
        let is_it =
            |name: &CertificateName| name.role == Role::Peer && name.cluster == cluster && name.name == node;
        self.names.iter().any(is_it)
    }
}

/// What TLS says of the other end of a connection. The default is that of a connection without TLS.
///
/// The servers of HTTP and of peers add it to every request, as an extension.
#[derive(Clone, Default)]
pub struct ConnectionIdentity {
    session: Option<Arc<TlsSession>>,
}

struct TlsSession {
    exporter: [u8; EXPORTER_LEN],
    certificate: Option<CertificateIdentity>,
}

/// The length of the value that both ends derive from a TLS session.
pub(super) const EXPORTER_LEN: usize = 32;

impl ConnectionIdentity {
    pub(super) fn new(exporter: [u8; EXPORTER_LEN], certificate: Option<CertificateIdentity>) -> Self {
        ConnectionIdentity {
            session: Some(Arc::new(TlsSession {
                exporter,
                certificate,
            })),
        }
    }

    /// True for a connection with TLS.
    pub fn is_encrypted(&self) -> bool {
        self.session.is_some()
    }

    /// What the other end's certificate says, where it has shown one. It leads to the CA, and was valid when the connection
    /// was made.
    pub fn certificate(&self) -> Option<&CertificateIdentity> {
        self.session.as_ref()?.certificate.as_ref()
    }

    /// What only the two ends of the TLS session know (RFC 9266 with a label of our own); empty without TLS.
    pub(in crate::net) fn binding(&self) -> &[u8] {
        self.session
            .as_ref()
            .map(|session| &session.exporter[..])
            .unwrap_or_default()
    }
}

impl fmt::Debug for ConnectionIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionIdentity")
            .field("is_encrypted", &self.is_encrypted())
            .field("certificate", &self.certificate())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_cluster_a_role_and_a_name() {
        let read = CertificateName::parse("clusterkit://orders%20of%2Fall/peer/node-1").unwrap();
        assert_eq!(
            (read.cluster.as_str(), read.role, read.name.as_str()),
            ("orders of/all", Role::Peer, "node-1")
        );
        assert_eq!(read.to_string(), "clusterkit://orders%20of%2Fall/peer/node-1");
        for wrong in [
            "",
            "clusterkit://",
            "clusterkit://orders",
            "clusterkit://orders/peer",
            "clusterkit://orders/peer/",
            "clusterkit:///peer/node-1",
            "clusterkit://orders/peer/node-1/more",
            "clusterkit://orders/peer/node-1?x=1",
            "clusterkit://orders/peer/node-1#x",
            "clusterkit://user@orders/peer/node-1",
            "clusterkit://orders/admin/node-1",
            "clusterkit://orders/Peer/node-1",
            "clusterkit://orders/peer/%ff",
            "CLUSTERKIT://orders/peer/node-1",
            "spiffe://orders/peer/node-1",
        ] {
            assert_eq!(CertificateName::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_highest_role_in_the_cluster_counts() {
        let uris = [
            "clusterkit://orders/read/ada",
            "clusterkit://orders/operate/ada",
            "clusterkit://other/peer/node-1",
        ];
        let identity = CertificateIdentity::of_uris(uris.into_iter());
        assert_eq!(
            identity.highest_in("orders").map(|name| name.role),
            Some(Role::Operate)
        );
        assert!(!identity.is_peer("orders") && identity.is_peer("other"));
        assert!(identity.is_node("other", "node-1") && !identity.is_node("other", "node-2"));
        assert!(!identity.is_node("orders", "ada"), "an operator is no node");
        assert_eq!(identity.highest_in("third"), None);
    }

    #[test]
    fn a_uri_that_cannot_be_read_still_marks_its_certificate() {
        for (uri, expected) in [
            ("clusterkit://orders/admin/x", true),
            ("ClusterKit://orders/peer/x", true),
            ("https://orders.example/", false),
        ] {
            let identity = CertificateIdentity::of_uris([uri].into_iter());
            assert_eq!(identity.has_cluster_uri(), expected, "{uri}");
            assert!(identity.names().is_empty());
        }
    }
}
