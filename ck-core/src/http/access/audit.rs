//! What was changed, or was to be, and by whom: one line in the log for each call.
//!
//! A line is `audit ` and one JSON object. It has names and outcomes, never values, tokens or parameters. It is pure ASCII,
//! so that a name with a line break or a terminal's control codes in it is shown and does nothing.

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

#[derive(Serialize)]
struct Line<'a> {
    time: Timestamp,
    principal: &'a str,
    role: &'a str,
    key_id: Option<String>,
    address: String,
    call: &'a str,
    target: Option<&'a str>,
    /// The status of the answer; `None` where there was none.
    status: Option<u16>,
    /// The code of the error; `None` where the call succeeded.
    error: Option<&'static str>,
    revision: Option<u64>,
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
        let line = Line {
            time: env::wall_now(),
            principal: &self.principal.name,
            role: self.principal.role.map_or("none", |role| role.name()),
            key_id: self.principal.key_id.as_ref().map(ToString::to_string),
            address: self.principal.address.to_string(),
            call: &self.call,
            target,
            status,
            error: error.map(ErrorCode::name),
            revision,
        };
        // Texts, numbers and a time: serialising those cannot fail.
        let json = serde_json::to_string(&line).unwrap_or_default();
        self.logger.info(format_args!("audit {}", ascii(&json)));
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

/// The same JSON in ASCII. Characters beyond it are only in strings, where an escape means the same.
fn ascii(json: &str) -> String {
    use std::fmt::Write;

    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if matches!(character, ' '..='~') {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_ascii_and_means_the_same() {
        for text in [
            "plain",
            "\u{9b}31m",
            "\u{202e}",
            "\u{7f}",
            "\u{1f600}",
            "a\nb\"\\",
            "\0\r\u{2028}",
        ] {
            let json = ascii(&serde_json::to_string(text).unwrap());
            assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
