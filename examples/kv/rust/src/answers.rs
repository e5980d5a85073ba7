//! Answers, and what is read from requests.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::auth::Tokens;
use crate::replication::{Failure, Kv};
use crate::store::StoreError;

/// What every call is about.
pub(crate) struct AppState {
    pub(crate) kv: Arc<Kv>,
    pub(crate) tokens: Tokens,
    pub(crate) started: Instant,
}

pub(crate) type App = State<Arc<AppState>>;

/// An answer that says why not.
pub(crate) struct ApiError(StatusCode, String);

impl ApiError {
    pub(crate) fn new(status: StatusCode, why: impl Into<String>) -> Self {
        ApiError(status, why.into())
    }

    pub(crate) fn unavailable(why: impl Into<String>) -> Self {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why)
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(why) => ApiError::unavailable(why),
            Failure::Unknown(why) => {
                ApiError::new(StatusCode::GATEWAY_TIMEOUT, format!("unknown outcome: {why}"))
            }
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = json_response(self.0, &json!({ "error": self.1 }));
        if self.0 == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

pub(crate) fn ok(body: &impl serde::Serialize) -> Answer {
    Ok(json_response(StatusCode::OK, body))
}

pub(crate) fn json_response(status: StatusCode, body: &impl serde::Serialize) -> Response {
    let body = serde_json::to_vec(body).unwrap_or_default();
    raw_response(status, body.into())
}

pub(crate) fn raw_response(status: StatusCode, body: Bytes) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

pub(crate) type Answer = Result<Response, ApiError>;
pub(crate) type Body = Result<Bytes, BytesRejection>;
pub(crate) type Parameters<T> = Result<Query<T>, QueryRejection>;

pub(crate) fn whole_body(body: Body) -> Result<Bytes, ApiError> {
    body.map_err(|error| ApiError(error.status(), error.body_text()))
}

pub(crate) fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(wrong_json)
}

pub(crate) fn wrong_json(error: serde_json::Error) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, format!("wrong JSON: {error}"))
}

pub(crate) fn parameters<T>(query: Parameters<T>) -> Result<T, ApiError> {
    match query {
        Ok(Query(parameters)) => Ok(parameters),
        Err(error) => Err(ApiError::new(StatusCode::BAD_REQUEST, error.body_text())),
    }
}
