//! What a client says of itself.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::error::Error;
use crate::model::whole_millis;

/// How a client is connected, and how old its view may be. In JSON the fields have these names, and `last_contact` is
/// `last_contact_ms`, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ClientStatus {
    /// The address of the member that is followed at present; `None` while none is.
    pub connected: Option<String>,
    /// The id of the cluster that is followed, from its first answer on; empty before.
    pub cluster_id: String,
    /// The name of that cluster; empty before the first answer.
    pub cluster_name: String,
    /// The revision of the view; 0 before the first answer.
    pub revision: u64,
    /// True when the view may be older than the cluster by more than a moment: no member is followed, the one that is
    /// followed has lost contact with the leader, or nothing was heard for longer than a poll and its answer may take.
    /// Lookups go on all the same.
    pub is_stale: bool,
    /// The time since the last answer of a member that knew a leader; `None` before the first. While the cluster is quiet
    /// it grows up to `poll_timeout`.
    #[serde(rename = "last_contact_ms", serialize_with = "in_millis")]
    pub last_contact: Option<Duration>,
    /// What failed last, with the address; it stays when all is well again. `WRONG_CLUSTER` where another cluster answers.
    pub last_error: Option<Error>,
    /// True from [`Client::close`](crate::Client::close) on.
    pub is_closed: bool,
    /// Every address that may be asked, the given ones first.
    pub addrs: Vec<AddrStatus>,
}

#[allow(clippy::ref_option, reason = "serde asks for a reference")]
fn in_millis<S: Serializer>(age: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    age.map(whole_millis).serialize(serializer)
}

/// What is known of one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AddrStatus {
    /// The address.
    pub addr: String,
    /// True where the options name it, false where the cluster does.
    pub is_given: bool,
    /// The number of failures since it last answered.
    pub failures: u32,
    /// Why it failed last; `None` once it has answered since, and where it was never asked.
    pub last_error: Option<Error>,
}
