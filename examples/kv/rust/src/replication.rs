//! Writes and reads at the primary.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clusterkit::ClusterKit;
use clusterkit::model::{Node, NodeId};
use parking_lot::Mutex;
use tokio::sync::{MutexGuard, OwnedRwLockReadGuard, RwLock, mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::config::Mode;
use crate::peers::{CallError, CopyAnswer, Peer, Peers, Replicate};
use crate::store::{Row, Store, StoreError};

/// How long a client's call waits for other members.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before a call that failed is made again.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Two keys of one lock wait for each other, needlessly and seldom.
const KEY_LOCKS: usize = 1024;

/// Why a client's call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing was done: try again, here or elsewhere.
    Unavailable(String),
    /// A write may have been made, or may still be made.
    Unknown(String),
}

/// What this member knows of one partition while it runs.
pub(crate) struct Partition {
    /// Held for reading by each write; for writing while a new copy is compared, when no write may be under way.
    pub(crate) writing: Arc<RwLock<()>>,
    /// The epoch under which this node serves it: what a takeover has ended with.
    pub(crate) ready: watch::Sender<u64>,
    /// The epoch of the takeover under way.
    pub(crate) taking_over: AtomicU64,
    /// New copies that have been compared with this primary. A write waits for each of them until the view counts it.
    pub(crate) required: Mutex<BTreeSet<NodeId>>,
    /// Keys of which the last write has no quorum yet. Whoever reads one sees to that first.
    in_doubt: Mutex<BTreeSet<String>>,
    /// Held while this node copies the partition, or drops it.
    pub(crate) copying: tokio::sync::Mutex<()>,
}

impl Partition {
    fn new() -> Self {
        Partition {
            writing: Arc::default(),
            ready: watch::Sender::new(0),
            taking_over: AtomicU64::new(0),
            required: Mutex::default(),
            in_doubt: Mutex::default(),
            copying: tokio::sync::Mutex::default(),
        }
    }

    /// A takeover has ended. From the first write on these copies, which do not count yet, are waited for.
    pub(crate) fn serve(&self, epoch: u64, required: BTreeSet<NodeId>) {
        self.in_doubt.lock().clear();
        *self.required.lock() = required;
        self.ready.send_replace(epoch);
    }
}

/// Another holder of a partition.
#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) peer: Arc<Peer>,
    /// Whether the view counts its copy. One that does not count is still being made.
    pub(crate) counts: bool,
}

/// The copies of a partition on other nodes, by one view.
pub(crate) struct Holders {
    pub(crate) others: Vec<Holder>,
    /// How many copies have to have a write, the primary's own included.
    pub(crate) quorum: usize,
}

/// How many of the copies that count have to have a write. A majority; and at most half of the replication factor may miss
/// it, so that it is on a majority of the copies that are left when a move has ended and drops several at once.
pub(crate) fn quorum(copies: usize, replication_factor: usize) -> usize {
    (copies / 2 + 1).max(copies.saturating_sub(replication_factor / 2))
}

/// The server's state.
pub(crate) struct Kv {
    pub(crate) node: ClusterKit,
    pub(crate) mode: Mode,
    pub(crate) store: Store,
    pub(crate) peers: Peers,
    /// True from when this node is to end.
    pub(crate) stopping: watch::Sender<bool>,
    partitions: Mutex<Vec<Arc<Partition>>>,
    key_locks: Vec<tokio::sync::Mutex<()>>,
    key_hasher: RandomState,
}

impl Kv {
    pub(crate) fn new(node: ClusterKit, mode: Mode, store: Store, peers: Peers) -> Self {
        Kv {
            node,
            mode,
            store,
            peers,
            stopping: watch::Sender::new(false),
            partitions: Mutex::default(),
            key_locks: (0..KEY_LOCKS).map(|_| tokio::sync::Mutex::default()).collect(),
            key_hasher: RandomState::new(),
        }
    }

    /// What is known of a partition that the view has.
    pub(crate) fn partition(&self, number: u32) -> Arc<Partition> {
        let mut partitions = self.partitions.lock();
        while partitions.len() <= number as usize {
            partitions.push(Arc::new(Partition::new()));
        }
        partitions[number as usize].clone()
    }

    /// The other holders of a partition, for as long as this node is its primary under this epoch.
    pub(crate) fn holders(self: &Arc<Self>, number: u32, epoch: u64) -> Option<Holders> {
        let leased = self.node.leased_view();
        let partition = leased.view().partition_by_number(number)?;
        if !leased.is_primary(&partition) || partition.epoch() != epoch {
            return None;
        }
        let holder = |node: &Arc<Node>, counts| {
            Some(Holder {
                peer: self.peer(node)?,
                counts,
            })
        };
        let replicas = partition.replicas().filter_map(|node| holder(node, true));
        let pending = partition.pending().filter(|node| node.status.is_up());
        let pending = pending.filter_map(|node| holder(node, false));
        let factor = leased.view().topology().config.replication_factor as usize;
        Some(Holders {
            others: replicas.chain(pending).collect(),
            quorum: quorum(partition.nodes().len(), factor),
        })
    }

    /// The epoch under which this node is primary now and has taken the partition over.
    pub(crate) async fn serving_epoch(self: &Arc<Self>, number: u32) -> Result<u64, Failure> {
        let epoch = self.node.primary_epoch(number);
        let epoch = epoch.map_err(|error| Failure::Unavailable(error.to_string()))?;
        let partition = self.partition(number);
        if *partition.ready.borrow() == epoch {
            return Ok(epoch);
        }
        self.start_takeover(number, epoch);
        let mut ready = partition.ready.subscribe();
        let taken_over = timeout(WRITE_TIMEOUT, ready.wait_for(|ready| *ready >= epoch)).await;
        match taken_over {
            Ok(Ok(ready)) if *ready == epoch => Ok(epoch),
            _ => Err(Failure::Unavailable(
                "the partition is being taken over".to_owned(),
            )),
        }
    }

    /// The epoch under which this node serves a partition at this moment.
    pub(crate) fn epoch_served(&self, number: u32) -> Option<u64> {
        let epoch = self.node.primary_epoch(number).ok()?;
        (*self.partition(number).ready.borrow() == epoch).then_some(epoch)
    }

    async fn lock_key(&self, key: &str) -> MutexGuard<'_, ()> {
        let index = self.key_hasher.hash_one(key) as usize % KEY_LOCKS;
        self.key_locks[index].lock().await
    }

    /// Writes a key where this node is the primary of its partition; no value deletes it. May be dropped at any point: the
    /// key is in doubt from before the write is stored until enough copies have it.
    pub(crate) async fn write(
        self: &Arc<Self>,
        number: u32,
        key: String,
        value: Option<String>,
    ) -> Result<Row, Failure> {
        let epoch = self.serving_epoch(number).await?;
        let partition = self.partition(number);
        let writing = partition.writing.clone().read_owned().await;
        let _key = self.lock_key(&key).await;
        if self.node.primary_epoch(number).ok() != Some(epoch) {
            return Err(Failure::Unavailable("the primary has changed".to_owned()));
        }
        if self.mode == Mode::Async {
            if *self.stopping.borrow() {
                return Err(Failure::Unavailable("this node is about to stop".to_owned()));
            }
            return self.write_behind(number, epoch, (key, value)).await;
        }
        partition.in_doubt.lock().insert(key.clone());
        let row = self.store_write(number, epoch, (key, value)).await?;
        self.replicate(number, epoch, row.clone(), Some(writing)).await?;
        partition.in_doubt.lock().remove(&row.key);
        Ok(row)
    }

    pub(crate) async fn store_write(
        &self,
        number: u32,
        epoch: u64,
        row: (String, Option<String>),
    ) -> Result<Row, Failure> {
        let written = self
            .store
            .run(move |copies| copies.write(number, epoch, row))
            .await;
        written.map_err(|error| match error {
            StoreError::Refused(_) => Failure::Unavailable("a later primary has been here".to_owned()),
            StoreError::Failed(why) => Failure::Unknown(why),
        })
    }

    /// Reads a key where this node is the primary of its partition.
    pub(crate) async fn read(self: &Arc<Self>, number: u32, key: String) -> Result<Option<Row>, Failure> {
        let epoch = self.serving_epoch(number).await?;
        let partition = self.partition(number);
        // A write of the key that is under way is waited for: it may be seen only when it cannot be lost.
        let _key = self.lock_key(&key).await;
        let row = self.local(number, key.clone()).await?;
        let in_doubt = partition.in_doubt.lock().contains(&key);
        if let (true, Some(row)) = (in_doubt, row.clone()) {
            let settled = self.replicate(number, epoch, row, None).await;
            settled.map_err(|_| Failure::Unavailable("the key's last write is in doubt".to_owned()))?;
            partition.in_doubt.lock().remove(&key);
        }
        // Under the lease until here, so no later primary has acknowledged anything.
        if self.node.primary_epoch(number).ok() != Some(epoch) {
            return Err(Failure::Unavailable("the primary has changed".to_owned()));
        }
        Ok(row.filter(|row| row.value.is_some()))
    }

    /// What this node has, whatever its role.
    pub(crate) async fn local(&self, number: u32, key: String) -> Result<Option<Row>, Failure> {
        let found = self.store.run(move |copies| copies.get(number, &key)).await;
        found.map_err(|error| Failure::Unavailable(error.into()))
    }

    /// Sends a row to every other copy, and returns when a quorum has it and every copy that is required.
    async fn replicate(
        self: &Arc<Self>,
        number: u32,
        epoch: u64,
        row: Row,
        writing: Option<OwnedRwLockReadGuard<()>>,
    ) -> Result<(), Failure> {
        let partition = self.partition(number);
        // Before the view: whoever is taken off the list has been seen to count, and so it does in this view.
        let mut missing = partition.required.lock().clone();
        let holders = self.holders(number, epoch);
        let holders = holders.ok_or_else(|| Failure::Unknown("the primary has changed".to_owned()))?;
        let copied = |id: &NodeId| {
            holders
                .others
                .iter()
                .any(|other| !other.counts && other.peer.id == *id)
        };
        missing.retain(copied);
        partition.required.lock().retain(copied);

        let body = Arc::new(Replicate {
            partition: number,
            epoch,
            from: self.node.my_node_id().to_string(),
            rows: vec![row],
        });
        let deadline = Instant::now() + WRITE_TIMEOUT;
        // While a copy that is being made has not answered, the write is under way: it would not compare equal.
        let writing = writing.map(Arc::new);
        let (sender, mut answers) = mpsc::channel(holders.others.len().max(1));
        for holder in holders.others {
            let insist = holder.counts || missing.contains(&holder.peer.id);
            let writing = writing.clone().filter(|_| !holder.counts);
            let (kv, body, sender) = (self.clone(), body.clone(), sender.clone());
            tokio::spawn(async move {
                kv.send_row(holder, &body, (insist, deadline), sender).await;
                drop(writing);
            });
        }
        drop((sender, writing));
        let mut copies = 1;
        while copies < holders.quorum || !missing.is_empty() {
            match timeout_at(deadline, answers.recv()).await {
                Ok(Some((holder, Some(is_whole)))) => {
                    copies += usize::from(holder.counts && is_whole);
                    missing.remove(&holder.peer.id);
                    if !is_whole {
                        // It is compared again before it counts.
                        partition.required.lock().remove(&holder.peer.id);
                    }
                }
                Ok(Some((_, None))) => {
                    return Err(Failure::Unknown("a later primary has been here".to_owned()));
                }
                Ok(None) | Err(_) => {
                    return Err(Failure::Unknown(format!(
                        "{copies} of {} copies have it, {missing:?} have not",
                        holders.quorum
                    )));
                }
            }
        }
        Ok(())
    }

    /// Sends a row to one copy until it has it, for as long as the write waits. What it misses, its repair brings. The answer
    /// says whether the copy is whole; it is `None` where a later primary has been there.
    async fn send_row(
        self: &Arc<Self>,
        holder: Holder,
        body: &Replicate,
        (insist, deadline): (bool, Instant),
        answers: mpsc::Sender<(Holder, Option<bool>)>,
    ) {
        let peer = holder.peer.clone();
        loop {
            let sent = peer.call::<CopyAnswer>("/kv/replicate", body).await;
            let has_it = sent.is_ok();
            match sent {
                // The receiver is gone where the write has been acknowledged, or given up.
                Ok(copy) if copy.whole || !holder.counts => {
                    return drop(answers.send((holder, Some(copy.whole))).await);
                }
                Err(CallError::Conflict(_)) => return drop(answers.send((holder, None)).await),
                Ok(_) | Err(_) => {}
            }
            if !insist {
                return;
            }
            if answers.is_closed() || Instant::now() >= deadline {
                if !has_it {
                    let keys = body.rows.iter().map(|row| row.key.clone()).collect();
                    self.repair(&peer, body.partition, Some(keys));
                }
                return;
            }
            tokio::select! {
                () = answers.closed() => {}
                () = sleep(RETRY_PAUSE) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::quorum;

    /// Of r copies that are left a majority is asked; each write has to be on one of them.
    #[test]
    fn a_takeover_meets_every_write_whatever_a_move_drops() {
        for factor in 1..=9_usize {
            for copies in 1..=2 * factor {
                let written = quorum(copies, factor);
                assert!(
                    written <= copies && written > copies / 2,
                    "{copies} copies, {factor} wanted"
                );
                let missing = copies - written;
                // A takeover among the same copies, and after the end of a move, which leaves as many as are wanted.
                assert!(
                    quorum(copies, factor) > missing,
                    "{copies} copies, {factor} wanted"
                );
                if copies >= factor {
                    assert!(
                        quorum(factor, factor) > missing,
                        "{copies} copies, {factor} wanted"
                    );
                }
                // After the failure of one.
                if copies > 1 {
                    assert!(
                        quorum(copies - 1, factor) > missing,
                        "{copies} copies, {factor} wanted"
                    );
                }
            }
        }
        assert_eq!([1, 2, 3, 4, 5].map(|copies| quorum(copies, 3)), [1, 2, 2, 3, 4]);
    }
}
