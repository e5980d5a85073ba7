//! Batches proposals that wait at the same time, so that they share the fsyncs.
//!
//! One task, `ProposalBatcher::run`. A proposal, the answer to a batch, or a new connection wakes it. Batches and
//! connections under way are futures of the task, so it never waits for one node alone.
//!
//! No lock: the queues belong to the task, and `SendState` is an atomic that it shares with the proposer.
//!
//! Invariants: a proposal is sent or withdrawn, never both, so a proposer that gives up knows whether its proposal may
//! have been written. Nothing counts as sent before there is a connection. At most `MAX_IN_FLIGHT` batches are in
//! flight for each node and size, and small proposals wait for no batch of large ones.
//!
//! Start with `ProposalBatcher::run`, then `LeaderQueue::next_batch`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::write::WriteOutcome;
use crate::env::Instant;
use crate::raft::types::RaftId;

/// The most proposals of one batch, and the most bytes; a larger proposal is a batch of its own.
const MAX_PROPOSALS: usize = 1024;
const MAX_BYTES: usize = 1 << 20;
/// A proposal of more bytes than this is large.
const MAX_SMALL_BYTES: usize = 4 << 10;

/// The most batches in flight to one node. Two keep the disks busy; what arrives meanwhile makes the next batch larger,
/// which costs less than many small ones.
const MAX_IN_FLIGHT: usize = 2;

/// A proposal that was not sent to the leader yet.
pub(in crate::raft) struct PendingProposal {
    /// The node that was taken for the leader.
    pub(in crate::raft) to: RaftId,
    pub(in crate::raft) body: Bytes,
    /// The deadline of its proposer.
    pub(in crate::raft) until: Instant,
    pub(in crate::raft) answer: oneshot::Sender<WriteOutcome>,
    pub(in crate::raft) send_state: SendState,
}

/// Whether a proposal was sent: its proposer may give up at any moment, and must know then whether the proposal may have
/// been written.
#[derive(Debug, Clone, Default)]
pub(in crate::raft) struct SendState(Arc<AtomicU8>);

const WAITING: u8 = 0;
const SENT: u8 = 1;
const WITHDRAWN: u8 = 2;

impl SendState {
    /// False when the proposer has given up: then it must not be sent any more.
    fn send(&self) -> bool {
        self.leave(SENT)
    }

    /// False when it was sent already.
    pub(in crate::raft) fn withdraw(&self) -> bool {
        self.leave(WITHDRAWN)
    }

    fn leave(&self, to: u8) -> bool {
        self.0
            .compare_exchange(WAITING, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// Sends a batch to the node that commits it, and tells each proposer the outcome of its proposal.
pub(in crate::raft) trait BatchSender: Send + Sync + 'static {
    fn send_batch(&self, to: RaftId, batch: Vec<PendingProposal>) -> BoxFuture<'_, ()>;

    /// Connects to the node, where a connection is needed; true when there is one.
    fn connect(&self, _to: RaftId) -> Option<BoxFuture<'_, bool>> {
        None
    }
}

/// The proposals that wait to go to one node.
#[derive(Default)]
struct LeaderQueue {
    waiting: VecDeque<PendingProposal>,
    /// Batches that were not answered yet.
    in_flight: usize,
    /// Until the next batch has a connection nothing of it counts as sent, and a proposer that gives up is told so.
    connection: Connection,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Connection {
    #[default]
    Unknown,
    Pending,
    Open,
}

/// To which node, and whether what goes there is large. Small proposals wait for no batch of large ones.
type QueueKey = (RaftId, bool);

/// What has come about for a queue.
enum Step {
    Answered,
    Connected(bool),
}

/// Batches what comes in, a queue for each leader and size, and sends the batches.
pub(in crate::raft) struct ProposalBatcher {
    incoming: UnboundedReceiver<PendingProposal>,
    sender: Arc<dyn BatchSender>,
}

impl ProposalBatcher {
    pub(in crate::raft) fn new(
        incoming: UnboundedReceiver<PendingProposal>,
        sender: Arc<dyn BatchSender>,
    ) -> Self {
        ProposalBatcher { incoming, sender }
    }

    /// Runs until the other end of `incoming` is gone.
    pub(in crate::raft) async fn run(mut self) {
        let sender = self.sender;
        let mut queues: BTreeMap<QueueKey, LeaderQueue> = BTreeMap::new();
        let mut under_way: FuturesUnordered<BoxFuture<'_, (QueueKey, Step)>> = FuturesUnordered::new();
        let mut arrived = Vec::new();
        loop {
            tokio::select! {
                biased;
                Some((key, step)) = under_way.next(), if !under_way.is_empty() => {
                    match (queues.get_mut(&key), step) {
                        (Some(queue), Step::Answered) => queue.in_flight -= 1,
                        (Some(queue), Step::Connected(connected)) => queue.connected(connected),
                        (None, _) => {}
                    }
                }
                count = self.incoming.recv_many(&mut arrived, MAX_PROPOSALS) => {
                    if count == 0 {
                        return;
                    }
                    for proposal in arrived.drain(..) {
                        let key = (proposal.to, proposal.body.len() > MAX_SMALL_BYTES);
                        queues.entry(key).or_default().waiting.push_back(proposal);
                    }
                }
            }
            queues.retain(|key, queue| {
                let key = *key;
                while queue.in_flight < MAX_IN_FLIGHT && !queue.waiting.is_empty() {
                    if queue.connection == Connection::Unknown
                        && let Some(connecting) = sender.connect(key.0)
                    {
                        queue.connection = Connection::Pending;
                        let connected = connecting.map(move |connected| (key, Step::Connected(connected)));
                        under_way.push(connected.boxed());
                    }
                    if queue.connection == Connection::Pending {
                        break;
                    }
                    let batch = queue.next_batch();
                    queue.connection = Connection::Unknown;
                    if batch.is_empty() {
                        break;
                    }
                    queue.in_flight += 1;
                    let answered = sender.send_batch(key.0, batch);
                    under_way.push(answered.map(move |()| (key, Step::Answered)).boxed());
                }
                queue.in_flight > 0 || queue.connection == Connection::Pending || !queue.waiting.is_empty()
            });
        }
    }
}

impl LeaderQueue {
    /// Where there is no connection, nothing of what waits was sent.
    fn connected(&mut self, connected: bool) {
        if connected {
            self.connection = Connection::Open;
            return;
        }
        self.connection = Connection::Unknown;
        for proposal in self.waiting.drain(..) {
            // Gone when the caller has given up.
            let _ = proposal.answer.send(WriteOutcome::NotLeader(None));
        }
    }

    /// The proposals that go next, without those that nobody waits for any more: they were never sent.
    fn next_batch(&mut self) -> Vec<PendingProposal> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            bytes += next.body.len();
            if batch.len() == MAX_PROPOSALS || (bytes > MAX_BYTES && !batch.is_empty()) {
                break;
            }
            batch.extend(
                self.waiting
                    .pop_front()
                    .filter(|next| !next.answer.is_closed() && next.send_state.send()),
            );
        }
        batch
    }
}

#[cfg(test)]
mod tests;
