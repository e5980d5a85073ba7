//! Puts proposals that wait at the same time together, so that they share the way to the disks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::types::RaftId;
use super::write::Written;
use crate::env::Instant;

/// The most proposals in one batch, and the most bytes; a larger proposal goes alone.
const MAX_PROPOSALS: usize = 1024;
const MAX_BYTES: usize = 1 << 20;
/// A proposal of more bytes is large.
const SMALL: usize = 4 << 10;

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

    /// Makes the connection that it takes to deliver, where it takes one; true when there is one.
    fn reach(&self, _to: RaftId) -> Option<BoxFuture<'_, bool>> {
        None
    }
}

/// What goes to one node.
#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    /// Batches that were not answered yet.
    on_the_way: usize,
    /// Whether the next batch has a connection to go by. Until then nothing counts as sent, and whoever gives up knows it.
    way: Way,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Unknown,
    LookedFor,
    Open,
}

/// A line: to which node, and whether what goes there is large. What is small waits for no batch of that.
type Name = (RaftId, bool);

/// What has come about on a line.
enum Step {
    Delivered,
    Reached(bool),
}

/// Delivers what comes, until the other end of the queue is gone.
pub(super) async fn deliver_all(mut queue: UnboundedReceiver<Waiting>, courier: Arc<dyn Deliver>) {
    let mut lines: BTreeMap<Name, Line> = BTreeMap::new();
    let mut under_way: FuturesUnordered<BoxFuture<'_, (Name, Step)>> = FuturesUnordered::new();
    let mut arrived = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some((name, step)) = under_way.next(), if !under_way.is_empty() => {
                match (lines.get_mut(&name), step) {
                    (Some(line), Step::Delivered) => line.on_the_way -= 1,
                    (Some(line), Step::Reached(reached)) => line.reached(reached),
                    (None, _) => {}
                }
            }
            count = queue.recv_many(&mut arrived, MAX_PROPOSALS) => {
                if count == 0 {
                    return;
                }
                for waiting in arrived.drain(..) {
                    let name = (waiting.to, waiting.body.len() > SMALL);
                    lines.entry(name).or_default().waiting.push_back(waiting);
                }
            }
        }
        lines.retain(|name, line| {
            let name = *name;
            while line.on_the_way < MAX_ON_THE_WAY && !line.waiting.is_empty() {
                if line.way == Way::Unknown
                    && let Some(reach) = courier.reach(name.0)
                {
                    line.way = Way::LookedFor;
                    under_way.push(reach.map(move |reached| (name, Step::Reached(reached))).boxed());
                }
                if line.way == Way::LookedFor {
                    break;
                }
                let batch = line.next_batch();
                line.way = Way::Unknown;
                if batch.is_empty() {
                    break;
                }
                line.on_the_way += 1;
                let delivery = courier.deliver(name.0, batch);
                under_way.push(delivery.map(move |()| (name, Step::Delivered)).boxed());
            }
            line.on_the_way > 0 || line.way == Way::LookedFor || !line.waiting.is_empty()
        });
    }
}

impl Line {
    /// It was found out whether there is a way. Where there is none, nothing of what waits was sent.
    fn reached(&mut self, reached: bool) {
        if reached {
            self.way = Way::Open;
            return;
        }
        self.way = Way::Unknown;
        for waiting in self.waiting.drain(..) {
            // Gone when the caller has given up.
            let _ = waiting.answer.send(Written::NotHere(None));
        }
    }

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
