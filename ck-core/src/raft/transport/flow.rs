//! How much may be on its way at a time: as much as a link and a disk take in a few milliseconds.
//!
//! What is written to a connection queues in this machine's kernel and on the link, and what comes behind it waits, the
//! heartbeats on a connection of their own too: they share the link. So what is under way is bounded by the rate at which it
//! was answered lately, times the shortest time that an answer takes and a few milliseconds: enough to keep the link busy,
//! and no more. The rate is the best of the last seconds, so that a sync that took long costs nothing; one that has really
//! fallen is noticed by what is under way taking many times as long as it should.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::EntryPayload;
use openraft::raft::AppendEntriesRequest;

use crate::env::Instant;
use crate::raft::types::{Entry, Types};

/// The least and the most that may be under way, in bytes.
const LEAST: usize = 4 << 10;
const MOST: usize = 1 << 20;
/// The smallest piece that a request is split into, unless a single entry is larger, and the largest.
const LEAST_PIECE: usize = 4 << 10;
const MOST_PIECE: usize = 256 << 10;
/// By how much an answer may be late because of what is under way before it, or half of the shortest time.
const QUEUE: Duration = Duration::from_millis(5);
/// After once or twice this a rate, and a shortest time, is forgotten.
const REMEMBERED: Duration = Duration::from_secs(5);
/// An answer that takes so much longer than it should tells that the rate has fallen.
const FALLEN: Duration = Duration::from_millis(50);
/// Where answers take so long at least, two of the smallest pieces go at once so often: one alone shows how long the way is,
/// and not how much it carries.
const PROBED_FROM: Duration = Duration::from_millis(20);
const PROBED_EVERY: Duration = Duration::from_secs(1);
/// The slowest link that a message is given time for, in bytes a second.
const SLOWEST: usize = 16 << 10;

/// What is known of a way: to one follower, or into the log.
#[derive(Debug, Default)]
pub(in crate::raft) struct Flow {
    /// Bytes that were ever answered.
    delivered: u64,
    /// The best of the present time and of the one before, each [`REMEMBERED`] long.
    best: [Best; 2],
    since: Option<Instant>,
    /// When more was sent than fits.
    probed: Option<Instant>,
}

/// The best that was seen in some time.
#[derive(Debug, Clone, Copy)]
struct Best {
    /// Bytes a second.
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

/// What was sent, and where the flow stood then.
#[derive(Debug, Clone, Copy)]
pub(in crate::raft) struct Sent {
    bytes: usize,
    at: Instant,
    delivered: u64,
}

impl Flow {
    /// What was seen lately; what is older says nothing of the way as it is now, also where nothing was sent since.
    fn best(&self) -> Best {
        let age = self
            .since
            .map_or(Duration::MAX, |since| Instant::now().since(since));
        let [now, before] = match age {
            age if age < REMEMBERED => self.best,
            age if age < REMEMBERED * 2 => [self.best[0], Best::default()],
            _ => [Best::default(); 2],
        };
        Best {
            rate: now.rate.max(before.rate),
            shortest: now.shortest.min(before.shortest),
        }
    }

    /// How many bytes may be under way.
    pub(in crate::raft) fn limit(&self) -> usize {
        let best = self.best();
        if best.shortest == Duration::MAX {
            return LEAST;
        }
        let time = best.shortest + QUEUE.max(best.shortest / 2);
        ((best.rate * time.as_secs_f64()) as usize).clamp(LEAST, MOST)
    }

    /// The most in one request.
    pub(in crate::raft) fn piece(&self) -> usize {
        (self.limit() / 2).clamp(LEAST_PIECE, MOST_PIECE)
    }

    /// Whether a piece of `bytes` may go beside the bytes that are under way.
    pub(in crate::raft) fn has_room_for(&mut self, bytes: usize, under_way: usize) -> bool {
        let limit = self.limit();
        if under_way == 0 || under_way + bytes <= limit {
            return true;
        }
        let best = self.best();
        if best.shortest == Duration::MAX || best.shortest < PROBED_FROM || under_way > LEAST_PIECE {
            return false;
        }
        let now = Instant::now();
        let probes = self.probed.is_none_or(|at| now.since(at) >= PROBED_EVERY);
        if probes {
            self.probed = Some(now);
        }
        probes
    }

    /// Forgets what was known: the way may be another one.
    pub(in crate::raft) fn restart(&mut self) {
        self.best = [Best::default(); 2];
        self.since = None;
    }

    /// Notes that so many bytes leave.
    pub(in crate::raft) fn sends(&self, bytes: usize) -> Sent {
        Sent {
            bytes,
            at: Instant::now(),
            delivered: self.delivered,
        }
    }

    /// Notes that what was sent is answered.
    pub(in crate::raft) fn answered(&mut self, sent: Sent) {
        let now = Instant::now();
        // The clock may stand still between the two.
        let took = now.since(sent.at).max(Duration::from_micros(10));
        self.delivered += sent.bytes as u64;
        let rate = (self.delivered - sent.delivered) as f64 / took.as_secs_f64();
        if self.since.is_none_or(|since| now.since(since) >= REMEMBERED) {
            let before = match self.since {
                Some(since) if now.since(since) < REMEMBERED * 2 => self.best[0],
                _ => Best::default(),
            };
            self.best = [Best::default(), before];
            self.since = Some(now);
        }
        let best = self.best();
        if best.rate > 0.0 {
            let expected = Duration::from_secs_f64(self.limit() as f64 / best.rate);
            if took > best.shortest + expected * 2 + FALLEN && rate < best.rate / 4.0 {
                self.best = [Best::default(), Best { rate, ..best }];
                return;
            }
        }
        self.best[0].rate = self.best[0].rate.max(rate);
        self.best[0].shortest = self.best[0].shortest.min(took);
    }
}

/// How long so many bytes may take on the slowest link that is waited for.
pub(in crate::raft) fn time_for(bytes: usize) -> Duration {
    Duration::from_millis((bytes * 1000 / SLOWEST) as u64)
}

/// What an entry takes in a message, about.
pub(in crate::raft) fn size_of_entry(entry: &Entry) -> usize {
    const HEAD: usize = 32;
    match &entry.payload {
        EntryPayload::Normal(command) => HEAD + command.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => HEAD,
    }
}

/// Splits a request into such of at most `most` bytes each, or one entry.
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

pub(in crate::raft) fn lock(flow: &Mutex<Flow>) -> MutexGuard<'_, Flow> {
    flow.lock().unwrap_or_else(PoisonError::into_inner)
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
            assert_eq!(flow.limit(), MOST);
            env::sleep(REMEMBERED * 2).await;
            assert_eq!(flow.limit(), LEAST);
        });
    }

    /// One small piece at a time says only how long the way is.
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
