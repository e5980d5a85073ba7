//! Building the answers.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use super::failure::Failure;
use super::{Api, Contact};
use crate::error::{Error, ErrorCode};
use crate::model::whole_millis;

/// The result of a handler.
pub(super) type Answered = Result<Response, Failure>;

/// Header with the revision that an answer shows at least.
pub(super) const REVISION: HeaderName = HeaderName::from_static("x-clusterkit-revision");
/// Header that says whether the node knew of a leader when it answered: `true` or `false`.
const KNOWN_LEADER: HeaderName = HeaderName::from_static("x-clusterkit-known-leader");
/// Header with the milliseconds since the node last heard of a leader; left out when it never has.
const LAST_CONTACT: HeaderName = HeaderName::from_static("x-clusterkit-last-contact");

/// The labels of an answer about the present state: the revision that it shows at least, and how old that is. Taken
/// before the state is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) revision: u64,
    pub(super) contact: Contact,
}

impl Seen {
    pub(super) fn now(api: &dyn Api) -> Self {
        Seen {
            revision: api.revision(),
            contact: api.contact(),
        }
    }

    /// True when no leader is known: the answer shows the state as of the last contact with a leader.
    pub(super) fn stale(&self) -> bool {
        !self.contact.leader_known
    }

    pub(super) fn label(&self, headers: &mut HeaderMap) {
        headers.insert(REVISION, self.revision.into());
        let known = if self.contact.leader_known {
            "true"
        } else {
            "false"
        };
        headers.insert(KNOWN_LEADER, HeaderValue::from_static(known));
        if let Some(age) = self.contact.last_contact {
            headers.insert(LAST_CONTACT, whole_millis(age).into());
        }
    }

    /// Labels an answer that was built for another request with its present age.
    pub(super) fn label_age(&self, headers: &mut HeaderMap) {
        match self.contact.last_contact {
            Some(age) => headers.insert(LAST_CONTACT, whole_millis(age).into()),
            None => headers.remove(LAST_CONTACT),
        };
    }

    /// A JSON answer with these labels.
    pub(super) fn json(&self, status: StatusCode, value: &impl Serialize) -> Answered {
        let mut response = json(status, value)?;
        self.label(response.headers_mut());
        Ok(response)
    }

    pub(super) fn ok(&self, value: &impl Serialize) -> Answered {
        self.json(StatusCode::OK, value)
    }

    /// The 304 answer for a client that has this version already.
    pub(super) fn not_modified(&self, tag: &Tag) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(header::ETAG, tag.header());
        self.label(response.headers_mut());
        response
    }

    /// An error labelled with the state for which it is true.
    pub(super) fn failure(self, code: ErrorCode, message: impl Into<String>) -> Failure {
        Failure::new(code, message).at(self)
    }
}

/// The entity tag of one form of an answer at one revision: `"42"`, `"42-data-stale"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    /// The tag of an answer that has only one form.
    pub(super) fn of(revision: u64) -> Self {
        Tag(revision.to_string())
    }

    /// The tag of the same answer in another form, if `it_is` in that form.
    #[must_use]
    pub(super) fn with(mut self, form: &str, it_is: bool) -> Self {
        if it_is {
            self.0.push('-');
            self.0.push_str(form);
        }
        self
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    pub(super) fn header(&self) -> HeaderValue {
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

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answered {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(json_bytes(status, bytes)),
        Err(error) => Err(Error::internal(format!("encode the answer: {error}")).into()),
    }
}

pub(super) fn ok(value: &impl Serialize) -> Answered {
    json(StatusCode::OK, value)
}

/// The answer to a write, labelled with its revision.
pub(super) fn at(revision: u64, value: &impl Serialize) -> Answered {
    let mut response = ok(value)?;
    response.headers_mut().insert(REVISION, revision.into());
    Ok(response)
}
