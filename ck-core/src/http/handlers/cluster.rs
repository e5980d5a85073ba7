//! The cluster, its nodes and its partitions.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

use super::freshen;
use crate::env;
use crate::error::ErrorCode;
use crate::http::conditional::has_revision;
use crate::http::failure::Failure;
use crate::http::params::Query;
use crate::http::respond::{Answered, at, etag, large, not_modified};
use crate::http::{Ctx, KeyLocation};
use crate::model::{Cluster, Node, PartitionRecord};

const MAX_PAGE: u32 = 1000;
const DEFAULT_PAGE: u32 = 50;
/// Far beyond any cluster; an offset behind the last node gives an empty page.
const MAX_OFFSET: u32 = 1_000_000;

/// How a client computes the partition of a key by itself. A published contract: it never changes.
#[derive(Serialize)]
struct HashConfig {
    algorithm: &'static str,
    encoding: &'static str,
    modulo: u32,
    format: &'static str,
}

#[derive(Serialize)]
struct ClusterAnswer {
    hash_config: HashConfig,
    revision: u64,
    cluster: Cluster,
}

pub(crate) async fn cluster(State(ctx): State<Ctx>, headers: HeaderMap, query: Query) -> Answered {
    freshen_or_wait(&ctx, &query).await?;
    // The state may move on behind this question; then the whole answer is simply a newer one.
    let revision = ctx.api.revision();
    let mut response = if has_revision(&headers, revision) {
        not_modified(revision)
    } else {
        large(move || {
            let cluster = ctx.api.cluster();
            let revision = cluster.revision;
            let hash_config = HashConfig {
                algorithm: "md5",
                encoding: "big_endian_uint32",
                modulo: cluster.config.partition_count,
                format: "partition-%d",
            };
            let mut response = at(
                revision,
                &ClusterAnswer {
                    hash_config,
                    revision,
                    cluster,
                },
            )?;
            response.headers_mut().insert(header::ETAG, etag(revision));
            Ok(response)
        })
        .await?
    };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// With `wait`, the long poll: returns as soon as the revision exceeds it, or when the timeout has passed; the
/// answer then shows what there is, changed or not.
async fn freshen_or_wait(ctx: &Ctx, query: &Query) -> Result<(), Failure> {
    let Some(wait) = query.number("wait", 0, u64::MAX)? else {
        return freshen(ctx, query).await;
    };
    let longest = ctx.limits.max_wait;
    let timeout = query.duration("timeout", longest)?.unwrap_or(longest / 2);
    match env::timeout(timeout, ctx.api.wait_revision(wait.saturating_add(1))).await {
        Ok(outcome) => Ok(outcome.map(|_| ())?),
        Err(_) => Ok(()),
    }
}

#[derive(Serialize)]
struct NodesAnswer<'a> {
    nodes: &'a [Arc<Node>],
    total: usize,
    offset: usize,
    limit: usize,
    has_more: bool,
    next_offset: Option<usize>,
}

pub(crate) async fn nodes(State(ctx): State<Ctx>, query: Query) -> Answered {
    let limit = query.size("limit", 1, MAX_PAGE, DEFAULT_PAGE)?;
    let offset = query.size("offset", 0, MAX_OFFSET, 0)?;
    freshen(&ctx, &query).await?;
    let view = ctx.api.view();
    let nodes = view.nodes();
    let end = offset.saturating_add(limit).min(nodes.len());
    let page = nodes.get(offset..end).unwrap_or_default();
    let has_more = end < nodes.len();
    at(
        view.revision(),
        &NodesAnswer {
            nodes: page,
            total: nodes.len(),
            offset,
            limit,
            has_more,
            next_offset: has_more.then_some(end),
        },
    )
}

#[derive(Serialize)]
struct PartitionsAnswer {
    count: usize,
    partitions: Vec<PartitionRecord>,
}

pub(crate) async fn partitions(State(ctx): State<Ctx>, query: Query) -> Answered {
    freshen(&ctx, &query).await?;
    large(move || {
        let view = ctx.api.view();
        let partitions = view.list_partitions();
        at(
            view.revision(),
            &PartitionsAnswer {
                count: partitions.len(),
                partitions,
            },
        )
    })
    .await
}

pub(crate) async fn partition_stats(State(ctx): State<Ctx>, query: Query) -> Answered {
    freshen(&ctx, &query).await?;
    let view = ctx.api.view();
    at(view.revision(), &view.partition_stats())
}

#[derive(Serialize)]
struct KeyAnswer {
    key: String,
    #[serde(flatten)]
    location: KeyLocation,
}

pub(crate) async fn partition_of_key(State(ctx): State<Ctx>, query: Query) -> Answered {
    let key = query
        .text("key")?
        .filter(|key| !key.is_empty())
        .ok_or_else(|| Failure::invalid("parameter key is missing or empty: /partitions/key?key=KEY"))?;
    freshen(&ctx, &query).await?;
    let view = ctx.api.view();
    let partition = view
        .partition(key.as_bytes())
        .ok_or_else(|| Failure::new(ErrorCode::NotFound, "the cluster has no partitions yet"))?;
    let location = KeyLocation::of(&partition);
    at(view.revision(), &KeyAnswer { key, location })
}
