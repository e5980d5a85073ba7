//! Errors as HTTP answers: a status and `{"error":{"code","message"}}`.

use std::any::Any;

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::response::{Freshness, json_bytes};
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
pub(super) struct ErrorResponse {
    status: StatusCode,
    error: Error,
    /// The state for which the error is true, if it depends on the state.
    freshness: Option<Freshness>,
}

impl ErrorResponse {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Error::new(code, message).into()
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        ErrorResponse::new(ErrorCode::InvalidArgument, message)
    }

    /// The same error, labelled with the state for which it is true.
    pub(super) fn with_freshness(mut self, freshness: Freshness) -> Self {
        self.freshness = Some(freshness);
        self
    }

    /// The same error with another status, where HTTP has a better one than that of the code.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl From<Error> for ErrorResponse {
    fn from(error: Error) -> Self {
        ErrorResponse {
            status: status_of(error.code()),
            error,
            freshness: None,
        }
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a Error,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: &self.error,
            revision: self.freshness.map(|freshness| freshness.revision),
        };
        // An error is a code, a string and a number; serialising that cannot fail.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = json_bytes(self.status, bytes);
        // For the audit.
        response.extensions_mut().insert(self.error.code());
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE && self.error.is_retriable() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(freshness) = self.freshness {
            freshness.insert_headers(response.headers_mut());
        }
        response
    }
}

/// The answer in place of that of a handler that panicked. No later request uses anything that the handler leaves
/// behind, except the [`Api`](super::Api), which has to survive panics in any case.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    ErrorResponse::from(Error::internal("the handler of this request panicked")).into_response()
}

pub(super) async fn unknown_path(uri: Uri) -> ErrorResponse {
    let path: String = uri.path().chars().take(200).collect();
    ErrorResponse::new(ErrorCode::NotFound, format!("there is no path {path:?}"))
}

/// The Allow header is added by the router.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> ErrorResponse {
    let path: String = uri.path().chars().take(200).collect();
    let method: String = method.as_str().chars().take(20).collect();
    ErrorResponse::invalid(format!(
        "{path:?} does not take {method}; the Allow header says what it takes"
    ))
    .with_status(StatusCode::METHOD_NOT_ALLOWED)
}
