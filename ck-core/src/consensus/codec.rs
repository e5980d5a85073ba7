//! Log entries and snapshots as bytes: our own forms, self-describing, so that versions one apart read each other.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::types::{
    Command, Entry, Membership, Payload, RaftId, SnapshotMeta, StoredMembership, from_wal_id, to_wal_id,
};
use super::wal;
use crate::error::{Error, ErrorCode, Result};

const KIND_BLANK: u8 = 0;
const KIND_COMMAND: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// Encodes with field names, so that a reader may know fewer or more of them.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes> {
    match rmp_serde::to_vec_named(value) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(Error::internal(format!("encode: {error}"))),
    }
}

/// Decodes what [`encode`] wrote.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    rmp_serde::from_slice(bytes)
        .map_err(|error| Error::new(ErrorCode::Corrupt, format!("{what} cannot be read: {error}")))
}

/// Who takes part in Raft: one set of voters, or two while it changes, and everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MembershipRecord {
    configs: Vec<BTreeSet<RaftId>>,
    nodes: BTreeSet<RaftId>,
}

impl From<&Membership> for MembershipRecord {
    fn from(membership: &Membership) -> Self {
        MembershipRecord {
            configs: membership.get_joint_config().clone(),
            nodes: membership.nodes().map(|(id, _)| *id).collect(),
        }
    }
}

impl MembershipRecord {
    fn into_membership(self) -> Result<Membership> {
        let nodes: BTreeMap<RaftId, openraft::EmptyNode> = self
            .nodes
            .into_iter()
            .map(|id| (id, openraft::EmptyNode::new()))
            .collect();
        Membership::new(self.configs, nodes)
            .map_err(|error| Error::new(ErrorCode::Corrupt, format!("membership: {error}")))
    }
}

/// A log entry in the log's own form.
pub(crate) fn to_wal_entry(entry: &Entry) -> Result<wal::Entry> {
    let (kind, payload) = match &entry.payload {
        EntryPayload::Blank => (KIND_BLANK, Bytes::new()),
        EntryPayload::Normal(command) => (KIND_COMMAND, command.0.clone()),
        EntryPayload::Membership(membership) => {
            (KIND_MEMBERSHIP, encode(&MembershipRecord::from(membership))?)
        }
    };
    Ok(wal::Entry {
        id: to_wal_id(entry.log_id),
        kind,
        payload,
    })
}

/// A log entry in openraft's form.
pub(crate) fn from_wal_entry(entry: wal::Entry) -> Result<Entry> {
    let payload: Payload = match entry.kind {
        KIND_BLANK => EntryPayload::Blank,
        KIND_COMMAND => EntryPayload::Normal(Command(entry.payload)),
        KIND_MEMBERSHIP => {
            let record: MembershipRecord = decode(&entry.payload, "a membership entry")?;
            EntryPayload::Membership(record.into_membership()?)
        }
        kind => {
            return Err(Error::new(
                ErrorCode::Version,
                format!(
                    "log entry {} is of kind {kind}, which this build does not know",
                    entry.id.index
                ),
            ));
        }
    };
    Ok(Entry::new(from_wal_id(entry.id), payload))
}

/// What a snapshot covers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotHead {
    last: Option<wal::LogId>,
    membership_id: Option<wal::LogId>,
    membership: MembershipRecord,
}

impl From<&SnapshotMeta> for SnapshotHead {
    fn from(meta: &SnapshotMeta) -> Self {
        SnapshotHead {
            last: meta.last_log_id.map(to_wal_id),
            membership_id: meta.last_membership.log_id().map(to_wal_id),
            membership: meta.last_membership.membership().into(),
        }
    }
}

impl SnapshotHead {
    /// The same in openraft's form.
    pub(crate) fn into_meta(self) -> Result<SnapshotMeta> {
        let membership = self.membership.into_membership()?;
        Ok(SnapshotMeta {
            last_log_id: self.last.map(from_wal_id),
            last_membership: StoredMembership::new(self.membership_id.map(from_wal_id), membership),
        })
    }
}
