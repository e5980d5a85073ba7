//! Raft RPCs between nodes: sends them, receives them, and checks each one before Raft, the log or the pledges see it.
//!
//! - Sending: `network` makes a `Peer` for each node and lane. `pipeline` keeps several appends in flight, `flow`
//!   limits their bytes, and `snapshot_sender` sends a snapshot in chunks. openraft's tasks drive all of them.
//! - `heartbeats`: ClusterKit's own, which are answered at once. Those of openraft wait for the follower's disk.
//! - Receiving: `rpc_server` is the service that the dispatcher calls, `inbound` has the checks, and
//!   `snapshot_receiver` collects the chunks of a snapshot.
//! - `wire`: the messages. No type of openraft is on the wire.
//!
//! Tasks: `LeaderHeartbeats::run` and `SnapshotReceiver::run`, which `RaftNode::open` spawns, and one for each heartbeat of
//! openraft, so that a late answer counts (`Peer::beat`).
//!
//! Locks: the flow and the late acknowledgements of a peer, and the chunks received. None is held across an await.
//!
//! Invariants: nothing is appended, voted or pledged before `Known::check_call` has passed the call. An acknowledgement
//! counts from when its request was sent. A vote leaves this node only where `Pledges::may_vote` allows it.
//!
//! Start with `RpcServer::answer` for what comes in, and with `Peer::append` for what goes out.

pub(in crate::raft) mod flow;
pub(in crate::raft) mod heartbeats;
pub(in crate::raft) mod inbound;
pub(in crate::raft) mod network;
pub(in crate::raft) mod pipeline;
pub(in crate::raft) mod rpc_server;
pub(in crate::raft) mod snapshot_receiver;
pub(in crate::raft) mod snapshot_sender;
pub(in crate::raft) mod wire;
