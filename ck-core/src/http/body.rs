//! Request bodies, with a limit for each and a budget for all together.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use super::Ctx;
use super::failure::Failure;
use crate::error::ErrorCode;

/// A buffered body, charged to the budget of all bodies for as long as it lives.
pub(super) struct Buffered {
    pub(super) bytes: Bytes,
    _charged: Option<OwnedSemaphorePermit>,
}

/// Reads a body of at most `HttpLimits::max_body` bytes.
///
/// The budget is charged for what has arrived, not for what was announced: clients that announce much and send nothing
/// hold nothing of it.
pub(super) async fn read(ctx: &Ctx, headers: &HeaderMap, mut body: Body) -> Result<Buffered, Failure> {
    let max = ctx.limits.max_body;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max as u64) {
        return Err(too_large(max));
    }
    let mut bytes = BytesMut::new();
    let mut charged: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::invalid(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > max {
            return Err(too_large(max));
        }
        let more = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let permit = ctx
            .body_budget
            .clone()
            .try_acquire_many_owned(more)
            .map_err(|_| {
                Failure::new(
                    ErrorCode::Busy,
                    "too many request bodies are being read; try again",
                )
            })?;
        match &mut charged {
            Some(charged) => charged.merge(permit),
            None => charged = Some(permit),
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Buffered {
        bytes: bytes.freeze(),
        _charged: charged,
    })
}

/// Reads a JSON body. A missing content type is taken for JSON, any other is refused. That also refuses HTML forms,
/// which browsers send across origins without a preflight request.
pub(super) async fn read_json<T: DeserializeOwned>(
    ctx: &Ctx,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Failure> {
    if let Some(given) = headers.get(header::CONTENT_TYPE)
        && !is_json(given.to_str().unwrap_or_default())
    {
        return Err(Failure::invalid(format!(
            "Content-Type is {given:?}; it has to be application/json"
        ))
        .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let buffered = read(ctx, headers, body).await?;
    // The parser's message ends with line and column.
    serde_json::from_slice(&buffered.bytes)
        .map_err(|error| Failure::invalid(format!("the JSON body cannot be read: {error}")))
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

fn too_large(max: usize) -> Failure {
    Failure::new(
        ErrorCode::TooLarge,
        format!("a request body has at most {max} bytes"),
    )
}
