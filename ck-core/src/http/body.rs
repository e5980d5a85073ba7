//! Request bodies, with a limit for each and a budget for all together.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use super::AppState;
use super::error_response::ErrorResponse;
use crate::error::ErrorCode;

/// A buffered body. It holds its part of the budget of all bodies for as long as it lives.
pub(super) struct BufferedBody {
    pub(super) bytes: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

/// Reads a body of at most `HttpLimits::max_body` bytes.
///
/// The budget is taken for what has arrived, not for what the header announces: clients that announce much and send
/// nothing hold nothing of it.
pub(super) async fn read(
    app: &AppState,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<BufferedBody, ErrorResponse> {
    let max = app.limits.max_body;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max as u64) {
        return Err(too_large(max));
    }
    let mut bytes = BytesMut::new();
    let mut total_permit: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ErrorResponse::invalid(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > max {
            return Err(too_large(max));
        }
        let more = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let permit = app
            .body_budget
            .clone()
            .try_acquire_many_owned(more)
            .map_err(|_| {
                ErrorResponse::new(
                    ErrorCode::Busy,
                    "too many request bodies are being read; try again",
                )
            })?;
        match &mut total_permit {
            Some(total) => total.merge(permit),
            None => total_permit = Some(permit),
        }
        bytes.extend_from_slice(&data);
    }
    Ok(BufferedBody {
        bytes: bytes.freeze(),
        _permit: total_permit,
    })
}

/// Reads a JSON body. A missing content type is taken for JSON, any other is refused. That also refuses HTML forms,
/// which browsers send across origins without a preflight request.
pub(super) async fn read_json<T: DeserializeOwned>(
    app: &AppState,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, ErrorResponse> {
    if let Some(given) = headers.get(header::CONTENT_TYPE)
        && !is_json(given.to_str().unwrap_or_default())
    {
        return Err(ErrorResponse::invalid(format!(
            "Content-Type is {given:?}; it has to be application/json"
        ))
        .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let buffered = read(app, headers, body).await?;
    // The parser's message ends with line and column.
    serde_json::from_slice(&buffered.bytes)
        .map_err(|error| ErrorResponse::invalid(format!("the JSON body cannot be read: {error}")))
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn too_large(max: usize) -> ErrorResponse {
    ErrorResponse::new(
        ErrorCode::TooLarge,
        format!("a request body has at most {max} bytes"),
    )
}
