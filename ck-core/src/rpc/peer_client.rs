//! Makes calls to other nodes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{decode, encode};
use super::service::Service;
use crate::error::{Error, ErrorCode, Result};
use crate::model::RaftId;
use crate::net::{Lane, Transport};

/// Resolves Raft ids to addresses, as far as they are known now.
pub(crate) trait Addresses: Send + Sync + 'static {
    /// The address of a Raft node; `None` if it is not known.
    fn address_of(&self, raft_id: RaftId) -> Option<String>;
    /// The id of this node's cluster, which every call carries; empty before the node belongs to one.
    fn cluster_id(&self) -> String;
}

/// The calls of one service.
pub(crate) trait PeerCall: Serialize {
    /// The type of every answer.
    type Answer: DeserializeOwned;
    /// The service that takes the calls.
    const SERVICE: Service;
    /// What an error calls an answer that cannot be decoded.
    const ANSWER: &'static str;
}

/// Makes calls to other nodes. Clones share the connections.
#[derive(Clone)]
pub(crate) struct PeerClient {
    transport: Arc<dyn Transport>,
    addresses: Arc<dyn Addresses>,
}

impl PeerClient {
    pub(crate) fn new(transport: Arc<dyn Transport>, addresses: Arc<dyn Addresses>) -> Self {
        PeerClient { transport, addresses }
    }

    /// The id of this node's cluster; empty before the node belongs to one.
    pub(crate) fn cluster_id(&self) -> String {
        self.addresses.cluster_id()
    }

    /// The address of a Raft node; `None` if it is not known.
    pub(crate) fn address_of(&self, raft_id: RaftId) -> Option<String> {
        self.addresses.address_of(raft_id)
    }

    /// Makes one call and gives the answer, whatever it says.
    ///
    /// # Errors
    /// Those of [`Transport::call`]; [`ErrorCode::Corrupt`] for an answer that cannot be decoded.
    pub(crate) async fn call<C: PeerCall>(
        &self,
        address: &str,
        lane: Lane,
        call: &C,
        timeout: Duration,
    ) -> Result<C::Answer> {
        let request = C::SERVICE.envelope(&encode(call)?);
        let answer = self.transport.call(address, lane, request, timeout).await?;
        decode(&answer, C::ANSWER)
    }

    /// Opens the connection that a call on this lane would use, where it is not open.
    ///
    /// # Errors
    /// Those of [`Transport::connect`].
    pub(crate) async fn connect(&self, address: &str, lane: Lane, timeout: Duration) -> Result<()> {
        self.transport.connect(address, lane, timeout).await
    }

    /// The addresses behind `name`: see [`Transport::resolve`].
    pub(crate) async fn resolve(&self, name: &str) -> Vec<String> {
        self.transport.resolve(name).await
    }

    /// Closes all connections. No call succeeds after that.
    pub(crate) fn close(&self) {
        self.transport.close();
    }
}

/// The error for an answer of the wrong kind, which is a defect of the peer, or the answer of another version.
pub(crate) fn unexpected(answer: &impl fmt::Debug) -> Error {
    Error::new(
        ErrorCode::Version,
        format!("the peer answered out of turn: {answer:?}"),
    )
}
