//! What goes on behind the clients' calls: repair of replicas that missed a write, and the queues of the mode `async`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use clusterkit::model::Node;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::Mode;
use crate::peers::{CallError, CopyAnswer, PAGE_ROWS, Peer, QueuedRow, Replicate};
use crate::replication::{Failure, Holder, Kv, RETRY_PAUSE, WRITE_TIMEOUT};
use crate::store::Row;

/// The longest pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// How many rows are taken from a queue at a time.
const MAX_BATCH: usize = 512;
/// How many bytes of keys and values are sent at a time, unless a single row is larger.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// Pauses that become longer.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Backoff(Duration::from_millis(50))
    }

    pub(crate) async fn pause(&mut self) {
        sleep(self.0).await;
        self.0 = (2 * self.0).min(MAX_PAUSE);
    }
}

/// Rows in parts of a bounded size.
fn parts(rows: Vec<Row>) -> Vec<Vec<Row>> {
    let (mut parts, mut bytes) = (Vec::<Vec<Row>>::new(), 0);
    for row in rows {
        bytes += row.size();
        match parts.last_mut() {
            Some(part) if bytes <= MAX_BATCH_BYTES => part.push(row),
            _ => {
                bytes = row.size();
                parts.push(vec![row]);
            }
        }
    }
    parts
}

impl Kv {
    /// The peer of a member. In the mode `async` it has a task that empties its queue.
    pub(crate) fn peer(self: &Arc<Self>, node: &Node) -> Option<Arc<Peer>> {
        self.peers.get(node, |peer, rows| {
            if self.mode == Mode::Async {
                tokio::spawn(empty_queue(Arc::downgrade(self), Arc::downgrade(peer), rows));
            }
        })
    }

    /// The epoch of a partition by this node's view, while a peer that is up holds a copy or makes one.
    fn epoch_if_holder(&self, number: u32, peer: &Peer) -> Option<u64> {
        let view = self.node.view();
        let partition = view.partition_by_number(number)?;
        let mut holders = partition.nodes().chain(partition.pending());
        let is_holder = holders.any(|node| node.id == peer.id && node.status.is_up());
        is_holder.then(|| partition.epoch())
    }

    /// Sends rows to a copy, whatever it answers of itself.
    pub(crate) async fn send_rows(
        &self,
        peer: &Peer,
        (partition, epoch): (u32, u64),
        rows: Vec<Row>,
    ) -> Result<CopyAnswer, CallError> {
        let from = self.node.my_node_id().to_string();
        let body = Replicate {
            partition,
            epoch,
            from,
            rows,
        };
        peer.call("/kv/replicate", &body).await
    }

    /// Has a copy brought what it missed: these keys of a partition, or all of its rows.
    pub(crate) fn repair(self: &Arc<Self>, peer: &Arc<Peer>, number: u32, keys: Option<BTreeSet<String>>) {
        if peer.missed.lock().add(number, keys) {
            tokio::spawn(self.clone().repair_all(peer.clone()));
        }
    }

    async fn repair_all(self: Arc<Self>, peer: Arc<Peer>) {
        let mut backoff = Backoff::new();
        loop {
            let Some((number, keys)) = peer.missed.lock().take() else {
                return;
            };
            match self.bring(&peer, number, keys.clone()).await {
                Ok(()) => backoff = Backoff::new(),
                Err(_) => {
                    peer.missed.lock().add(number, keys);
                    backoff.pause().await;
                }
            }
        }
    }

    /// Brings a copy the present rows of these keys, or all rows. What is no copy any more needs nothing.
    async fn bring(&self, peer: &Peer, number: u32, keys: Option<BTreeSet<String>>) -> Result<(), String> {
        let epoch = *self.partition(number).ready.borrow();
        if self.epoch_if_holder(number, peer) != Some(epoch) {
            return Ok(());
        }
        let Some(keys) = keys else {
            return self.send_all(peer, number, epoch).await;
        };
        for key in keys {
            let row = self.store.run(move |copies| copies.get(number, &key)).await?;
            self.send_rows(peer, (number, epoch), row.into_iter().collect())
                .await?;
        }
        Ok(())
    }

    /// Sends a copy all rows of a partition.
    pub(crate) async fn send_all(&self, peer: &Peer, number: u32, epoch: u64) -> Result<(), String> {
        let mut after = Some(String::new());
        while let Some(from) = after {
            let page = self
                .store
                .run(move |copies| copies.page(number, &from, PAGE_ROWS))
                .await?;
            self.send_rows(peer, (number, epoch), page.rows).await?;
            after = page.next;
        }
        Ok(())
    }

    /// A write in the mode `async`: it is acknowledged when it is stored here and has a place in each replica's queue.
    pub(crate) async fn write_behind(
        self: &Arc<Self>,
        number: u32,
        epoch: u64,
        row: (String, Option<String>),
    ) -> Result<Row, Failure> {
        let holders = self.holders(number, epoch);
        let holders = holders.ok_or_else(|| Failure::Unavailable("the primary has changed".to_owned()))?;
        let deadline = Instant::now() + WRITE_TIMEOUT;
        let mut places = Vec::new();
        for Holder { peer, .. } in holders.others {
            match timeout_at(deadline, peer.queue.clone().reserve_owned()).await {
                Ok(Ok(place)) => places.push((peer, place)),
                _ => return Err(Failure::Unavailable(format!("{} is too far behind", peer.id))),
            }
        }
        let kv = self.clone();
        // In a task: whether the client is there or not, what is stored is sent.
        let writing = tokio::spawn(async move {
            let row = kv.store_write(number, epoch, row).await?;
            for (peer, place) in places {
                let (row, since) = (row.clone(), std::time::Instant::now());
                peer.lag.lock().queued += 1;
                place.send(QueuedRow {
                    partition: number,
                    row,
                    since,
                });
            }
            Ok(row)
        });
        writing
            .await
            .unwrap_or_else(|error| Err(Failure::Unknown(error.to_string())))
    }

    /// Sends rows until the copy has them, or is none any more: under the epoch of the view, because what was acknowledged
    /// is owed by a primary that has lost its role meanwhile, too. Rows that were written again since change nothing.
    async fn deliver(&self, peer: &Peer, number: u32, rows: Vec<Row>) {
        let mut backoff = Backoff::new();
        while let Some(epoch) = self.epoch_if_holder(number, peer) {
            if self.send_rows(peer, (number, epoch), rows.clone()).await.is_ok() {
                return;
            }
            peer.lag.lock().failed += 1;
            backoff.pause().await;
        }
    }

    /// When this node is to end and takes no more writes: returns when the replicas have those that were acknowledged.
    pub(crate) async fn drain(&self) {
        for number in 0..self.node.view().partition_count() {
            // No write is under way, and none begins.
            drop(self.partition(number).writing.write().await);
        }
        while self.peers.all().iter().any(|peer| peer.lag.lock().queued > 0) {
            sleep(RETRY_PAUSE).await;
        }
    }
}

/// Sends what waits for one replica, in the mode `async`. Ends with the peer.
async fn empty_queue(kv: Weak<Kv>, peer: Weak<Peer>, mut queue: mpsc::Receiver<QueuedRow>) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let (Some(kv), Some(peer)) = (kv.upgrade(), peer.upgrade()) else {
            return;
        };
        let taken = batch.len();
        peer.lag.lock().since = batch.first().map(|row| row.since);
        let mut rows = BTreeMap::<u32, Vec<Row>>::new();
        for queued in batch.drain(..) {
            rows.entry(queued.partition).or_default().push(queued.row);
        }
        let calls = rows
            .into_iter()
            .flat_map(|(number, rows)| parts(rows).into_iter().map(move |part| (number, part)));
        join_all(calls.map(|(number, part)| kv.deliver(&peer, number, part))).await;
        let mut lag = peer.lag.lock();
        lag.queued -= taken;
        lag.since = None;
    }
}
