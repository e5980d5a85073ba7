//! The form of log entries, memberships and snapshot headers on the disk and on the wire. It is ClusterKit's own: no type
//! of openraft is in it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use serde::{Deserialize, Serialize};

use super::storage::wal;
use super::types::{
    Command, Entry, Membership, Payload, RaftId, SnapshotMeta, StoredMembership, from_wal_id, to_wal_id,
};
use crate::error::{Error, ErrorCode, Result};
use crate::rpc::{decode, encode};
use crate::state::Proposal;

const KIND_BLANK: u8 = 0;
const KIND_COMMAND: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// The most nodes of a membership, voters and learners together. A larger membership is refused.
const MAX_MEMBERS: usize = 65_536;

/// A Raft membership: one set of voters, or two during a joint change, and all voters and learners.
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

/// Converts a log entry to the form of the write-ahead log.
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

/// Converts a log entry to openraft's form.
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

/// Refuses an entry that could not be applied. Once such an entry is committed, it stops every node that reaches it, on
/// every restart.
pub(super) fn check_entry(entry: &Entry) -> Result<()> {
    match &entry.payload {
        EntryPayload::Blank => Ok(()),
        EntryPayload::Normal(command) => {
            decode::<Proposal>(&command.0, "a command")
                .map_err(|error| error.context(format!("log entry {}", entry.log_id.index)))?;
            Ok(())
        }
        EntryPayload::Membership(membership) => check_membership(membership),
    }
}

/// Checks that every configuration has a voter, that there are one or two configurations (two during a joint change),
/// that every voter is a member, and that there are at most [`MAX_MEMBERS`] members.
fn check_membership(membership: &Membership) -> Result<()> {
    let configs = membership.get_joint_config();
    let count = membership.nodes().count();
    let fits = (1..=2).contains(&configs.len())
        && configs.iter().all(|voters| !voters.is_empty())
        && membership
            .voter_ids()
            .all(|id| membership.get_node(&id).is_some())
        && count <= MAX_MEMBERS;
    if fits {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::Corrupt,
        format!("a membership of {count} nodes with the voters {configs:?} can elect nobody"),
    ))
}

/// The header of a snapshot: its last entry and its membership.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotHeader {
    last: Option<wal::LogId>,
    membership_id: Option<wal::LogId>,
    membership: MembershipRecord,
}

impl From<&SnapshotMeta> for SnapshotHeader {
    fn from(meta: &SnapshotMeta) -> Self {
        SnapshotHeader {
            last: meta.last_log_id.map(to_wal_id),
            membership_id: meta.last_membership.log_id().map(to_wal_id),
            membership: meta.last_membership.membership().into(),
        }
    }
}

impl SnapshotHeader {
    /// The id of the last entry, and of the entry that set the membership.
    pub(super) fn ids(&self) -> (Option<wal::LogId>, Option<wal::LogId>) {
        (self.last, self.membership_id)
    }

    /// Changes the header to cover entries up to `index`.
    #[cfg(all(feature = "sim", any(test, feature = "fuzz")))]
    pub(super) fn cover(&mut self, index: u64) {
        for id in [&mut self.last, &mut self.membership_id].into_iter().flatten() {
            id.index = index;
        }
    }

    /// Converts to openraft's form, and checks the membership, for a snapshot that another node sends.
    pub(super) fn into_checked_meta(self) -> Result<SnapshotMeta> {
        let meta = self.into_meta()?;
        check_membership(meta.last_membership.membership())?;
        Ok(meta)
    }

    /// Converts to openraft's form.
    pub(crate) fn into_meta(self) -> Result<SnapshotMeta> {
        let membership = self.membership.into_membership()?;
        Ok(SnapshotMeta {
            last_log_id: self.last.map(from_wal_id),
            last_membership: StoredMembership::new(self.membership_id.map(from_wal_id), membership),
        })
    }
}

#[cfg(test)]
impl MembershipRecord {
    pub(super) fn of_parts(configs: &[&[RaftId]]) -> Self {
        MembershipRecord {
            configs: configs
                .iter()
                .map(|config| config.iter().copied().collect())
                .collect(),
            nodes: configs.iter().flat_map(|config| config.iter().copied()).collect(),
        }
    }
}

#[cfg(test)]
impl SnapshotHeader {
    pub(super) fn of_parts(
        last: Option<wal::LogId>,
        membership_id: Option<wal::LogId>,
        configs: &[&[RaftId]],
    ) -> Self {
        SnapshotHeader {
            last,
            membership_id,
            membership: MembershipRecord::of_parts(configs),
        }
    }
}
