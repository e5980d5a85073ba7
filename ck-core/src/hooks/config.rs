//! The configuration of a [`Hooks`](super::Hooks), and the node that it reports to.

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

/// The node that hooks belong to: what a [`Hooks`](super::Hooks) reports to it, and asks it. Every method is called
/// outside of the hooks' own lock, on whatever thread makes a hook call or pushes events; none may block.
pub trait HookHost: Send + Sync {
    /// A gain of a copy has ended. Called at most once for each gain, with the revision of its event. May be called by
    /// the push of an event, under the lock of the applied state: it must not read that state.
    fn copied(&self, change: &PartitionChangeEvent, revision: u64, outcome: CopyOutcome);

    /// A call of a hook has failed.
    fn failed(&self, failure: HookFailure);

    /// Which nodes hold the data of a partition that this node gained, as of now. The number is the revision of the
    /// event.
    fn holders(&self, change: &PartitionChangeEvent, revision: u64) -> Holders {
        let _ = (change, revision);
        Holders::AsTold
    }
}

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
    /// The node that the hooks belong to.
    pub host: Arc<dyn HookHost>,
}

impl HooksConfig {
    /// A configuration with 50 concurrent partition changes, a high-water mark of 1024 events and an idle time of 10 s.
    pub fn new(node_id: NodeId, driver: Driver, host: Arc<dyn HookHost>) -> Self {
        HooksConfig {
            node_id,
            driver,
            concurrency: 50,
            high_water: 1024,
            thread_idle: Duration::from_secs(10),
            host,
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
