//! Raft RPCs between nodes: sends them, receives them, and checks each one before Raft, the log or the pledges see it.

pub(in crate::raft) mod flow;
pub(in crate::raft) mod heartbeats;
pub(in crate::raft) mod inbound;
pub(in crate::raft) mod network;
pub(in crate::raft) mod pipeline;
pub(in crate::raft) mod rpc_server;
pub(in crate::raft) mod snapshot_receiver;
pub(in crate::raft) mod snapshot_sender;
pub(in crate::raft) mod wire;
