//! Building responses, and the headers that say which state they show.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use super::error_response::ErrorResponse;
use super::{Api, Contact};
use crate::error::{Error, ErrorCode};
use crate::model::whole_millis;

/// The result of a handler.
pub(super) type HandlerResult = Result<Response, ErrorResponse>;

/// Header with the revision that an answer shows at least.
pub(super) const REVISION_HEADER: HeaderName = HeaderName::from_static("x-clusterkit-revision");
/// Header that says whether the node knew of a leader when it answered: `true` or `false`.
const KNOWN_LEADER_HEADER: HeaderName = HeaderName::from_static("x-clusterkit-known-leader");
/// Header with the milliseconds since the node last heard of a leader; left out when it never has.
const LAST_CONTACT_HEADER: HeaderName = HeaderName::from_static("x-clusterkit-last-contact");

/// How recent the state is that an answer shows: its revision at least, and the time since the last contact with a
/// leader. Taken before the state is read, and written into the headers of the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Freshness {
    pub(super) revision: u64,
    pub(super) contact: Contact,
}

impl Freshness {
    pub(super) fn now(api: &dyn Api) -> Self {
        Freshness {
            revision: api.revision(),
            contact: api.contact(),
        }
    }

    /// True when no leader is known: the answer shows the state as of the last contact with a leader.
    pub(super) fn stale(&self) -> bool {
        !self.contact.leader_known
    }

    pub(super) fn insert_headers(&self, headers: &mut HeaderMap) {
        headers.insert(REVISION_HEADER, self.revision.into());
        let known = if self.contact.leader_known {
            "true"
        } else {
            "false"
        };
        headers.insert(KNOWN_LEADER_HEADER, HeaderValue::from_static(known));
        if let Some(age) = self.contact.last_contact {
            headers.insert(LAST_CONTACT_HEADER, whole_millis(age).into());
        }
    }

    /// Updates the age of an answer that was built for another request.
    pub(super) fn update_age_header(&self, headers: &mut HeaderMap) {
        match self.contact.last_contact {
            Some(age) => headers.insert(LAST_CONTACT_HEADER, whole_millis(age).into()),
            None => headers.remove(LAST_CONTACT_HEADER),
        };
    }

    /// A JSON answer with these headers.
    pub(super) fn json(&self, status: StatusCode, value: &impl Serialize) -> HandlerResult {
        let mut response = json(status, value)?;
        self.insert_headers(response.headers_mut());
        Ok(response)
    }

    pub(super) fn ok(&self, value: &impl Serialize) -> HandlerResult {
        self.json(StatusCode::OK, value)
    }

    /// The 304 answer for a client that has this version already.
    pub(super) fn not_modified(&self, tag: &ETag) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(header::ETAG, tag.header_value());
        self.insert_headers(response.headers_mut());
        response
    }

    /// An error with the headers of the state for which it is true.
    pub(super) fn error(self, code: ErrorCode, message: impl Into<String>) -> ErrorResponse {
        ErrorResponse::new(code, message).with_freshness(self)
    }
}

/// The entity tag of one form of an answer at one revision: `"42"`, `"42-data-stale"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ETag(String);

impl ETag {
    /// The tag of an answer that has only one form.
    pub(super) fn of(revision: u64) -> Self {
        ETag(revision.to_string())
    }

    /// The tag of the same answer in another form, if `has_form`.
    #[must_use]
    pub(super) fn with_form(mut self, form: &str, has_form: bool) -> Self {
        if has_form {
            self.0.push('-');
            self.0.push_str(form);
        }
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn header_value(&self) -> HeaderValue {
        // Digits, letters and quotes are always a valid header value.
        HeaderValue::try_from(format!("\"{}\"", self.0)).unwrap_or(HeaderValue::from_static("\"\""))
    }
}

pub(super) fn json_bytes(status: StatusCode, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> HandlerResult {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(json_bytes(status, bytes)),
        Err(error) => Err(Error::internal(format!("encode the answer: {error}")).into()),
    }
}

pub(super) fn ok(value: &impl Serialize) -> HandlerResult {
    json(StatusCode::OK, value)
}

/// The answer to a write, with its revision in a header.
pub(super) fn ok_at_revision(revision: u64, value: &impl Serialize) -> HandlerResult {
    let mut response = ok(value)?;
    response.headers_mut().insert(REVISION_HEADER, revision.into());
    Ok(response)
}
