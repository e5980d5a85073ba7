//! Flow control: limits the bytes in flight to what a link and a disk handle in a few milliseconds.
//!
//! Bytes written to a connection queue in the kernel of this machine and on the link, and everything behind them waits,
//! even heartbeats on a connection of their own, because they share the link. So the bytes in flight are limited to the
//! rate at which bytes were answered lately, times the sum of the shortest answer time and a few milliseconds: enough
//! to keep the link busy, and no more. The rate is the best of the last seconds, so that one slow fsync does not reduce
//! it. A real drop of the rate shows when an answer takes many times longer than expected.

use std::time::Duration;

use openraft::EntryPayload;
use openraft::raft::AppendEntriesRequest;

use crate::env::Instant;
use crate::raft::types::{Entry, Types};

/// The smallest and the largest limit of the bytes in flight.
const MIN_IN_FLIGHT: usize = 4 << 10;
const MAX_IN_FLIGHT: usize = 1 << 20;
/// The smallest piece that a request is split into, unless a single entry is larger, and the largest.
const MIN_PIECE: usize = 4 << 10;
const MAX_PIECE: usize = 256 << 10;
/// How much later an answer may be because of the bytes in flight before it, or half of the shortest answer time if
/// that is longer.
const MAX_QUEUE_DELAY: Duration = Duration::from_millis(5);
/// A rate and a shortest answer time are forgotten after one to two times this.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// An answer that takes this much longer than the shortest answer time and twice the expected transfer time, at less
/// than a quarter of the best rate, shows that the rate has dropped.
const RATE_DROP_DELAY: Duration = Duration::from_millis(50);
/// Probing: if the shortest answer time is at least [`PROBE_MIN_RTT`], two of the smallest pieces are sent at once every
/// [`PROBE_INTERVAL`], even if the limit is lower. One piece at a time shows the latency of the link, but not its
/// bandwidth.
const PROBE_MIN_RTT: Duration = Duration::from_millis(20);
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// The slowest link, in bytes a second, for which a message still gets enough time.
const SLOWEST_LINK: usize = 16 << 10;

/// The measurements of one path: to one follower, or into the log.
#[derive(Debug, Default)]
pub(in crate::raft) struct Flow {
    /// The total of the bytes answered so far.
    delivered: u64,
    /// The best values of the current and of the previous window, each [`RATE_WINDOW`] long.
    best: [Best; 2],
    since: Option<Instant>,
    /// When a probe above the limit was last sent.
    probed: Option<Instant>,
}

/// The best values of one window.
#[derive(Debug, Clone, Copy)]
struct Best {
    /// In bytes a second.
    rate: f64,
    shortest: Duration,
}

impl Default for Best {
    fn default() -> Self {
        Best {
            rate: 0.0,
            shortest: Duration::MAX,
        }
    }
}

/// One message in flight, and the total of the bytes answered when it was sent.
#[derive(Debug, Clone, Copy)]
pub(in crate::raft) struct Sent {
    bytes: usize,
    at: Instant,
    delivered: u64,
}

impl Flow {
    /// The best values of the last two windows. Older values say nothing about the path now, even if nothing was sent
    /// since.
    fn best(&self) -> Best {
        let age = self
            .since
            .map_or(Duration::MAX, |since| Instant::now().since(since));
        let [now, before] = match age {
            age if age < RATE_WINDOW => self.best,
            age if age < RATE_WINDOW * 2 => [self.best[0], Best::default()],
            _ => [Best::default(); 2],
        };
        Best {
            rate: now.rate.max(before.rate),
            shortest: now.shortest.min(before.shortest),
        }
    }

    /// The most bytes that may be in flight.
    pub(in crate::raft) fn limit(&self) -> usize {
        let best = self.best();
        if best.shortest == Duration::MAX {
            return MIN_IN_FLIGHT;
        }
        let time = best.shortest + MAX_QUEUE_DELAY.max(best.shortest / 2);
        ((best.rate * time.as_secs_f64()) as usize).clamp(MIN_IN_FLIGHT, MAX_IN_FLIGHT)
    }

    /// The most bytes of one request.
    pub(in crate::raft) fn piece(&self) -> usize {
        (self.limit() / 2).clamp(MIN_PIECE, MAX_PIECE)
    }

    /// True if a piece of `bytes` may be sent beside the bytes that are `under_way`.
    pub(in crate::raft) fn has_room_for(&mut self, bytes: usize, under_way: usize) -> bool {
        let limit = self.limit();
        if under_way == 0 || under_way + bytes <= limit {
            return true;
        }
        let best = self.best();
        if best.shortest == Duration::MAX || best.shortest < PROBE_MIN_RTT || under_way > MIN_PIECE {
            return false;
        }
        let now = Instant::now();
        let probes = self.probed.is_none_or(|at| now.since(at) >= PROBE_INTERVAL);
        if probes {
            self.probed = Some(now);
        }
        probes
    }

    /// Forgets all measurements, because the path may have changed.
    pub(in crate::raft) fn restart(&mut self) {
        self.best = [Best::default(); 2];
        self.since = None;
    }

    /// Records that this many bytes are sent.
    pub(in crate::raft) fn sends(&self, bytes: usize) -> Sent {
        Sent {
            bytes,
            at: Instant::now(),
            delivered: self.delivered,
        }
    }

    /// Records that a message was answered.
    pub(in crate::raft) fn answered(&mut self, sent: Sent) {
        let now = Instant::now();
        // The clock may not advance between the two.
        let took = now.since(sent.at).max(Duration::from_micros(10));
        self.delivered += sent.bytes as u64;
        let rate = (self.delivered - sent.delivered) as f64 / took.as_secs_f64();
        if self.since.is_none_or(|since| now.since(since) >= RATE_WINDOW) {
            let before = match self.since {
                Some(since) if now.since(since) < RATE_WINDOW * 2 => self.best[0],
                _ => Best::default(),
            };
            self.best = [Best::default(), before];
            self.since = Some(now);
        }
        let best = self.best();
        if best.rate > 0.0 {
            let expected = Duration::from_secs_f64(self.limit() as f64 / best.rate);
            if took > best.shortest + expected * 2 + RATE_DROP_DELAY && rate < best.rate / 4.0 {
                self.best = [Best::default(), Best { rate, ..best }];
                return;
            }
        }
        self.best[0].rate = self.best[0].rate.max(rate);
        self.best[0].shortest = self.best[0].shortest.min(took);
    }
}

/// How long this many bytes may take on the slowest supported link.
pub(in crate::raft) fn time_for(bytes: usize) -> Duration {
    Duration::from_millis((bytes * 1000 / SLOWEST_LINK) as u64)
}

/// The approximate size of an entry in a message, in bytes.
pub(in crate::raft) fn size_of_entry(entry: &Entry) -> usize {
    const HEAD: usize = 32;
    match &entry.payload {
        EntryPayload::Normal(command) => HEAD + command.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => HEAD,
    }
}

/// Splits a request into requests of at most `most` bytes, or of one entry if it is larger.
pub(in crate::raft) fn split(
    request: AppendEntriesRequest<Types>,
    most: usize,
) -> impl Iterator<Item = AppendEntriesRequest<Types>> {
    let AppendEntriesRequest {
        vote,
        prev_log_id: mut prev,
        entries,
        leader_commit,
    } = request;
    let mut entries = entries.into_iter().peekable();
    std::iter::from_fn(move || {
        let first = entries.next()?;
        let mut bytes = size_of_entry(&first);
        let mut piece = vec![first];
        while let Some(next) = entries.next_if(|next| bytes + size_of_entry(next) <= most) {
            bytes += size_of_entry(&next);
            piece.push(next);
        }
        let before = prev;
        prev = piece.last().map(|entry| entry.log_id);
        Some(AppendEntriesRequest {
            vote,
            prev_log_id: before,
            entries: piece,
            leader_commit,
        })
    })
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::*;
    use crate::env;
    use crate::env::runtime::simulate;

    #[test]
    fn what_was_seen_long_ago_is_forgotten_also_where_nothing_was_sent_since() {
        simulate(1, async {
            let mut flow = Flow::default();
            let sent = flow.sends(1 << 20);
            env::sleep(Duration::from_millis(1)).await;
            flow.answered(sent);
            assert_eq!(flow.limit(), MAX_IN_FLIGHT);
            env::sleep(RATE_WINDOW * 2).await;
            assert_eq!(flow.limit(), MIN_IN_FLIGHT);
        });
    }

    /// One small piece at a time would only show the latency.
    #[test]
    fn a_long_way_that_carries_much_is_found_out() {
        simulate(2, async {
            let mut flow = Flow::default();
            for _ in 0..20 {
                let (mut pieces, mut under_way) = (Vec::new(), 0);
                while flow.has_room_for(flow.piece(), under_way) {
                    pieces.push(flow.sends(flow.piece()));
                    under_way += flow.piece();
                }
                env::sleep(Duration::from_millis(50)).await;
                pieces.into_iter().for_each(|sent| flow.answered(sent));
            }
            assert!(flow.limit() > 256 << 10, "{}", flow.limit());
        });
    }
}
