//! The handlers: one function per route.

pub(super) mod admin;
pub(super) mod cluster;
pub(super) mod consensus;
pub(super) mod data;
pub(super) mod health;
pub(super) mod route;

use std::time::Duration;

use super::Ctx;
use super::failure::Failure;
use super::params::{Query, wrong};
use super::respond::Seen;
use crate::env;
use crate::error::{Error, ErrorCode};

/// How long a read waits for its revision when the caller does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);

/// How long a write waits for its outcome when the caller does not say.
const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call that changes something may take: parameter `timeout`. The deadline of the request is later
/// ([`guard`](super::guard)), so that the caller gets the actual reason.
fn write_timeout(ctx: &Ctx, query: &Query) -> Result<Duration, Failure> {
    let longest = ctx.limits.max_wait;
    let timeout = query.duration_from("timeout", Duration::from_millis(1), longest)?;
    Ok(timeout.unwrap_or(DEFAULT_WRITE_TIMEOUT.min(longest)))
}

/// Waits until this node's state is as fresh as the read requires: `revision` (read your writes), `consistency`
/// (`local` or `linearizable`), and `timeout` for both together.
async fn freshen(ctx: &Ctx, query: &Query) -> Result<(), Failure> {
    let timeout = query
        .duration("timeout", ctx.limits.max_wait)?
        .unwrap_or(DEFAULT_WAIT);
    let revision = query.number("revision", 0, u64::MAX)?;
    let linearizable = match query.text("consistency")?.as_deref() {
        None | Some("local") => false,
        Some("linearizable") => true,
        Some(other) => return Err(wrong("consistency", other, "local or linearizable")),
    };
    let wait = async {
        if linearizable {
            ctx.api.linearize().await?;
        }
        if let Some(revision) = revision {
            ctx.api.wait_revision(revision).await?;
        }
        Ok::<(), Error>(())
    };
    if !linearizable && revision.is_none() {
        return Ok(());
    }
    match env::timeout(timeout, wait).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Failure::new(
            ErrorCode::Timeout,
            format!(
                "this node is at revision {} and did not get as far as asked in time",
                ctx.api.revision()
            ),
        )
        .at(Seen::now(&*ctx.api))),
    }
}
