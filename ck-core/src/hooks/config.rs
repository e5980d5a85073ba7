//! The configuration of a [`Hooks`](super::Hooks), and the callbacks through which it reports.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::types::HookFailure;
use crate::model::{Node, NodeId, PartitionChangeEvent};

/// What became of a copy that this node gained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyOutcome {
    /// All hooks that copy have returned success: the data is here.
    Confirmed,
    /// No hook that copies is registered.
    Unheard,
    /// A hook failed, and is not called for this gain again because the node's role has changed meanwhile. The copy may
    /// count all the same, and no hook has confirmed it.
    Abandoned,
}

/// Callback: a gain of a copy has ended. Called at most once for each gain, with the revision of its event. Called on the
/// thread that finds this out, which may be the thread that pushes events: it must not block.
pub type OnCopied = Arc<dyn Fn(&PartitionChangeEvent, u64, CopyOutcome) + Send + Sync>;

/// The nodes that hold the data of a partition that this node gained.
#[derive(Debug, Clone)]
pub enum Holders {
    /// The nodes that the event names.
    AsTold,
    /// These nodes. Empty when there is nothing to copy, because this node itself holds the data.
    Nodes(Vec<Arc<Node>>),
    /// No node that is up. The hook is not called; that counts as a failed call, whose retry looks again.
    Nobody,
}

/// Callback: which nodes hold the data of a partition that this node gained, as of now. The number is the revision of
/// the event. Called on whatever thread makes the hook call, outside of every lock; it must not block.
pub type HoldersNow = Arc<dyn Fn(&PartitionChangeEvent, u64) -> Holders + Send + Sync>;

/// Callback for each failed call. Called outside of every lock; it must not block for long.
pub type OnFailure = Arc<dyn Fn(HookFailure) + Send + Sync>;

/// Where calls run.
#[derive(Debug, Clone)]
pub enum Driver {
    /// Hooks run on the handle's own threads, which are started when needed. Async hooks use the timers and sockets of
    /// this runtime.
    Threads(tokio::runtime::Handle),
    /// Every call is a task of the runtime in [`crate::env`], blocking hooks included: for the simulator. Events must
    /// be pushed, and hooks removed, inside that runtime.
    Tasks,
}

/// The configuration of a [`Hooks`](super::Hooks).
#[derive(Clone)]
pub struct HooksConfig {
    /// This node's id: gains of this node are confirmed.
    pub node_id: NodeId,
    /// Where calls run.
    pub driver: Driver,
    /// Maximum number of partition changes that are delivered at a time; at least 1.
    pub concurrency: usize,
    /// Number of waiting events other than partition changes from which on a registration coalesces them.
    pub high_water: usize,
    /// Idle time after which a thread ends; one thread stays.
    pub thread_idle: Duration,
    /// Looks up the nodes to copy from at the time of a call; without it hooks get the nodes that the event names.
    pub holders: Option<HoldersNow>,
    /// Called for each confirmed copy.
    pub on_copied: OnCopied,
    /// Called for each failed call.
    pub report: OnFailure,
}

impl HooksConfig {
    /// A configuration with 50 concurrent partition changes, a high-water mark of 1024 events and an idle time of 10 s.
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
