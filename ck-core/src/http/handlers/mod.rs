//! The handlers: one function per route.

pub(super) mod admin;
pub(super) mod cluster;
pub(super) mod consensus;
pub(super) mod data;
pub(super) mod health;
pub(super) mod route;

use std::time::Duration;

use super::AppState;
use super::error_response::ErrorResponse;
use super::params::{Query, invalid_parameter};
use super::response::Freshness;
use crate::env;
use crate::error::{Error, ErrorCode};

/// How long a read waits for its consistency when the caller sets no timeout.
const DEFAULT_READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a write waits for its outcome when the caller sets no timeout.
const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call that changes something may take: parameter `timeout`. The deadline of the request is later
/// ([`middleware`](super::middleware)), so that the caller gets the actual reason.
fn write_timeout(app: &AppState, query: &Query) -> Result<Duration, ErrorResponse> {
    let longest = app.limits.max_wait;
    let timeout = query.duration_from("timeout", Duration::from_millis(1), longest)?;
    Ok(timeout.unwrap_or(DEFAULT_WRITE_TIMEOUT.min(longest)))
}

/// Waits until this node's state meets what the read asks for: `revision` (read your writes), `consistency` (`local` or
/// `linearizable`), and `timeout` for both together.
async fn await_consistency(app: &AppState, query: &Query) -> Result<(), ErrorResponse> {
    let timeout = query
        .duration("timeout", app.limits.max_wait)?
        .unwrap_or(DEFAULT_READ_TIMEOUT);
    let revision = query.number("revision", 0, u64::MAX)?;
    let linearizable = match query.text("consistency")?.as_deref() {
        None | Some("local") => false,
        Some("linearizable") => true,
        Some(other) => return Err(invalid_parameter("consistency", other, "local or linearizable")),
    };
    let wait = async {
        if linearizable {
            app.api.linearize().await?;
        }
        if let Some(revision) = revision {
            app.api.wait_revision(revision).await?;
        }
        Ok::<(), Error>(())
    };
    if !linearizable && revision.is_none() {
        return Ok(());
    }
    match env::timeout(timeout, wait).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(ErrorResponse::new(
            ErrorCode::Timeout,
            format!(
                "this node is at revision {} and did not get as far as asked in time",
                app.api.revision()
            ),
        )
        .with_freshness(Freshness::now(&*app.api))),
    }
}
