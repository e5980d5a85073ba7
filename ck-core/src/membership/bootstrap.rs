//! Bootstrap: founding a cluster without a special first node (`bootstrap_expect`).
//!
//! Nodes with the same configuration ask each other until as many nodes know of each other as expected. The node with
//! the smallest id then asks the others for a promise, and founds the cluster when enough of them have promised.
//!
//! Invariant, whichever node dies in between: two nodes never both have enough promises.
//! - A node promises to one founder only. The promise is durable before it is given, so a restart keeps it.
//! - A promise passes on only from a founder that has resigned: it has itself promised a node with a smaller id,
//!   durably and before it founded, so it never founds.
//! - A founder that has begun to found does not resign any more.
//!
//! So the others wait for a founder that dies: it restarts with its promise, and with its cluster where it had founded
//! one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use super::Discovery;
use crate::env::disk::Disk;
use crate::error::{Error, ErrorCode, Result};
use crate::model::NodeId;
use crate::raft::{WHAT_TO_DO, too_long_is_damage};
use crate::rpc::{Forming, Pong, ProcessTag};

/// The longest promise file that is read.
const MAX_BYTES: u64 = 64 * 1024;
const VERSION: u16 = 1;

/// This node's part in founding a cluster.
pub(crate) struct Bootstrap {
    me: NodeId,
    tag: ProcessTag,
    /// How many nodes are expected; 0 where this node may found alone, `None` where it may not found at all.
    expect: Option<u32>,
    /// Held while a promise is made, so that promises are made one after the other.
    turn: tokio::sync::Mutex<()>,
    inner: Mutex<BootstrapState>,
}

#[derive(Default)]
struct BootstrapState {
    promised: Option<NodeId>,
    /// This node founds a cluster or belongs to one: it makes no more promises.
    closed: bool,
    knows: BTreeSet<NodeId>,
    /// The founder that each other node reported to have promised to.
    promises: BTreeMap<NodeId, NodeId>,
}

/// The result of comparing this node with the other nodes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BootstrapStep {
    /// Not yet, for this reason.
    Wait(String),
    /// This node is to found the cluster, if these nodes promise it to.
    Propose(Vec<(NodeId, String)>),
    /// The nodes are configured differently.
    Disagree(Error),
}

impl Bootstrap {
    pub(crate) fn new(me: NodeId, process: u64, expect: Option<u32>) -> Self {
        Bootstrap {
            me,
            tag: ProcessTag::of(process),
            expect,
            turn: tokio::sync::Mutex::new(()),
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, BootstrapState> {
        self.inner.lock()
    }

    /// What this node reports to others; `None` on a node that may not found.
    pub(crate) fn status(&self) -> Option<Forming> {
        let expect = self.expect?;
        let inner = self.inner();
        Some(Forming {
            expect,
            knows: inner.knows.iter().cloned().collect(),
            promised: inner.promised.clone(),
        })
    }

    /// Locks what this node has promised, to change it.
    pub(crate) async fn lock_turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Whether this node may promise `founder`, which expects `expect` nodes, to let it found the cluster.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`] with the reason.
    pub(crate) fn may_promise(&self, founder: &NodeId, expect: u32) -> Result<()> {
        let refused = |why: String| Err(Error::new(ErrorCode::Refused, why));
        if self.expect != Some(expect) || expect == 0 {
            return refused(format!(
                "node {:?} expects {} nodes, node {founder:?} expects {expect}",
                self.me,
                self.expect.unwrap_or(0)
            ));
        }
        let inner = self.inner();
        if inner.closed {
            return refused(format!("node {:?} founds or joins a cluster already", self.me));
        }
        match &inner.promised {
            None => Ok(()),
            Some(promised) if promised == founder => Ok(()),
            // The promised founder has resigned in favour of a node with a smaller id, so it never founds. Where this
            // node promised itself, it may resign now.
            Some(promised)
                if founder < promised
                    && (*promised == self.me
                        || inner
                            .promises
                            .get(promised)
                            .is_some_and(|theirs| theirs < promised)) =>
            {
                Ok(())
            }
            Some(promised) => refused(format!(
                "node {:?} has promised to let node {promised:?} found the cluster",
                self.me
            )),
        }
    }

    /// Records the stored promise: this node lets `founder` found.
    pub(crate) fn promise(&self, founder: NodeId) {
        self.inner().promised = Some(founder);
    }

    /// The founder that this node has promised to.
    pub(crate) fn promised(&self) -> Option<NodeId> {
        self.inner().promised.clone()
    }

    /// From now on this node founds or belongs to a cluster.
    pub(crate) fn close(&self) {
        self.inner().closed = true;
    }

    /// The next step of a node that may found alone: it founds unless another node without a cluster has precedence.
    pub(crate) fn next_step_alone(&self, discovery: &Discovery) -> BootstrapStep {
        for (address, pong) in discovery.no_members() {
            let Some(forming) = &pong.forming else { continue };
            if forming.expect > 0 {
                return BootstrapStep::Wait(format!(
                    "node {:?} at {address} waits for {} nodes (bootstrap_expect); set bootstrap or \
                     bootstrap_expect, and the same on all nodes",
                    pong.node_id, forming.expect
                ));
            }
            if (&pong.node_id, pong.tag) < (&self.me, self.tag) {
                return BootstrapStep::Wait(format!(
                    "node {:?} at {address} is to found the cluster: bootstrap is set there too",
                    pong.node_id
                ));
            }
        }
        BootstrapStep::Propose(Vec::new())
    }

    /// The next step of a node with `bootstrap_expect`: it founds once as many nodes as expected know of each other,
    /// and its id is the smallest.
    pub(crate) fn next_step(&self, discovery: &Discovery) -> BootstrapStep {
        let expect = self.expect.unwrap_or(0);
        let mut others: BTreeMap<NodeId, (&String, &Pong, &Forming)> = BTreeMap::new();
        for (address, pong) in discovery.no_members() {
            let Some(forming) = &pong.forming else { continue };
            if forming.expect != expect {
                return BootstrapStep::Disagree(self.disagreement(expect, address, pong, forming));
            }
            if pong.node_id == self.me {
                return BootstrapStep::Wait(format!(
                    "another process of node {:?} answers at {address}; every node needs an id of its own",
                    self.me
                ));
            }
            let twin = others.insert(pong.node_id.clone(), (address, pong, forming));
            if let Some((other, twin, _)) = twin
                && twin.tag != pong.tag
            {
                return BootstrapStep::Wait(format!(
                    "two processes of node {:?} answer, at {other} and at {address}; every node needs an id of its own",
                    pong.node_id
                ));
            }
        }
        let mut knows: BTreeSet<NodeId> = others.keys().cloned().collect();
        knows.insert(self.me.clone());
        {
            let mut inner = self.inner();
            for (id, (_, _, forming)) in &others {
                match &forming.promised {
                    Some(founder) => inner.promises.insert(id.clone(), founder.clone()),
                    None => inner.promises.remove(id),
                };
            }
            inner.knows.clone_from(&knows);
        }
        let present = u32::try_from(knows.len()).unwrap_or(u32::MAX);
        if present < expect {
            return BootstrapStep::Wait(format!(
                "{present} of {expect} nodes have found each other: {knows:?}"
            ));
        }
        if let Some((id, (_, _, forming))) = others
            .iter()
            .find(|(_, (_, _, forming))| !forming.knows.iter().eq(knows.iter()))
        {
            return BootstrapStep::Wait(format!(
                "node {id:?} knows of {:?}, this node of {knows:?}",
                forming.knows
            ));
        }
        match knows.first() {
            Some(first) if *first != self.me => BootstrapStep::Wait(format!(
                "{knows:?} have found each other; {first:?} is to found the cluster"
            )),
            _ if !discovery.found_no_cluster() => {
                BootstrapStep::Wait("not every address has said that there is no cluster".to_owned())
            }
            _ => BootstrapStep::Propose(
                others
                    .into_iter()
                    .map(|(id, (address, ..))| (id, address.clone()))
                    .collect(),
            ),
        }
    }

    fn disagreement(&self, expect: u32, address: &str, pong: &Pong, forming: &Forming) -> Error {
        let theirs = match forming.expect {
            0 => "bootstrap".to_owned(),
            expect => format!("bootstrap_expect {expect}"),
        };
        Error::new(
            ErrorCode::ClusterMismatch,
            format!(
                "node {:?} has bootstrap_expect {expect}, node {:?} at {address} has {theirs}; it must be the same on \
                 all nodes",
                self.me, pong.node_id
            ),
        )
    }
}

/// A promise as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Promise {
    version: u16,
    founder: NodeId,
}

/// `promise.json` in the data directory of a node that has no cluster yet.
pub(crate) struct PromiseFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl PromiseFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        PromiseFile {
            disk,
            path: dir.join("promise.json"),
        }
    }

    /// The founder that this node has promised to, perhaps in an earlier process.
    ///
    /// # Errors
    /// [`ErrorCode::Corrupt`] when the file cannot be read, because a promise must not be forgotten;
    /// [`ErrorCode::Version`] when a newer build wrote it.
    pub(crate) fn load(&self) -> Result<Option<NodeId>> {
        let Some(bytes) = self
            .disk
            .read(&self.path, MAX_BYTES)
            .map_err(too_long_is_damage)?
        else {
            return Ok(None);
        };
        let corrupt = |why: String| {
            Error::new(
                ErrorCode::Corrupt,
                format!("{}: not a promise: {why}; {WHAT_TO_DO}", self.path.display()),
            )
        };
        let promise: Promise = serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
        if promise.version > VERSION {
            let message = format!(
                "{}: version {}; this build knows {VERSION}",
                self.path.display(),
                promise.version
            );
            return Err(Error::new(ErrorCode::Version, message));
        }
        Ok(Some(promise.founder))
    }

    /// Stores the promise durably, before another node relies on it.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn store(&self, founder: &NodeId) -> Result<()> {
        let promise = Promise {
            version: VERSION,
            founder: founder.clone(),
        };
        let bytes = serde_json::to_vec_pretty(&promise)
            .map_err(|error| Error::internal(format!("encode a promise: {error}")))?;
        self.disk.replace(&self.path, &bytes)
    }
}
