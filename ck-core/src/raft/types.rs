//! The type parameters for openraft. They stay inside this module: no openraft type is on disk, on the wire or in a
//! public API.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::storage::wal;
use crate::error::{Error, ErrorCode};
pub(crate) use crate::model::RaftId;
use crate::state::Response;

/// An encoded proposal. It is encoded once, on the node that proposes it, and decoded once on each node that applies
/// it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Command(pub(crate) Bytes);

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({} bytes)", self.0.len())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The state machine's response to an entry; `None` for blank and membership entries.
#[derive(Debug, Clone)]
pub(crate) struct Applied(pub(crate) Option<Response>);

openraft::declare_raft_types!(
    /// The type configuration of openraft. Node addresses come from the replicated topology, so openraft's node type is
    /// empty.
    pub(crate) Types:
        D = Command,
        R = Applied,
        NodeId = RaftId,
        Node = openraft::EmptyNode,
        AsyncRuntime = crate::env::Runtime,
);

pub(crate) type LogId = openraft::alias::LogIdOf<Types>;
pub(crate) type LeaderId = openraft::alias::LeaderIdOf<Types>;
pub(crate) type Vote = openraft::alias::VoteOf<Types>;
pub(crate) type Entry = openraft::alias::EntryOf<Types>;
pub(crate) type Payload = openraft::alias::PayloadOf<Types>;
pub(crate) type Membership = openraft::Membership<RaftId, openraft::EmptyNode>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<Types>;

/// Converts a log id to the form of the write-ahead log.
pub(crate) fn to_wal_id(id: LogId) -> wal::LogId {
    wal::LogId {
        term: id.leader_id.term,
        node: id.leader_id.node_id,
        index: id.index,
    }
}

/// Converts a log id to openraft's form.
pub(crate) fn from_wal_id(id: wal::LogId) -> LogId {
    LogId::new(
        LeaderId {
            term: id.term,
            node_id: id.node,
        },
        id.index,
    )
}

/// Converts a vote to the form of the write-ahead log.
pub(crate) fn to_wal_vote(vote: &Vote) -> wal::Vote {
    wal::Vote {
        term: vote.leader_id.term,
        node: vote.leader_id.node_id,
        committed: vote.committed,
    }
}

/// Converts a vote to openraft's form.
pub(crate) fn from_wal_vote(vote: wal::Vote) -> Vote {
    Vote {
        leader_id: LeaderId {
            term: vote.term,
            node_id: vote.node,
        },
        committed: vote.committed,
    }
}

/// Wraps an error as the `io::Error` that the traits of openraft require.
pub(crate) fn io_error(error: Error) -> std::io::Error {
    std::io::Error::other(error)
}

/// The error of an openraft call that fails because Raft has stopped.
pub(super) fn stopped(error: impl fmt::Display) -> Error {
    Error::new(
        ErrorCode::Stopped,
        format!("Raft has stopped on this node: {error}"),
    )
}
