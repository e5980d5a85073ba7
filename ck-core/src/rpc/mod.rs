//! Calls between nodes: what they are, how one is made, and how one is answered.
//!
//! A node offers three services to its peers ([`Service`]): Raft RPCs, proposals forwarded to the leader, and calls
//! about members. All of them are MessagePack with field names over one transport, so all go through the same two
//! types: [`PeerClient`] makes a call, and [`Dispatcher`] answers it. Timeouts, decoding, the check of the cluster and
//! answers of the wrong kind are handled there and nowhere else. `docs/protocol.md` lists every call with what it may
//! do and what it checks.
//!
//! - `messages`: the calls about members and their answers. The messages of Raft are in `raft`, because they are made
//!   of Raft's types.
//! - `codec`: the encoding.
//!
//! Starts no task: a call is made in the caller's, and answered in one of the connection that it came over. Takes no
//! lock.
//!
//! Invariant: a service sees no call that is too long, that cannot be decoded, or that names another cluster. A ping
//! and a join name none that is checked here, because a node without a cluster makes them.
//!
//! Start with `PeerClient::call` and `Dispatcher::dispatch`.

mod codec;
mod dispatcher;
mod messages;
mod peer_client;
mod process_tag;
mod service;

pub(crate) use codec::{at_most, decode, encode};
pub(crate) use dispatcher::{Dispatcher, PeerService};
pub(crate) use messages::{
    CopyReport, Forming, JoinAnswer, JoinReply, JoinRequest, MemberAnswer, MemberCall, MemberReply,
    MemberRequest, PeerAddress, Pong, SyncReply, SyncReport,
};
pub(crate) use peer_client::{Addresses, PeerCall, PeerClient, unexpected};
pub(crate) use process_tag::ProcessTag;
pub(crate) use service::Service;
