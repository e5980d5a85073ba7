//! What a handle of hooks needs to know, and whom it tells what it finds out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::types::HookFailure;
use crate::model::{Node, NodeId, PartitionChangeEvent};

/// Is told, once for each, that this node holds a partition that it gained; the number is the revision of the event. The
/// flag is true where a hook that copies said so, false where there is none. Called on whatever thread found out, the one
/// that pushes included: it must not block.
pub type OnCopied = Arc<dyn Fn(&PartitionChangeEvent, u64, bool) + Send + Sync>;

/// Who has the data of a partition that this node gained.
#[derive(Debug, Clone)]
pub enum Holders {
    /// Whoever the event names.
    AsTold,
    /// These nodes; none of them where there is nothing to copy, because this node itself has the data.
    Nodes(Vec<Arc<Node>>),
    /// Nobody who is up. This node is told anew when somebody is.
    Nobody,
}

/// Says who has the data of a partition that this node gained, now; the number is the revision of the event. Called on
/// whatever thread makes the call, outside of every lock; it must not block.
pub type HoldersNow = Arc<dyn Fn(&PartitionChangeEvent, u64) -> Holders + Send + Sync>;

/// Is told of each failed call. Called outside of every lock; it must not block for long.
pub type OnFailure = Arc<dyn Fn(HookFailure) + Send + Sync>;

/// Where calls run.
#[derive(Debug, Clone)]
pub enum Driver {
    /// Hooks run on threads of the handle's own, started when needed; timers and sockets of async ones are this runtime's.
    Threads(tokio::runtime::Handle),
    /// Every call is a task of the runtime in [`crate::env`], blocking hooks included: for the simulator. Events must be
    /// pushed, and hooks removed, inside that runtime.
    Tasks,
}

/// What a [`Hooks`](super::Hooks) needs to know.
#[derive(Clone)]
pub struct HooksConfig {
    /// This node: its gains are confirmed.
    pub node_id: NodeId,
    /// Where calls run.
    pub driver: Driver,
    /// At most this many partition changes are being told at a time; at least 1.
    pub concurrency: usize,
    /// With this many waiting events that are no partition changes a registration starts to coalesce them.
    pub high_water: usize,
    /// A thread that had nothing to do for so long ends, except for one.
    pub thread_idle: Duration,
    /// Who can be copied from now; without it hooks are told who could when the event came.
    pub holders: Option<HoldersNow>,
    /// Is told of confirmed copies.
    pub on_copied: OnCopied,
    /// Is told of failed calls.
    pub report: OnFailure,
}

impl HooksConfig {
    /// A configuration with 50 concurrent partition changes, a mark of 1024 events and 10 s of idleness.
    pub fn new(node_id: NodeId, driver: Driver, on_copied: OnCopied, report: OnFailure) -> Self {
        HooksConfig {
            node_id,
            driver,
            concurrency: 50,
            high_water: 1024,
            thread_idle: Duration::from_secs(10),
            holders: None,
            on_copied,
            report,
        }
    }
}

impl fmt::Debug for HooksConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HooksConfig")
            .field("node_id", &self.node_id)
            .field("driver", &self.driver)
            .field("concurrency", &self.concurrency)
            .field("high_water", &self.high_water)
            .finish_non_exhaustive()
    }
}
