//! The limits of the REST API.

use std::time::Duration;

/// Limits on connections, requests and bodies. Each exists so that no unknown client can exhaust the node, and each is
/// documented with its default value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpLimits {
    /// Connections served at once. A further connection evicts an idle one. When none is idle, only extra routes
    /// (peers) are served on it; everything else is answered with 503 and the connection is closed. 1024 by default.
    pub max_connections: usize,
    /// Connections beyond `max_connections` that are still accepted, for peers. Later ones are closed at once. 64 by
    /// default.
    pub reserved_connections: usize,
    /// How long a client may take to send a request's head. Also how long an idle connection is kept. 10 s by default.
    pub header_deadline: Duration,
    /// How long a request may take, its body included, from its head to the head of its answer. 30 s by default.
    pub request_deadline: Duration,
    /// How long a connection may make no progress while an answer is sent. 30 s by default.
    pub write_deadline: Duration,
    /// How long a connection that is closed before all of a request's body was read continues to read and discard what
    /// the client sends. Without that the client may see a reset instead of the answer. 5 s by default.
    pub linger_deadline: Duration,
    /// The maximum number of bytes that are discarded this way. 64 MiB by default.
    pub max_linger_bytes: usize,
    /// The longest wait that a caller may ask for, for a revision or for the outcome of a write; added to
    /// `request_deadline` for reads. 60 s by default.
    pub max_wait: Duration,
    /// The largest request body, in bytes. 2 MiB by default: a value of 1 MiB and slack.
    pub max_body: usize,
    /// The bytes of request bodies that may be in memory at once, over all connections. 64 MiB by default.
    pub max_buffered_bytes: usize,
    /// The bytes of large answers that may be in memory at once, over all connections; a larger answer is sent alone.
    /// 256 MiB by default.
    pub max_large_response_bytes: usize,
    /// How long a shutdown waits for requests in progress. 5 s by default.
    pub shutdown_grace: Duration,
    /// Host names under which a browser may address this node, besides IP addresses and names without a dot, such as
    /// `localhost`. A browser's request under any other name is refused, because that name may have been rebound to
    /// this node (DNS rebinding). None by default.
    pub browser_hosts: Vec<String>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits {
            max_connections: 1024,
            reserved_connections: 64,
            header_deadline: Duration::from_secs(10),
            request_deadline: Duration::from_secs(30),
            write_deadline: Duration::from_secs(30),
            linger_deadline: Duration::from_secs(5),
            max_linger_bytes: 64 * 1024 * 1024,
            max_wait: Duration::from_secs(60),
            max_body: 2 * 1024 * 1024,
            max_buffered_bytes: 64 * 1024 * 1024,
            max_large_response_bytes: 256 * 1024 * 1024,
            shutdown_grace: Duration::from_secs(5),
            browser_hosts: Vec::new(),
        }
    }
}
