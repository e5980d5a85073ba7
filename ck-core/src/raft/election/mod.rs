//! Elections and leases: when a node campaigns, what a voter pledges to a leader, and how long a leader may act.
//!
//! - A voter: `election_timer` decides when to campaign. `pledge` knows what this node has pledged and which votes have
//!   left it, and `pledge_file` what it may have pledged before a restart. `lateness` measures the node's own delays.
//! - A leader: `quorum_acks` has the acknowledgements of the voters, and `leader_lease` derives from them the lease and
//!   linearizable reads. `leadership` gives each leadership an epoch, and `transfer` hands it over.
//!
//! Tasks: `ElectionTimer::run` and `stretch_pledges`, which `RaftNode::open` spawns, and `Leadership::run`, which the
//! node spawns: it reports every change, in order.
//!
//! Locks: `Pledges::book` is held while a delay is noted in `Lateness::seen`. `Pledges::book`, `QuorumAcks::table` and
//! `RaftNode::handing_over` are taken under a borrow of openraft's metrics, and no metrics are borrowed under them.
//!
//! Invariants: no vote for another candidate leaves a voter while its pledge is in force. A leader's lease is shorter
//! than the pledges that it rests on, and is given up before another node is asked to take over. A node leads with an
//! epoch, which is committed first and counts only under the lease.
//!
//! Start with `pledge`, then `RaftNode::lease_until` in `leader_lease`.

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
