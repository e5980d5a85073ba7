//! What was changed over HTTP, or was to be, and by whom: one line in the log for each call.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::HttpPrincipal;
use crate::env;
use crate::error::ErrorCode;
use crate::http::params::Query;
use crate::http::response::REVISION_HEADER;
use crate::http::routes::Route;
use crate::logger::Logger;
use crate::model::Timestamp;
use crate::net::KeyId;

/// The longest target that is written, in characters: longer than any key and any id.
const MAX_TARGET_CHARS: usize = 1100;

/// What a call was about, for handlers that find it in the request's body. An extension of each request that is audited.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct AuditTarget(Arc<Mutex<Option<String>>>);

impl AuditTarget {
    /// Sets what the call is about.
    pub(in crate::http) fn set(&self, target: &str) {
        *self.0.lock() = Some(target.to_owned());
    }
}

/// One call in the audit, as it is written.
#[derive(Debug, Serialize)]
pub(crate) struct AuditLine<'a> {
    pub(crate) time: Timestamp,
    /// Who made the call: the name of a token, or a node.
    pub(crate) principal: &'a str,
    pub(crate) role: &'a str,
    pub(crate) key_id: Option<&'a KeyId>,
    /// Where the call came from, where that is known.
    pub(crate) address: Option<String>,
    pub(crate) call: &'a str,
    pub(crate) target: Option<&'a str>,
    /// The status of the answer over HTTP; `None` where there was none.
    pub(crate) status: Option<u16>,
    /// The code of the error; `None` where the call succeeded.
    pub(crate) error: Option<&'static str>,
    pub(crate) revision: Option<u64>,
}

/// One call in the audit. Without an outcome it is written when it is dropped: the client went away before the answer.
pub(in crate::http) struct AuditEntry {
    logger: Arc<Logger>,
    call: String,
    /// The target in the path or the query.
    target: Option<String>,
    /// The target in the body.
    body_target: AuditTarget,
    principal: HttpPrincipal,
    is_written: bool,
}

impl AuditEntry {
    pub(super) fn begin(logger: Arc<Logger>, request: &Request, route: &Route, address: SocketAddr) -> Self {
        AuditEntry {
            logger,
            call: format!("{} {}", route.method, route.path),
            target: target_of(request, route),
            body_target: AuditTarget::default(),
            principal: HttpPrincipal {
                name: String::new(),
                key_id: None,
                role: None,
                address,
            },
            is_written: false,
        }
    }

    /// Where a handler writes what the call is about.
    pub(in crate::http) fn body_target(&self) -> AuditTarget {
        self.body_target.clone()
    }

    pub(super) fn set_principal(&mut self, principal: &HttpPrincipal) {
        self.principal = principal.clone();
    }

    /// Writes the call with its outcome.
    pub(in crate::http) fn finish(mut self, response: &Response) {
        let error = response.extensions().get::<ErrorCode>().copied();
        // An error may carry the revision for which it is true; that is not one that the call made.
        let revision = response
            .headers()
            .get(REVISION_HEADER)
            .filter(|_| error.is_none());
        let revision = revision.and_then(|value| value.to_str().ok()?.parse().ok());
        self.write(Some(response.status().as_u16()), error, revision);
    }

    fn write(&mut self, status: Option<u16>, error: Option<ErrorCode>, revision: Option<u64>) {
        self.is_written = true;
        let body_target = self.body_target.0.lock().clone();
        let target = self.target.as_deref().or(body_target.as_deref());
        let line = AuditLine {
            time: env::wall_now(),
            principal: &self.principal.name,
            role: self.principal.role.map_or("none", |role| role.name()),
            key_id: self.principal.key_id.as_ref(),
            address: Some(self.principal.address.to_string()),
            call: &self.call,
            target,
            status,
            error: error.map(ErrorCode::name),
            revision,
        };
        // Without an outcome it may have been.
        let has_changed = error.is_none() && status.is_none_or(|status| status < 400);
        self.logger.audit(&line, has_changed);
    }
}

impl Drop for AuditEntry {
    fn drop(&mut self) {
        if !self.is_written {
            self.write(None, None, None);
        }
    }
}

/// What the call is about, as its path or query says.
fn target_of(request: &Request, route: &Route) -> Option<String> {
    let uri = request.uri();
    let target = match route.path.split_once('{') {
        Some((before, after)) => {
            let suffix = after.split_once('}').map_or("", |(_, suffix)| suffix);
            let raw = uri.path().strip_prefix(before)?;
            let raw = raw.strip_suffix(suffix).unwrap_or(raw);
            percent_decode_str(raw).decode_utf8_lossy().into_owned()
        }
        // The node that is to lead.
        None if route.path == "/step-down" => Query::of(uri).text("to").ok().flatten()?,
        None => return None,
    };
    Some(target.chars().take(MAX_TARGET_CHARS).collect())
}
