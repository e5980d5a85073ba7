//! Answers.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use super::failure::Failure;
use crate::env;
use crate::error::Error;

/// What a handler gives.
pub(super) type Answered = Result<Response, Failure>;

/// Names the revision that an answer shows at least.
pub(super) const REVISION: HeaderName = HeaderName::from_static("x-clusterkit-revision");

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

/// An answer made of replicated state, labelled with the revision that it shows at least: read the revision
/// before the state.
pub(super) fn at(revision: u64, value: &impl Serialize) -> Answered {
    let mut response = ok(value)?;
    response.headers_mut().insert(REVISION, revision.into());
    Ok(response)
}

/// An answer that shows everything there is, and may be megabytes: made off the runtime's threads, which have the peers
/// to attend to.
pub(super) async fn large(make: impl FnOnce() -> Answered + Send + 'static) -> Answered {
    match env::blocking(make).await {
        Ok(answered) => answered,
        Err(error) => Err(Error::internal(format!("make the answer: {error}")).into()),
    }
}

/// `"42"`, the strong ETag of a revision.
pub(super) fn etag(revision: u64) -> HeaderValue {
    // Digits and quotes are always a valid header value.
    HeaderValue::try_from(format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

pub(super) fn not_modified(revision: u64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().insert(header::ETAG, etag(revision));
    response
}
