//! What the other members do: the protocol of `../README.md`.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::answers::{
    Answer, ApiError, App, Body, Parameters, json_response, ok, parameters, parse, whole_body,
};
use crate::peers::{Check, CopyAnswer, Fence, Finish, PAGE_ROWS, PageAnswer, Replicate};
use crate::replication::Kv;
use crate::store::{CopyState, StoreError};

/// Lets only those through who show a member's token, where the cluster has a secret.
pub(crate) async fn only(State(app): App, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION);
    if app.tokens.accept(shown.map(|value| value.as_bytes())) {
        return next.run(request).await;
    }
    ApiError::new(StatusCode::UNAUTHORIZED, "only members may call this").into_response()
}

/// 200 with what is known of the copy, or 409 with it where the copy refuses.
fn copy_answer(done: Result<CopyState, StoreError>) -> Answer {
    match done {
        Ok(state) => ok(&CopyAnswer::from(state)),
        Err(StoreError::Refused(state)) => Ok(json_response(StatusCode::CONFLICT, &CopyAnswer::from(state))),
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn replicate(State(app): App, body: Body) -> Answer {
    let body: Replicate = parse(&whole_body(body)?)?;
    known(&app.kv, body.partition)?;
    let merge = app
        .kv
        .store
        .run(move |copies| copies.merge(body.partition, body.epoch, &body.rows));
    copy_answer(merge.await)
}

pub(crate) async fn fence(State(app): App, body: Body) -> Answer {
    let body: Fence = parse(&whole_body(body)?)?;
    known(&app.kv, body.partition)?;
    let fence = app
        .kv
        .store
        .run(move |copies| match copies.fence(body.partition, body.epoch)? {
            _ if body.pending => copies.set_whole(body.partition, false),
            state => Ok(state),
        });
    copy_answer(fence.await)
}

pub(crate) async fn finish(State(app): App, body: Body) -> Answer {
    let body: Finish = parse(&whole_body(body)?)?;
    known(&app.kv, body.partition)?;
    match app.kv.finish(body).await? {
        Ok(copy) => ok(&copy),
        Err(copy) => Ok(json_response(StatusCode::CONFLICT, &copy)),
    }
}

pub(crate) async fn check(State(app): App, body: Body) -> Answer {
    let body: Check = parse(&whole_body(body)?)?;
    known(&app.kv, body.partition)?;
    copy_answer(app.kv.check(body).await)
}

/// A partition that a member names exists: they are numbered from 0, and their number never changes.
fn known(kv: &Kv, number: u32) -> Result<(), ApiError> {
    match kv.node.view().partition_count() {
        0 => Err(ApiError::unavailable("this node is no member yet")),
        count if number < count => Ok(()),
        _ => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            format!("there is no partition-{number}"),
        )),
    }
}

#[derive(Deserialize)]
pub(crate) struct PageQuery {
    partition: String,
    #[serde(default)]
    after: String,
    limit: Option<usize>,
}

pub(crate) async fn migrate(State(app): App, query: Parameters<PageQuery>) -> Answer {
    let PageQuery {
        partition,
        after,
        limit,
    } = parameters(query)?;
    let number = partition.strip_prefix("partition-").unwrap_or(&partition).parse();
    let number =
        number.map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "partition is partition-3, or 3"))?;
    known(&app.kv, number)?;
    let limit = limit.unwrap_or(PAGE_ROWS).clamp(1, 2 * PAGE_ROWS);
    // Asked before and after: nothing of an earlier epoch is missing in what is read between.
    let before = app.kv.epoch_served(number);
    let page = app
        .kv
        .store
        .run(move |copies| copies.page(number, &after, limit))
        .await?;
    let epoch = before.filter(|_| before == app.kv.epoch_served(number));
    ok(&PageAnswer::new(format!("partition-{number}"), page, epoch))
}
