//! The replicated store.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;

use super::{freshen, write_timeout};
use crate::error::{Error, ErrorCode};
use crate::http::Ctx;
use crate::http::body::read;
use crate::http::conditional::{expectation, has};
use crate::http::failure::Failure;
use crate::http::params::{Query, path_tail};
use crate::http::respond::{Answered, Seen, Tag, at};
use crate::state::{Expect, MAX_KEY_BYTES, MAX_VALUE_BYTES};

const MAX_PAGE: u32 = 1000;
const DEFAULT_PAGE: u32 = 100;

pub(crate) async fn list(State(ctx): State<Ctx>, query: Query) -> Answered {
    let limit = query.size("limit", 1, MAX_PAGE, DEFAULT_PAGE)?;
    let prefix = query.text("prefix")?.unwrap_or_default();
    let after = query.text("after")?;
    freshen(&ctx, &query).await?;
    let mut seen = Seen::now(&*ctx.api);
    // One key more than asked for, to know whether there are more.
    let (revision, mut keys) = ctx.api.data_keys(&prefix, after.as_deref(), limit + 1);
    seen.revision = revision;
    let has_more = keys.len() > limit;
    keys.truncate(limit);
    let next = if has_more { keys.last().cloned() } else { None };
    seen.ok(&json!({ "count": keys.len(), "keys": keys, "has_more": has_more, "next_after": next }))
}

pub(crate) async fn get(State(ctx): State<Ctx>, uri: Uri, headers: HeaderMap, query: Query) -> Answered {
    let key = key_in(&uri)?;
    freshen(&ctx, &query).await?;
    let mut seen = Seen::now(&*ctx.api);
    let (revision, entry) = ctx.api.data(&key);
    seen.revision = revision;
    let entry = entry.ok_or_else(|| seen.failure(ErrorCode::NotFound, format!("there is no key {key:?}")))?;
    let tag = Tag::of(entry.revision);
    if has(&headers, &tag) {
        return Ok(seen.not_modified(&tag));
    }
    let mut response = Response::new(Body::from(entry.value));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::ETAG, tag.header());
    seen.label(headers);
    Ok(response)
}

#[derive(Serialize)]
struct Put<'a> {
    key: &'a str,
    revision: u64,
}

pub(crate) async fn put(State(ctx): State<Ctx>, query: Query, request: Request) -> Answered {
    let (parts, body) = request.into_parts();
    let key = key_in(&parts.uri)?;
    let timeout = write_timeout(&ctx, &query)?;
    let expect = expectation(&parts.headers)?;
    let buffered = read(&ctx, &parts.headers, body).await?;
    // The request's parts refer to the connection's buffer, which can be reused while the write is in progress.
    drop(parts);
    if buffered.bytes.len() > MAX_VALUE_BYTES {
        return Err(Failure::new(
            ErrorCode::TooLarge,
            format!(
                "a value has at most {MAX_VALUE_BYTES} bytes, this one {}",
                buffered.bytes.len()
            ),
        ));
    }
    let write = ctx
        .api
        .set_data(key.clone(), buffered.bytes.clone(), expect, timeout);
    let revision = write.await.map_err(|error| refused(error, expect))?;
    let mut response = at(revision, &Put { key: &key, revision })?;
    response
        .headers_mut()
        .insert(header::ETAG, Tag::of(revision).header());
    Ok(response)
}

pub(crate) async fn delete(State(ctx): State<Ctx>, uri: Uri, query: Query, headers: HeaderMap) -> Answered {
    let key = key_in(&uri)?;
    let timeout = write_timeout(&ctx, &query)?;
    let expect = expectation(&headers)?;
    let (revision, deleted) = ctx
        .api
        .delete_data(key.clone(), expect, timeout)
        .await
        .map_err(|error| refused(error, expect))?;
    at(
        revision,
        &json!({ "key": key, "deleted": deleted, "revision": revision }),
    )
}

fn key_in(uri: &Uri) -> Result<String, Failure> {
    let key = path_tail(uri, "/data/")?;
    if key.len() > MAX_KEY_BYTES {
        let length = key.len();
        return Err(Failure::new(
            ErrorCode::TooLarge,
            format!("a key has 1 to {MAX_KEY_BYTES} bytes, this one {length}"),
        ));
    }
    Ok(key)
}

/// HTTP has its own status, 412, for a precondition in a header that does not hold.
fn refused(error: Error, expect: Expect) -> Failure {
    let failed = error.code() == ErrorCode::Conflict && expect != Expect::Any;
    let failure = Failure::from(error);
    if failed {
        failure.with_status(StatusCode::PRECONDITION_FAILED)
    } else {
        failure
    }
}
