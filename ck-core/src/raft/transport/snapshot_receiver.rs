//! Receives a snapshot from the leader, chunk by chunk.
//!
//! Invariant: one snapshot is received at a time. Its chunks are kept only while the transfer can still complete: under
//! the vote that it came with, and while its connection exists. A sender that disappears in the middle of a transfer
//! leaves no data behind.
//!
//! Task: `SnapshotReceiver::run` looks every second for chunks whose connection is gone or whose sender has given up.
//!
//! Lock: `SnapshotReceiver::incoming`, while a chunk is added. Nothing else is locked under it.
//!
//! Start with `SnapshotReceiver::take`. `checked` is what a complete snapshot must pass; it runs in the blocking pool.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};

use super::inbound::LocalState;
use super::wire::SnapshotChunk;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::net::PeerConnection;
use crate::raft::codec::SnapshotHeader;
use crate::raft::storage::snapshot_file;
use crate::raft::storage::state_machine::Snapshot;
use crate::raft::storage::wal;
use crate::rpc::decode;
use crate::state::State;

/// How often the connection of the chunks received so far is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A sender that sends no chunk for this long has given up.
const MAX_CHUNK_PAUSE: Duration = Duration::from_secs(60);

/// The chunks received so far.
#[derive(Default)]
pub(in crate::raft) struct SnapshotReceiver {
    incoming: Mutex<Option<Incoming>>,
}

struct Incoming {
    vote: wal::Vote,
    head: Bytes,
    data: BytesMut,
    over: Weak<PeerConnection>,
    /// When the last chunk arrived.
    last: Instant,
}

impl SnapshotReceiver {
    fn incoming(&self) -> MutexGuard<'_, Option<Incoming>> {
        self.incoming.lock()
    }

    /// Drops chunks whose connection is gone or whose sender has given up, until it is aborted.
    pub(in crate::raft) async fn run(self: Arc<Self>) {
        loop {
            env::sleep(CHECK_INTERVAL).await;
            self.let_go();
        }
    }

    fn let_go(&self) {
        let is_over = |incoming: &mut Incoming| {
            incoming.over.strong_count() == 0 || incoming.last.elapsed() > MAX_CHUNK_PAUSE
        };
        self.incoming().take_if(is_over);
    }

    /// Adds a chunk. The result is the whole snapshot once it is complete.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`], [`ErrorCode::Conflict`] for a chunk out of order, [`ErrorCode::Corrupt`] for a chunk
    /// that ends after the announced total, or for a head that cannot be decoded.
    pub(in crate::raft) fn take(
        &self,
        chunk: SnapshotChunk,
        over: &Arc<PeerConnection>,
    ) -> Result<Option<(SnapshotHeader, Bytes)>> {
        let SnapshotChunk {
            vote,
            head,
            offset,
            total,
            data,
        } = chunk;
        if total > snapshot_file::MAX_BYTES {
            let message = format!(
                "a snapshot of {total} bytes; at most {} are taken",
                snapshot_file::MAX_BYTES
            );
            return Err(Error::new(ErrorCode::TooLarge, message));
        }
        let end = offset.saturating_add(data.len() as u64);
        if end > total {
            return Err(Error::new(
                ErrorCode::Corrupt,
                format!("a piece of a snapshot of {total} bytes ends at {end}"),
            ));
        }
        let mut incoming = self.incoming();
        if offset == 0 {
            *incoming = Some(Incoming {
                vote,
                head: head.clone(),
                data: BytesMut::new(),
                over: Arc::downgrade(over),
                last: Instant::now(),
            });
        }
        let known = incoming
            .as_mut()
            .filter(|known| known.vote == vote && known.head == head && offset <= known.data.len() as u64);
        let out_of_order = || Error::new(ErrorCode::Conflict, "a piece of a snapshot came out of order");
        let known = known.ok_or_else(out_of_order)?;
        // A sender that lost its connection continues over another one.
        known.over = Arc::downgrade(over);
        known.last = Instant::now();
        let has = known.data.len() as u64;
        if offset < has && end <= has {
            // A repeated chunk: its answer was lost.
            return Ok(None);
        }
        if offset != has {
            *incoming = None;
            return Err(out_of_order());
        }
        known.data.extend_from_slice(&data);
        if end < total {
            return Ok(None);
        }
        let whole = incoming
            .take()
            .map(|known| known.data.freeze())
            .unwrap_or_default();
        drop(incoming);
        let head = decode(&head, "the head of a snapshot")?;
        Ok(Some((head, whole)))
    }
}

/// Checks that a snapshot is consistent and fits this node. Installing one that does not would stop Raft on this node.
///
/// # Errors
/// [`ErrorCode::InvalidArgument`], [`ErrorCode::WrongCluster`], [`ErrorCode::Corrupt`], [`ErrorCode::Version`].
pub(in crate::raft) fn checked(
    known: LocalState,
    vote: wal::Vote,
    cluster_id: &str,
    head: SnapshotHeader,
    data: Bytes,
) -> Result<Snapshot> {
    let last = known.check_snapshot(&head, (vote.term, vote.node))?;
    let meta = head.into_checked_meta()?;
    let state = State::decode(&data)?;
    if state.revision() != last {
        return Err(Error::new(
            ErrorCode::Corrupt,
            format!(
                "a snapshot up to entry {last} holds the state after entry {}",
                state.revision()
            ),
        ));
    }
    let of = &state.topology().cluster_id;
    if !of.is_empty() && of != cluster_id {
        return Err(Error::new(
            ErrorCode::WrongCluster,
            format!("this node is of cluster {cluster_id:?}, the snapshot of {of:?}"),
        ));
    }
    Ok(Snapshot { meta, snapshot: data })
}

#[cfg(test)]
mod tests;
