//! The replicated store.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;

use super::{await_consistency, write_timeout};
use crate::error::{Error, ErrorCode};
use crate::http::AppState;
use crate::http::body::read;
use crate::http::conditional::{matches_if_none_match, write_precondition};
use crate::http::error_response::ErrorResponse;
use crate::http::params::{Query, path_tail};
use crate::http::response::{ETag, Freshness, HandlerResult, ok_at_revision};
use crate::state::{Expect, MAX_KEY_BYTES, MAX_VALUE_BYTES};

const MAX_PAGE_SIZE: u32 = 1000;
const DEFAULT_PAGE_SIZE: u32 = 100;

pub(crate) async fn list(State(app): State<AppState>, query: Query) -> HandlerResult {
    let limit = query.size("limit", 1, MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE)?;
    let prefix = query.text("prefix")?.unwrap_or_default();
    let after = query.text("after")?;
    await_consistency(&app, &query).await?;
    let mut freshness = Freshness::now(&*app.api);
    // One key more than asked for, to know whether there are more.
    let (revision, mut keys) = app.api.data_keys(&prefix, after.as_deref(), limit + 1);
    freshness.revision = revision;
    let has_more = keys.len() > limit;
    keys.truncate(limit);
    let next = if has_more { keys.last().cloned() } else { None };
    freshness.ok(&json!({ "count": keys.len(), "keys": keys, "has_more": has_more, "next_after": next }))
}

pub(crate) async fn get(
    State(app): State<AppState>,
    uri: Uri,
    headers: HeaderMap,
    query: Query,
) -> HandlerResult {
    let key = key_from_path(&uri)?;
    await_consistency(&app, &query).await?;
    let mut freshness = Freshness::now(&*app.api);
    let (revision, entry) = app.api.data(&key);
    freshness.revision = revision;
    let entry =
        entry.ok_or_else(|| freshness.error(ErrorCode::NotFound, format!("there is no key {key:?}")))?;
    let tag = ETag::of(entry.revision);
    if matches_if_none_match(&headers, &tag) {
        return Ok(freshness.not_modified(&tag));
    }
    let mut response = Response::new(Body::from(entry.value));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::ETAG, tag.header_value());
    freshness.insert_headers(headers);
    Ok(response)
}

#[derive(Serialize)]
struct PutResponse<'a> {
    key: &'a str,
    revision: u64,
}

pub(crate) async fn put(State(app): State<AppState>, query: Query, request: Request) -> HandlerResult {
    let (parts, body) = request.into_parts();
    let key = key_from_path(&parts.uri)?;
    app.access.check_key(&key)?;
    let timeout = write_timeout(&app, &query)?;
    let expect = write_precondition(&parts.headers)?;
    let buffered = read(&app, &parts.headers, body).await?;
    // The request's parts refer to the connection's buffer, which can be reused while the write is in progress.
    drop(parts);
    if buffered.bytes.len() > MAX_VALUE_BYTES {
        return Err(ErrorResponse::new(
            ErrorCode::TooLarge,
            format!(
                "a value has at most {MAX_VALUE_BYTES} bytes, this one {}",
                buffered.bytes.len()
            ),
        ));
    }
    let write = app
        .api
        .set_data(key.clone(), buffered.bytes.clone(), expect, timeout);
    let revision = write.await.map_err(|error| write_error(error, expect))?;
    let mut response = ok_at_revision(revision, &PutResponse { key: &key, revision })?;
    response
        .headers_mut()
        .insert(header::ETAG, ETag::of(revision).header_value());
    Ok(response)
}

pub(crate) async fn delete(
    State(app): State<AppState>,
    uri: Uri,
    query: Query,
    headers: HeaderMap,
) -> HandlerResult {
    let key = key_from_path(&uri)?;
    app.access.check_key(&key)?;
    let timeout = write_timeout(&app, &query)?;
    let expect = write_precondition(&headers)?;
    let (revision, deleted) = app
        .api
        .delete_data(key.clone(), expect, timeout)
        .await
        .map_err(|error| write_error(error, expect))?;
    ok_at_revision(
        revision,
        &json!({ "key": key, "deleted": deleted, "revision": revision }),
    )
}

fn key_from_path(uri: &Uri) -> Result<String, ErrorResponse> {
    let key = path_tail(uri, "/data/")?;
    if key.len() > MAX_KEY_BYTES {
        let length = key.len();
        return Err(ErrorResponse::new(
            ErrorCode::TooLarge,
            format!("a key has 1 to {MAX_KEY_BYTES} bytes, this one {length}"),
        ));
    }
    Ok(key)
}

/// HTTP has its own status, 412, for a precondition in a header that does not hold.
fn write_error(error: Error, expect: Expect) -> ErrorResponse {
    let failed = error.code() == ErrorCode::Conflict && expect != Expect::Any;
    let response = ErrorResponse::from(error);
    if failed {
        response.with_status(StatusCode::PRECONDITION_FAILED)
    } else {
        response
    }
}
