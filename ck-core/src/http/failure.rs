//! Errors as HTTP answers: a status and `{"error":{"code","message"}}`.

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::respond::{Seen, json_bytes};
use crate::error::{Error, ErrorCode};

/// The HTTP status of an error code. This is the only place that maps them.
///
/// A failed precondition that came in a header (`If-Match`, `If-None-Match`) is answered with 412 instead of 409.
pub const fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        // The request is wrong, and repeating it does not help.
        ErrorCode::InvalidArgument | ErrorCode::InvalidOption => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Removed => StatusCode::GONE,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        // The request conflicts with the present state.
        ErrorCode::AlreadyExists
        | ErrorCode::AlreadyStarted
        | ErrorCode::Conflict
        | ErrorCode::JoinRefused
        | ErrorCode::WrongCluster
        | ErrorCode::DuplicateNode
        | ErrorCode::ClusterMismatch
        | ErrorCode::Version
        | ErrorCode::Refused => StatusCode::CONFLICT,
        // The cluster cannot serve the request at present.
        ErrorCode::NotStarted
        | ErrorCode::Stopped
        | ErrorCode::NoLeader
        | ErrorCode::NotLeader
        | ErrorCode::LeaseExpired
        | ErrorCode::JoinFailed
        | ErrorCode::Busy => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Unreachable => StatusCode::BAD_GATEWAY,
        ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
        // The node itself is at fault.
        ErrorCode::Io
        | ErrorCode::Corrupt
        | ErrorCode::DataDirInUse
        | ErrorCode::AddressInUse
        | ErrorCode::InHook
        | ErrorCode::Forked
        | ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An error that becomes the answer to a request.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    error: Error,
    /// The state for which the error is true, if it depends on the state.
    seen: Option<Seen>,
}

impl Failure {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Error::new(code, message).into()
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Failure::new(ErrorCode::InvalidArgument, message)
    }

    /// The same error, labelled with the state for which it is true.
    pub(super) fn at(mut self, seen: Seen) -> Self {
        self.seen = Some(seen);
        self
    }

    /// The same error with another status, where HTTP has a better one than that of the code.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure {
            status: status_of(error.code()),
            error,
            seen: None,
        }
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a Error,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: &self.error,
            revision: self.seen.map(|seen| seen.revision),
        };
        // An error is a code, a string and a number; serialising that cannot fail.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = json_bytes(self.status, bytes);
        if self.status == StatusCode::SERVICE_UNAVAILABLE && self.error.is_retriable() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(seen) = self.seen {
            seen.label(response.headers_mut());
        }
        response
    }
}

pub(super) async fn unknown_path(uri: Uri) -> Failure {
    let path: String = uri.path().chars().take(200).collect();
    Failure::new(ErrorCode::NotFound, format!("there is no path {path:?}"))
}

/// The Allow header is added by the router.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Failure {
    let path: String = uri.path().chars().take(200).collect();
    let method: String = method.as_str().chars().take(20).collect();
    Failure::invalid(format!(
        "{path:?} does not take {method}; the Allow header says what it takes"
    ))
    .with_status(StatusCode::METHOD_NOT_ALLOWED)
}
