//! Who may make which request.
//!
//! Each route has a [`Level`], each request a [`HttpPrincipal`], and the principal's role must reach the level. Where the
//! cluster has no secret, and while one is rolled out, a request without a proof may do everything.
//!
//! - `principal` finds out who makes a request.
//! - `audit` writes down who changed what, and what was refused.

mod audit;
mod principal;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use serde::Serialize;

use super::error_response::ErrorResponse;
use super::join::JoinRate;
use super::routes::Route;
use crate::error::ErrorCode;
use crate::logger::Logger;
use crate::net::{EvictionHandle, KeyId, KeyUse, Role, Security};
use crate::options::Options;

pub(crate) use audit::AuditLine;
pub(super) use audit::{AuditEntry, AuditTarget};
pub use principal::HttpPrincipal;
use principal::identify;

/// What a caller must be to make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nobody in particular.
    None,
    /// Somebody who may read what the cluster says of itself, and custom data.
    Read,
    /// Somebody who may change the cluster and custom data.
    Operate,
    /// A member of the cluster.
    Peer,
}

impl Level {
    /// The name of the level.
    pub const fn name(self) -> &'static str {
        match self.role() {
            None => "none",
            Some(role) => role.name(),
        }
    }

    /// The least role that makes calls of this level; `None` where none is needed.
    pub const fn role(self) -> Option<Role> {
        match self {
            Level::None => None,
            Level::Read => Some(Role::Read),
            Level::Operate => Some(Role::Operate),
            Level::Peer => Some(Role::Peer),
        }
    }

    /// True for the calls that change something.
    pub const fn changes(self) -> bool {
        matches!(self, Level::Operate | Level::Peer)
    }
}

/// What protects a node, for those who operate it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecurityReport {
    /// `open`: nothing, and only this machine reaches the node; `insecure`: nothing, on purpose; `secret`: who connects
    /// proves that it knows the secret; `tls`: it shows a certificate; `secret+tls`: both; `rollout`: it may.
    pub mode: &'static str,
    /// The keys that are accepted.
    pub keys: Vec<KeyUse>,
    /// The id of the key that this node uses; `None` without a secret.
    pub key_in_use: Option<KeyId>,
    /// The number of requests and peers that were refused because they proved nothing, since the node started.
    pub failed_proofs: u64,
}

/// The access to one node. What the router asks before it hands a request to a handler.
pub struct Access {
    security: Security,
    /// The name of the cluster, whose certificates count.
    cluster: String,
    /// Whether nothing is protected on purpose: option `insecure`.
    is_insecure: bool,
    reserved_data_prefix: Option<String>,
    joins: JoinRate,
    logger: Arc<Logger>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

impl Default for Access {
    /// Everything is open to everybody, and nothing is written down.
    fn default() -> Self {
        Access {
            security: Security::none(),
            cluster: String::new(),
            is_insecure: false,
            reserved_data_prefix: None,
            joins: JoinRate::default(),
            logger: Arc::default(),
        }
    }
}

impl Access {
    /// The access that these options ask for; `security` is what connections prove.
    pub(crate) fn new(options: &Options, security: Security, logger: Arc<Logger>) -> Self {
        Access {
            security,
            cluster: options.cluster_name.clone(),
            is_insecure: options.insecure,
            reserved_data_prefix: options.reserved_data_prefix.clone(),
            logger,
            ..Access::default()
        }
    }

    /// What protects the node at this moment.
    pub fn report(&self) -> SecurityReport {
        let keyring = self.security.keyring();
        let keys = keyring.map(|keyring| keyring.uses()).unwrap_or_default();
        let has_tls = self.security.tls().is_some();
        let mode = match (self.security.accepts_unproven(), keys.is_empty(), has_tls) {
            (true, true, false) if self.is_insecure => "insecure",
            (true, true, false) => "open",
            (true, _, _) => "rollout",
            (false, true, _) => "tls",
            (false, false, false) => "secret",
            (false, false, true) => "secret+tls",
        };
        SecurityReport {
            mode,
            key_in_use: keys.first().map(|key| key.key_id.clone()),
            keys,
            failed_proofs: self.security.failed_proofs().total(),
        }
    }

    /// Refuses to let an HTTP client write a key that is reserved for members, whoever the client is.
    pub(super) fn check_key(&self, key: &str) -> Result<(), ErrorResponse> {
        match &self.reserved_data_prefix {
            Some(prefix) if key.starts_with(prefix.as_str()) => Err(forbidden(format!(
                "keys that begin with {prefix:?} are written by members only (reserved_data_prefix)"
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses a join where the address that it comes from asks too often.
    pub(super) fn check_join(&self, principal: &HttpPrincipal) -> Result<(), ErrorResponse> {
        Ok(self.joins.check(principal.address.ip())?)
    }

    /// True where somebody may be told what the cluster says of itself.
    pub(super) fn may_read(&self, principal: Option<&HttpPrincipal>) -> bool {
        self.security.accepts_unproven() || principal.is_some_and(|principal| principal.role.is_some())
    }

    /// Finds out who makes a request, and whether it may. The request then has its [`HttpPrincipal`] as an extension. A
    /// request that proves nothing is answered late.
    pub(super) async fn authorize(
        &self,
        request: &mut Request,
        route: &Route,
        audit: &mut Option<AuditEntry>,
    ) -> Result<(), ErrorResponse> {
        let address = remote_address(request);
        let Some(needed) = route.level.role() else {
            // Whoever asks is answered, and who is known gets the whole answer.
            if let Ok(principal) = identify(request, address, &self.security, &self.cluster) {
                request.extensions_mut().insert(principal);
            }
            return Ok(());
        };
        let checked = self.check(request, address, needed);
        let refusal = match checked {
            Ok(principal) => {
                if let Some(audit) = audit {
                    audit.set_principal(&principal);
                }
                request.extensions_mut().insert(principal);
                return Ok(());
            }
            Err(refusal) => refusal,
        };
        // Refused calls are in the audit, reads included.
        let audit = audit.get_or_insert_with(|| self.audit(request, route));
        match refusal {
            Refusal::LowerRole(principal, had) => {
                audit.set_principal(&principal);
                Err(forbidden(format!(
                    "this call needs a token of role {}, and this one has role {}",
                    needed.name(),
                    had.name()
                )))
            }
            Refusal::NoProof(why) => {
                let eviction = request.extensions().get::<Arc<EvictionHandle>>().cloned();
                let failed = self.security.failed_proofs();
                failed
                    .delay("request", address.ip(), &why, eviction.as_deref())
                    .await;
                // The same for every reason, and without any state: nobody learns from it what was wrong.
                Err(ErrorResponse::new(
                    ErrorCode::Unauthenticated,
                    "this call needs a valid token, in the header Authorization: Bearer TOKEN",
                ))
            }
        }
    }

    fn check(&self, request: &Request, address: SocketAddr, needed: Role) -> Result<HttpPrincipal, Refusal> {
        let principal = identify(request, address, &self.security, &self.cluster)
            .map_err(|error| Refusal::NoProof(error.message().to_owned()))?;
        match principal.role {
            None if self.security.accepts_unproven() => Ok(principal),
            None => Err(Refusal::NoProof("no token".to_owned())),
            Some(role) if role >= needed => Ok(principal),
            Some(role) => Err(Refusal::LowerRole(principal, role)),
        }
    }

    /// Begins the entry of a request in the audit.
    pub(super) fn audit(&self, request: &Request, route: &Route) -> AuditEntry {
        AuditEntry::begin(self.logger.clone(), request, route, remote_address(request))
    }
}

/// Why a request is refused.
enum Refusal {
    /// It proves nothing, for this reason.
    NoProof(String),
    /// It proves too low a role.
    LowerRole(HttpPrincipal, Role),
}

fn forbidden(message: String) -> ErrorResponse {
    ErrorResponse::new(ErrorCode::Refused, message).with_status(StatusCode::FORBIDDEN)
}

/// The address of the client. The server adds it to each request.
fn remote_address(request: &Request) -> SocketAddr {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
    info.map_or_else(|| SocketAddr::from(([0; 4], 0)), |info| info.0)
}
