//! A snapshot on its way to a follower: in pieces as large as the link takes in a few milliseconds.

use std::time::Duration;

use openraft::network::RPCOption;
use openraft::raft::SnapshotResponse;

use super::network::{Peer, unexpected};
use super::wire::{RaftAnswer, RaftCall, SnapshotChunk};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::net::Lane;
use crate::raft::codec::{self, SnapshotHeader};
use crate::raft::storage::state_machine::Snapshot;
use crate::raft::types::{Types, Vote, from_wal_vote, to_wal_vote};

/// The least and the most of a snapshot that goes in one message. The least goes first.
const LEAST_CHUNK: usize = 8 << 10;
const MOST_CHUNK: usize = 1 << 20;
/// How long a piece of a snapshot may keep the link busy, or three times the shortest answer where that is more: what is
/// sent meanwhile, heartbeats too, waits as long.
const CHUNK_TIME: Duration = Duration::from_millis(10);
/// A piece that was lost is sent again so many times, after this pause.
const CHUNK_RETRIES: u32 = 10;
const CHUNK_PAUSE: Duration = Duration::from_millis(200);
/// How long one piece of a snapshot may take. Not longer: while a lost piece is waited for, a follower that can be
/// reached again is not helped.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(5);
/// The last piece takes longer, because the snapshot is installed with it: at least so much of it in a second.
const INSTALLED_PER_SECOND: usize = 16 * 1024 * 1024;

impl Peer {
    /// Sends the pieces one after the other. The answer is that to the last, or to the first from a node that follows
    /// somebody else.
    pub(in crate::raft) async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>> {
        let head = codec::encode(&SnapshotHeader::from(&snapshot.meta))?;
        let total = snapshot.snapshot.len();
        let installation = Duration::from_secs((total / INSTALLED_PER_SECOND) as u64);
        let mut pace = ChunkPace::default();
        let (mut offset, mut lost) = (0, 0);
        loop {
            let end = (offset + pace.bytes).min(total);
            let timeout = if end == total {
                CHUNK_TIMEOUT + installation
            } else {
                CHUNK_TIMEOUT
            };
            let timeout = timeout.min(option.hard_ttl());
            let chunk = SnapshotChunk {
                vote: to_wal_vote(&vote),
                head: head.clone(),
                offset: offset as u64,
                total: total as u64,
                data: snapshot.snapshot.slice(offset..end),
            };
            let sent = Instant::now();
            let calling = self.call(Lane::Bulk, RaftCall::Snapshot(chunk), timeout);
            let answer = match env::timeout(timeout, calling).await {
                Ok(answer) => answer,
                Err(_) => Err(Error::new(
                    ErrorCode::Timeout,
                    "the peer took too long for a piece of a snapshot",
                )),
            };
            let answer = match answer {
                Ok(answer) => answer,
                // Its connection was lost, or it: what has arrived before is not sent again.
                Err(error) if offset > 0 && lost < CHUNK_RETRIES && is_passing(&error) => {
                    lost += 1;
                    pace = ChunkPace::default();
                    env::sleep(CHUNK_PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            lost = 0;
            let RaftAnswer::Snapshot { vote: theirs } = answer else {
                return Err(unexpected(&answer));
            };
            if end == total || theirs != to_wal_vote(&vote) {
                return Ok(SnapshotResponse::new(from_wal_vote(theirs)));
            }
            pace.answered(end - offset, Instant::now().since(sent));
            offset = end;
        }
    }
}

fn is_passing(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::Timeout | ErrorCode::Unreachable)
}

/// How large the pieces of a snapshot are, by how long they took.
#[derive(Debug)]
struct ChunkPace {
    bytes: usize,
    shortest: Duration,
}

impl Default for ChunkPace {
    fn default() -> Self {
        ChunkPace {
            bytes: LEAST_CHUNK,
            shortest: Duration::MAX,
        }
    }
}

impl ChunkPace {
    fn answered(&mut self, bytes: usize, took: Duration) {
        self.shortest = self.shortest.min(took);
        let wanted = CHUNK_TIME.max(self.shortest.saturating_mul(3).min(CHUNK_TIME * 40));
        let fits = bytes as f64 * wanted.as_secs_f64() / took.as_secs_f64().max(1e-6);
        // No more than twice as much at a time: one quick answer says little.
        self.bytes = (fits as usize).min(bytes * 2).clamp(LEAST_CHUNK, MOST_CHUNK);
    }
}
