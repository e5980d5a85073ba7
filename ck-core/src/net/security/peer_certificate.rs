//! Whether a peer's certificate agrees with what it says of itself.

use super::{ConnectionIdentity, Security};
use crate::error::{Error, ErrorCode, Result};
use crate::net::Hello;

impl Security {
    /// True when a peer that says to be this node need not prove that it knows the secret.
    pub(in crate::net) fn accepts_without_secret(
        &self,
        cluster: &str,
        node: &str,
        connection: &ConnectionIdentity,
    ) -> bool {
        let is_certified = || {
            connection
                .certificate()
                .is_some_and(|known| known.is_node(cluster, node))
        };
        self.accepts_unproven() || self.inner.is_rollout && is_certified()
    }

    /// Checks the certificate of the dialling end of a peer connection. A certificate of ClusterKit has to be that of the node
    /// that the caller says to be. Without a secret there is no other proof, so one has to be there.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`], with what is wrong.
    pub(in crate::net) fn check_caller(&self, hello: &Hello, connection: &ConnectionIdentity) -> Result<()> {
        let refused = |message: String| Err(Error::new(ErrorCode::Unauthenticated, message));
        if self.tls().is_none() {
            return Ok(());
        }
        let certificate = connection.certificate();
        if let Some(certificate) = certificate.filter(|certificate| certificate.has_cluster_uri()) {
            if certificate.is_node(&hello.cluster, &hello.node) {
                return Ok(());
            }
            return refused(format!(
                "the caller says that it is node {:?} in cluster {:?}, and its certificate does not: that would need the URI {}",
                hello.node,
                hello.cluster,
                super::peer_uri(&hello.cluster, &hello.node)
            ));
        }
        if self.keyring().is_some() || self.accepts_unproven() {
            return Ok(());
        }
        refused(match certificate {
            Some(_) => format!(
                "the caller's certificate names no node: it needs the URI {}",
                super::peer_uri(&hello.cluster, &hello.node)
            ),
            None => "the caller shows no certificate: set tls.cert, tls.key and tls.ca".to_owned(),
        })
    }

    /// Checks that a peer that was dialled says the id that its certificate says. One without a URI of ClusterKit was accepted
    /// for its host name, and proves its id by the secret.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`].
    pub(in crate::net) fn check_server(
        &self,
        cluster: &str,
        node: &str,
        connection: &ConnectionIdentity,
    ) -> Result<()> {
        match connection.certificate() {
            Some(certificate) if certificate.has_cluster_uri() && !certificate.is_node(cluster, node) => {
                Err(Error::new(
                    ErrorCode::Unauthenticated,
                    format!("the peer says that it is node {node:?}, and its certificate does not"),
                ))
            }
            _ => Ok(()),
        }
    }
}
