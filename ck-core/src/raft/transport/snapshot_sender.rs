//! Sends a snapshot to a follower, in chunks as large as the link carries in a few milliseconds.

use std::time::Duration;

use openraft::network::RPCOption;
use openraft::raft::SnapshotResponse;

use super::network::Peer;
use super::wire::{RaftAnswer, RaftCall, SnapshotChunk};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::net::Lane;
use crate::raft::codec::SnapshotHeader;
use crate::raft::storage::state_machine::Snapshot;
use crate::raft::types::{Types, Vote, from_wal_vote, to_wal_vote};
use crate::rpc::{encode, unexpected};

/// The smallest and the largest chunk in bytes. The first chunk is the smallest.
const LEAST_CHUNK: usize = 8 << 10;
const MOST_CHUNK: usize = 1 << 20;
/// How long a chunk may keep the link busy, or three times the shortest answer time if that is longer, but at most 40
/// times this. Whatever is sent meanwhile, heartbeats too, waits as long.
const CHUNK_TIME: Duration = Duration::from_millis(10);
/// A lost chunk, except the first, is sent again at most this many times in a row, each time after this pause.
const CHUNK_RETRIES: u32 = 10;
const CHUNK_PAUSE: Duration = Duration::from_millis(200);
/// The timeout of one chunk. It is short, because a follower that is reachable again gets no entries while the sender
/// waits for a lost chunk.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(5);
/// The last chunk gets more time, because the follower installs the snapshot with it: it installs at least this many
/// bytes in a second.
const INSTALLED_PER_SECOND: usize = 16 * 1024 * 1024;

impl Peer {
    /// Sends the chunks one after the other. The result is the answer to the last chunk, or the first answer with
    /// another vote: that node follows another leader.
    pub(in crate::raft) async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>> {
        let head = encode(&SnapshotHeader::from(&snapshot.meta))?;
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
                // The connection or the chunk was lost. The chunks that arrived before are not sent again.
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

/// Chooses the size of the chunks by how long the answers took.
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
        // At most doubled each time, because one quick answer says little.
        self.bytes = (fits as usize).min(bytes * 2).clamp(LEAST_CHUNK, MOST_CHUNK);
    }
}
