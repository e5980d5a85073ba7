//! What a new primary does before it serves: it asks the other copies what they have, and keeps earlier primaries out.
//!
//! An acknowledged write is on a quorum of the copies. A takeover hears from as many that they take nothing of an earlier
//! epoch any more; the two meet, so the write is found, and everything that an earlier primary acknowledges it has
//! acknowledged already.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clusterkit::model::NodeId;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

use crate::background::Backoff;
use crate::config::Mode;
use crate::peers::{CALL_TIMEOUT, CallError, CopyAnswer, Fence, Peer, digest_text};
use crate::replication::{Holder, Kv};
use crate::store::{Copies, CopyState, StoreError};

/// How long a takeover that has a quorum waits for the other copies.
const ANSWER_GRACE: Duration = Duration::from_millis(250);

impl Kv {
    /// Takes a partition over in the background, once for each epoch.
    pub(crate) fn start_takeover(self: &Arc<Self>, number: u32, epoch: u64) {
        let partition = self.partition(number);
        if partition.taking_over.fetch_max(epoch, Ordering::SeqCst) >= epoch {
            return;
        }
        let kv = self.clone();
        tokio::spawn(async move {
            let mut backoff = Backoff::new();
            while kv.node.primary_epoch(number).ok() == Some(epoch) {
                match kv.take_over(number, epoch).await {
                    Ok(silent) => return partition.serve(epoch, silent),
                    Err(why) => kv.log(&format!("partition-{number} is not taken over yet: {why}")),
                }
                backoff.pause().await;
            }
            // The lease may come back under the same epoch: then the next request starts again.
            let _ = partition
                .taking_over
                .compare_exchange(epoch, 0, Ordering::SeqCst, Ordering::SeqCst);
        });
    }

    /// Returns the pending copies that have not answered. One may have been found whole by the primary before, and be counted
    /// any moment: each write waits for it.
    async fn take_over(self: &Arc<Self>, number: u32, epoch: u64) -> Result<BTreeSet<NodeId>, String> {
        let holders = self.holders(number, epoch).ok_or("the primary has changed")?;
        // In the mode `async` none is needed, and all have the time of a call: one may be the former primary, which lives.
        let (needed, known, grace) = match self.mode {
            Mode::Async => (1, 1, CALL_TIMEOUT),
            Mode::Sync | Mode::ServerSide => {
                let counting = holders.others.iter().filter(|holder| holder.counts);
                (holders.quorum, counting.count() + 1, ANSWER_GRACE)
            }
        };
        let own = self.change(move |copies| copies.fence(number, epoch)).await?;
        let mut answers = self.fence_others(number, epoch, &holders.others);

        // All that answer soon, and as many as are needed. Where every copy that counts has answered nobody is left to ask.
        let (mut whole, mut heard, mut copies) = (usize::from(own.whole), 1, Vec::new());
        let pending = holders.others.iter().filter(|holder| !holder.counts);
        let mut silent: BTreeSet<NodeId> = pending.map(|holder| holder.peer.id.clone()).collect();
        let grace = Instant::now() + grace;
        while let Ok(Some((holder, answer))) = match whole >= needed || heard >= known {
            true => timeout_at(grace, answers.next()).await,
            false => Ok(answers.next().await),
        } {
            match answer {
                Ok(copy) => {
                    silent.remove(&holder.peer.id);
                    heard += usize::from(holder.counts);
                    whole += usize::from(holder.counts && copy.whole);
                    copies.push((holder, copy));
                }
                Err(CallError::Conflict(_)) => return Err("a later primary has been here".to_owned()),
                // Nobody listens: the process has ended, and another one starts with a copy that is not whole.
                Err(CallError::Unreachable) => drop(silent.remove(&holder.peer.id)),
                Err(CallError::Lost(_) | CallError::Refused(_)) => {}
            }
        }
        if whole < needed && heard < known {
            return Err(format!("{whole} copies have answered, {needed} are needed"));
        }

        for (holder, copy) in &copies {
            if copy.digest != digest_text(own.digest) {
                self.pull(&holder.peer, number, epoch).await?;
            }
        }
        let own = self.change(move |copies| copies.set_whole(number, true)).await?;
        for (holder, copy) in copies {
            if copy.digest == digest_text(own.digest) {
                continue;
            }
            if holder.counts && self.mode != Mode::Async {
                self.send_all(&holder.peer, number, epoch).await?;
            } else if holder.counts {
                self.repair(&holder.peer, number, None);
            }
        }
        Ok(silent)
    }

    /// Asks every other copy at the same time.
    fn fence_others<'a>(
        &'a self,
        number: u32,
        epoch: u64,
        others: &'a [Holder],
    ) -> FuturesUnordered<impl Future<Output = (Holder, Result<CopyAnswer, CallError>)> + 'a> {
        let ask = move |holder: &'a Holder| async move {
            let pending = !holder.counts;
            let body = Fence {
                partition: number,
                epoch,
                pending,
            };
            (holder.clone(), holder.peer.call("/kv/fence", &body).await)
        };
        others.iter().map(ask).collect()
    }

    /// Merges what another copy has into this one.
    async fn pull(&self, peer: &Peer, number: u32, epoch: u64) -> Result<(), String> {
        let mut after = Some(String::new());
        while let Some(from) = after {
            let (page, _) = peer.page(number, &from).await?;
            after = page.next;
            self.change(move |copies| copies.merge(number, epoch, &page.rows))
                .await?;
        }
        Ok(())
    }

    /// A change of the copies outside clients' writes.
    pub(crate) async fn change(
        &self,
        job: impl FnOnce(&mut Copies) -> Result<CopyState, StoreError> + Send + 'static,
    ) -> Result<CopyState, String> {
        Ok(self.store.run(job).await?)
    }
}
