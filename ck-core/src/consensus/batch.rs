//! Puts proposals that wait at the same time together, so that they share the way to the disks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::types::RaftId;
use super::write::Written;
use crate::env::Instant;

/// The most proposals in one batch, and the most bytes; a larger proposal goes alone.
const MAX_PROPOSALS: usize = 1024;
const MAX_BYTES: usize = 1 << 20;

/// So many batches are on their way to one node. Two keep the disks busy; what comes meanwhile makes the next
/// batch larger instead, which costs less than many small ones.
const MAX_ON_THE_WAY: usize = 2;

/// A proposal that waits for its way to a leader.
pub(super) struct Waiting {
    /// The node that was taken for the leader.
    pub(super) to: RaftId,
    pub(super) body: Bytes,
    /// Its proposer waits no longer than this.
    pub(super) until: Instant,
    pub(super) answer: oneshot::Sender<Written>,
    pub(super) ticket: Ticket,
}

/// Says whether a proposal that waits was sent: its proposer may give up waiting at any moment, and must know then
/// whether it may have been written.
#[derive(Debug, Clone, Default)]
pub(super) struct Ticket(Arc<AtomicU8>);

const TICKET_WAITS: u8 = 0;
const TICKET_SENT: u8 = 1;
const TICKET_WITHDRAWN: u8 = 2;

impl Ticket {
    /// False when the proposer has given up: then it must not be sent any more.
    fn send(&self) -> bool {
        self.leave(TICKET_SENT)
    }

    /// False when it was sent already.
    pub(super) fn withdraw(&self) -> bool {
        self.leave(TICKET_WITHDRAWN)
    }

    fn leave(&self, to: u8) -> bool {
        self.0
            .compare_exchange(TICKET_WAITS, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// Tries to get a batch committed by a node, and tells each proposer what came of its own.
pub(super) trait Deliver: Send + Sync + 'static {
    fn deliver(&self, to: RaftId, batch: Vec<Waiting>) -> BoxFuture<'_, ()>;
}

/// What goes to one node.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    /// Batches that were not answered yet.
    on_the_way: usize,
}

/// Delivers what comes, until the other end of the queue is gone.
pub(super) async fn deliver_all(mut queue: UnboundedReceiver<Waiting>, courier: Arc<dyn Deliver>) {
    let mut lines: BTreeMap<RaftId, Line> = BTreeMap::new();
    let mut under_way = FuturesUnordered::new();
    let mut arrived = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(to) = under_way.next(), if !under_way.is_empty() => {
                if let Some(line) = lines.get_mut(&to) {
                    line.on_the_way -= 1;
                }
            }
            count = queue.recv_many(&mut arrived, MAX_PROPOSALS) => {
                if count == 0 {
                    return;
                }
                for waiting in arrived.drain(..) {
                    lines.entry(waiting.to).or_default().waiting.push_back(waiting);
                }
            }
        }
        lines.retain(|to, line| {
            while line.on_the_way < MAX_ON_THE_WAY {
                let batch = line.next_batch();
                if batch.is_empty() {
                    break;
                }
                line.on_the_way += 1;
                let (courier, to) = (courier.clone(), *to);
                under_way.push(async move {
                    courier.deliver(to, batch).await;
                    to
                });
            }
            line.on_the_way > 0 || !line.waiting.is_empty()
        });
    }
}

impl Line {
    /// The proposals that go next, without those that nobody waits for any more: they were never sent.
    fn next_batch(&mut self) -> Vec<Waiting> {
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
                    .filter(|next| !next.answer.is_closed() && next.ticket.send()),
            );
        }
        batch
    }
}

#[cfg(test)]
mod tests;
