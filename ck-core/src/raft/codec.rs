//! The encoding of log entries and snapshots. It is ClusterKit's own and self-describing, so that versions one apart
//! can read each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use serde::de::{self, DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::storage::wal;
use super::types::{
    Command, Entry, Membership, Payload, RaftId, SnapshotMeta, StoredMembership, from_wal_id, to_wal_id,
};
use crate::error::{Error, ErrorCode, Result};
use crate::state::Proposal;

const KIND_BLANK: u8 = 0;
const KIND_COMMAND: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// The most nodes of a membership, voters and learners together. A larger membership is refused.
const MAX_MEMBERS: usize = 65_536;

/// Encodes with field names, so that a reader of another version may know fewer or more fields.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes> {
    match rmp_serde::to_vec_named(value) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(Error::internal(format!("encode: {error}"))),
    }
}

/// Decodes what [`encode`] wrote.
///
/// # Errors
/// [`ErrorCode::Corrupt`] with `what` in the message.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    rmp_serde::from_slice(bytes)
        .map_err(|error| Error::new(ErrorCode::Corrupt, format!("{what} cannot be read: {error}")))
}

/// Decodes a list of at most `N` elements. An element may take one byte on the wire and a hundred in memory, so the
/// limit on message size alone does not bound the memory.
pub(super) fn at_most<'de, D, T, const N: usize>(deserializer: D) -> std::result::Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct AtMost<T, const N: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for AtMost<T, N> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {N}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Vec<T>, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = list.next_element()? {
                if elements.len() == N {
                    return Err(de::Error::custom(format_args!("a list of more than {N}")));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }

    deserializer.deserialize_seq(AtMost::<T, N>(PhantomData))
}

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
