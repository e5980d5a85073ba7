//! The peer network: requests from one node to another and their answers, whatever they are about.
//!
//! - [`Transport`] is the seam: one request, one answer. [`TcpTransport`] is the real one; the simulator's is
//!   in `sim`, that of test clusters in `memory`.
//! - [`PeerServer`] is the other end: it takes connections that were upgraded on `GET /peer` and hands their
//!   requests to a [`Handler`].
//! - `Connector` makes connections for programs that are no peers: the client of the REST API (`client`).
//! - `connection_pool` has a `pool_slot` for each address and lane, which dials an `outgoing_connection` when a call needs
//!   one; `incoming_connection` is the served end.
//! - `frame` is the encoding with `frame_check`, `handshake` the upgrade with the proofs of `security`, `outbox` the writing
//!   half of a connection.
//!
//! A peer is dialled once per [`Lane`], so that a snapshot never delays a heartbeat.

mod bind;
mod byte_budget;
mod call_rate;
mod connection_pool;
mod connector;
mod dial;
mod eviction_queue;
mod failed_proofs;
mod frame;
mod frame_check;
#[cfg(any(test, feature = "fuzz"))]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a fuzz target reports what it found by a panic"
)]
pub(crate) mod fuzz;
mod handshake;
mod incoming_connection;
#[cfg(feature = "testing")]
pub(crate) mod memory;
mod network_table;
mod outbox;
mod outgoing_connection;
mod peer_connection;
mod pool_slot;
mod resolver_cache;
pub(crate) mod security;
mod server;
#[cfg(feature = "sim")]
pub mod sim;
mod socket;
mod tcp;
#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::error::{Error, ErrorCode, Result};

pub use bind::bind;
pub(crate) use call_rate::CallRate;
pub(crate) use connector::Connector;
pub(crate) use eviction_queue::{EvictionHandle, EvictionQueue, network_of};
pub use handshake::{Hello, PEER_PATH};
pub use peer_connection::PeerConnection;
#[cfg(test)]
pub(crate) use security::test_certificates;
pub use security::{
    BlockingTlsStream, CertificateIdentity, CertificateName, ClientTls, ClientTlsPem, ClusterKeys,
    ConnectionIdentity, KeyId, KeyUse, Keyring, LocalIdentity, PeerStream, Principal, Role, Security, Tls,
    TlsOwner, TlsPem, Token,
};
pub(crate) use security::{Opening, tls_refusal};
pub use server::PeerServer;
pub use socket::Socket;
pub use tcp::TcpTransport;

/// A lane is a connection of its own, so that bulk does not delay control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Votes, heartbeats, pings: small and urgent. Handled concurrently.
    Control,
    /// Log entries. The requests of one connection are begun strictly in the order in which they were sent: the handler's
    /// future of a request is first polled after the future of the request before it. From then on they are handled
    /// concurrently.
    Log,
    /// Snapshots. Handled concurrently.
    Bulk,
    /// Forwarded calls, join, sync. Handled concurrently.
    Request,
}

impl Lane {
    /// Every lane.
    pub const ALL: [Lane; 4] = [Lane::Control, Lane::Log, Lane::Bulk, Lane::Request];

    /// The lane's name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Lane::Control => "control",
            Lane::Log => "log",
            Lane::Bulk => "bulk",
            Lane::Request => "request",
        }
    }

    /// The lane with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Lane::ALL.into_iter().find(|lane| lane.name() == name)
    }
}

/// Answers requests, each with the connection that it came over. It should return its future quickly and do its work
/// inside the future, which may take any time.
///
/// A call that its caller gave up still runs to its end here. A panic is caught and answered with `INTERNAL`.
pub type Handler = Arc<dyn Fn(Bytes, Arc<PeerConnection>) -> BoxFuture<'static, Bytes> + Send + Sync>;

/// Sends requests to other nodes.
pub trait Transport: Send + Sync + Debug + 'static {
    /// One request, one answer, or an error within `timeout`.
    ///
    /// `addr` is `host:port`. Connections are made when first needed and kept. On [`Lane::Log`] requests are
    /// sent in the order in which their futures were first polled, once the connection is established; requests that
    /// wait together for a connection may overtake one another. Dropping the future gives up the call, but not
    /// the request: it may have been sent.
    ///
    /// An error says whether the request left this node at all (`Error::is_unsent`).
    ///
    /// # Errors
    /// - `UNREACHABLE`: refused, reset, no such host, not ClusterKit, or one of these within the last backoff. When
    ///   the connection broke during the call, the request may or may not have been handled;
    /// - `TIMEOUT`: no answer in time; the request may or may not have been handled;
    /// - `TOO_LARGE`: the request, or the answer, exceeds the frame limit. A request that does is not sent;
    /// - `WRONG_CLUSTER`: the peer belongs to another cluster; the message has both names;
    /// - `VERSION`: the peer speaks another peer protocol;
    /// - `BUSY`: the peer has too many connections, or accepts them and answers no handshake;
    /// - `UNAUTHENTICATED`: one of the two ends did not prove that it knows the cluster's secret;
    /// - `STOPPED`: after [`Transport::close`];
    /// - `INTERNAL`: the peer's handler failed.
    fn call(&self, addr: &str, lane: Lane, request: Bytes, timeout: Duration)
    -> BoxFuture<'_, Result<Bytes>>;

    /// Makes the connection that a call of `addr` on `lane` needs, if there is none. Sends no request.
    ///
    /// # Errors
    /// As [`Transport::call`], for a request that was not sent.
    fn connect<'a>(&'a self, _addr: &'a str, _lane: Lane, _timeout: Duration) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// The addresses that `addr` resolves to: one for each record of a name, so that each can be called by itself. An
    /// address that is no name, or whose name has no record, resolves to itself.
    fn resolve<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, Vec<String>> {
        Box::pin(std::future::ready(vec![addr.to_owned()]))
    }

    /// Says on each connection from now on who this node is. To be called once, before the first call.
    fn identify(&self, _identity: Arc<LocalIdentity>) {}

    /// Closes every connection. Calls in flight, and later ones, fail with `STOPPED`.
    fn close(&self);
}

/// How long bytes that were sent between peers may go unacknowledged by the other end's kernel before the connection counts
/// as lost. Without it the kernel waits a quarter of an hour.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);

/// The limits of the peer network, for both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetLimits {
    /// The longest body of a request or an answer, in bytes. Default 16 MiB.
    pub max_body: u32,
    /// Connections served at once; a further one is answered with `BUSY`. A peer uses up to four. Default 4096.
    pub max_connections: u32,
    /// Unproven connections (over which no member has called yet) served at once. A further one evicts the oldest of the
    /// address that has most of them. Default 256.
    pub max_unproven: u32,
    /// An unproven connection that receives nothing for this long is closed. Default 5 s.
    pub unproven_timeout: Duration,
    /// Bytes of received requests of more than 64 KiB in flight over all connections; at the limit, connections with such a
    /// request are not read. Default 128 MiB.
    pub max_buffered: u32,
    /// The same for unproven connections. Default 16 MiB.
    pub max_buffered_unproven: u32,
    /// A frame that has begun must be complete within this time and a second for each 64 KiB of it, or its connection is
    /// closed. Default 10 s.
    pub frame_deadline: Duration,
    /// Bytes of answers that wait to be written on a served connection; at the limit it is not read. Default 1 MiB.
    pub max_answers: u32,
    /// Received requests in flight per connection; at the limit the connection is not read. Default 1024.
    pub max_requests: u32,
    /// The same for an unproven connection. Default 4.
    pub max_requests_unproven: u32,
    /// Bytes of received requests in flight per connection, and of requests that wait to be sent on one; at the
    /// limit the connection is not read. A single larger request passes alone. Default 32 MiB.
    pub max_queued: u32,
    /// How long one TCP connect may take. The records of a name are tried one after the other, and a silent record is
    /// retried every 200 ms. Default 2 s.
    pub connect_timeout: Duration,
    /// How long the handshake after it may take, on either end. Default 3 s.
    pub handshake_timeout: Duration,
    /// How long a connection may move no byte, pings included, before it counts as lost, whatever calls were made or given
    /// up meanwhile. TCP itself would need minutes to detect that. Default 2 s.
    pub max_silence: Duration,
    /// A connection without a call for this long is closed by the node that dialled it; the other end
    /// waits twice as long. Default 60 s.
    pub idle_timeout: Duration,
    /// The first backoff after a failed dial; it doubles with each further failure, up to `max_backoff`. Calls during the
    /// backoff fail at once; the first call after it dials. Default 10 ms.
    pub min_backoff: Duration,
    /// The longest backoff. Default 250 ms, so that a restarted peer is found fast.
    pub max_backoff: Duration,
}

impl NetLimits {
    /// Refuses a request that is longer than `max_body`.
    fn check_request(&self, request: &Bytes) -> Result<()> {
        let (length, limit) = (request.len(), self.max_body);
        if length <= limit as usize {
            return Ok(());
        }
        let message = format!("a request of {length} bytes exceeds the limit of {limit}");
        Err(Error::new(ErrorCode::TooLarge, message))
    }
}

impl Default for NetLimits {
    fn default() -> Self {
        NetLimits {
            max_body: 16 << 20,
            max_connections: 4096,
            max_unproven: 256,
            unproven_timeout: Duration::from_secs(5),
            max_buffered: 128 << 20,
            max_buffered_unproven: 16 << 20,
            frame_deadline: Duration::from_secs(10),
            max_answers: 1 << 20,
            max_requests: 1024,
            max_requests_unproven: 4,
            max_queued: 32 << 20,
            connect_timeout: Duration::from_secs(2),
            handshake_timeout: Duration::from_secs(3),
            max_silence: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(60),
            min_backoff: Duration::from_millis(10),
            max_backoff: Duration::from_millis(250),
        }
    }
}
