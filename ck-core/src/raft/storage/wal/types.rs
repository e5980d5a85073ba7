//! What the log holds, and the errors that name a place in it.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::frame::{Reader, put_u64};
use crate::{Error, ErrorCode};

/// What a data directory is good for of which a part is damaged or missing.
pub(crate) const WHAT_TO_DO: &str = "restore the whole data_dir as it was when the node stopped, or move it away and start \
                                     this node with an empty one: it comes back as a new node, and the others bring it \
                                     up to date";

/// A file of a data directory that is longer than such a file can be is not that file.
pub(crate) fn too_long_is_damage(error: Error) -> Error {
    match error.code() {
        ErrorCode::TooLarge => Error::new(ErrorCode::Corrupt, format!("{}; {WHAT_TO_DO}", error.message())),
        _ => error,
    }
}

/// The identity of a log entry: who proposed it, and its place. Ordered as Raft orders log ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogId {
    /// The term of the leader that proposed the entry.
    pub term: u64,
    /// The Raft id of that leader.
    pub node: u64,
    /// The place in the log; consecutive, beginning at 0 or 1.
    pub index: u64,
}

/// The vote that a node has granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vote {
    /// The term of the candidate.
    pub term: u64,
    /// The Raft id of the candidate.
    pub node: u64,
    /// True when a quorum granted it, so that the candidate is leader.
    pub committed: bool,
}

/// One entry. The log does not look into the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The entry's identity.
    pub id: LogId,
    /// What the payload is; the caller's numbers, kept as they are.
    pub kind: u8,
    /// The content, at most [`MAX_PAYLOAD`](super::MAX_PAYLOAD) bytes. It stays in the cache as it is, so a
    /// slice of a larger buffer keeps that buffer alive.
    pub payload: Bytes,
}

/// Whose log it is. A log that was put into another node's directory must not be taken for that node's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// The cluster's id, filled up with zeros.
    cluster: [u8; Owner::CLUSTER],
    /// The node's Raft id.
    raft_id: u64,
}

impl Owner {
    const CLUSTER: usize = 32;
    pub(crate) const LENGTH: usize = Owner::CLUSTER + 8;

    /// The owner of this Raft id in this cluster.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] when the cluster's id has more than 32 bytes.
    pub fn new(cluster_id: &str, raft_id: u64) -> crate::Result<Self> {
        let mut cluster = [0; Owner::CLUSTER];
        let Some(room) = cluster.get_mut(..cluster_id.len()) else {
            let message = format!(
                "cluster id {cluster_id:?} is longer than {} bytes",
                Owner::CLUSTER
            );
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        };
        room.copy_from_slice(cluster_id.as_bytes());
        Ok(Owner { cluster, raft_id })
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.cluster);
        put_u64(out, self.raft_id);
    }

    pub(super) fn get(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Owner {
            cluster: reader.take()?,
            raft_id: reader.u64()?,
        })
    }

    /// The owner as [`put`](Self::put) wrote it; `None` when that is too short.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Owner::get(&mut Reader(bytes))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.cluster.iter().position(|byte| *byte == 0);
        let cluster = String::from_utf8_lossy(&self.cluster[..end.unwrap_or(Owner::CLUSTER)]);
        write!(f, "Raft id {} of cluster {cluster:?}", self.raft_id)
    }
}

impl LogId {
    pub(super) const LENGTH: usize = 24;

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.term);
        put_u64(out, self.node);
        put_u64(out, self.index);
    }

    pub(super) fn get(reader: &mut Reader<'_>) -> Option<Self> {
        Some(LogId {
            term: reader.u64()?,
            node: reader.u64()?,
            index: reader.u64()?,
        })
    }

    /// Options take the same space whether or not there is a value.
    pub(super) fn put_option(id: Option<LogId>, out: &mut Vec<u8>) {
        out.push(u8::from(id.is_some()));
        id.unwrap_or(LogId {
            term: 0,
            node: 0,
            index: 0,
        })
        .put(out);
    }

    pub(super) fn get_option(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let present = reader.bool()?;
        let id = LogId::get(reader)?;
        Some(present.then_some(id))
    }
}

impl Vote {
    pub(super) const LENGTH: usize = 17;

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.term);
        put_u64(out, self.node);
        out.push(u8::from(self.committed));
    }

    pub(super) fn get(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Vote {
            term: reader.u64()?,
            node: reader.u64()?,
            committed: reader.bool()?,
        })
    }

    pub(super) fn put_option(vote: Option<Vote>, out: &mut Vec<u8>) {
        out.push(u8::from(vote.is_some()));
        vote.unwrap_or(Vote {
            term: 0,
            node: 0,
            committed: false,
        })
        .put(out);
    }

    pub(super) fn get_option(reader: &mut Reader<'_>) -> Option<Option<Self>> {
        let present = reader.bool()?;
        let vote = Vote::get(reader)?;
        Some(present.then_some(vote))
    }
}

/// The error for damage: always names the file and the offset, and what a directory is good for that has it.
pub(super) fn corrupt(file: &Path, offset: impl Into<u64>, what: &str) -> Error {
    let message = format!(
        "{}: damaged at offset {}: {what}; {WHAT_TO_DO}",
        file.display(),
        offset.into()
    );
    Error::new(ErrorCode::Corrupt, message)
}
