//! Elections and leases: when a node campaigns, what a voter pledges to a leader, and how long a leader may act.

pub(in crate::raft) mod election_timer;
pub(in crate::raft) mod lateness;
pub(in crate::raft) mod leader_lease;
pub(in crate::raft) mod leadership;
pub(in crate::raft) mod pledge;
pub(in crate::raft) mod pledge_file;
pub(in crate::raft) mod quorum_acks;
pub(in crate::raft) mod transfer;

pub(crate) use lateness::stretch_for;
pub(crate) use leadership::{Leadership, LeadershipChange};
