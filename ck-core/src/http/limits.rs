//! The bounds of the REST API.

use std::time::Duration;

/// Bounds on connections, requests and bodies. Every one exists so that no stranger can exhaust the node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpLimits {
    /// Connections served at once. On further ones only extra routes (peers) are served, everything else is
    /// answered with 503 and closed. 1024.
    pub max_connections: usize,
    /// Connections beyond `max_connections` that are still accepted, for peers. Later ones are closed at once. 64.
    pub reserved_connections: usize,
    /// How long a client may take to send a request's head. Also how long an idle connection is kept. 10 s.
    pub header_deadline: Duration,
    /// How long a request may take, its body included, from its head to the head of its answer. 30 s.
    pub request_deadline: Duration,
    /// How long the connection may stand still while an answer is sent. 30 s.
    pub write_deadline: Duration,
    /// How long a connection that is closed before all of a request's body was read goes on taking what the client
    /// still sends, and throws it away. Without that the client may be told of a reset, and never of the answer. 5 s.
    pub linger_deadline: Duration,
    /// The most that is thrown away like that, in bytes. 64 MiB.
    pub max_linger_bytes: usize,
    /// How long a caller may ask to wait for a revision; added to `request_deadline` for reads. 60 s.
    pub max_wait: Duration,
    /// The largest request body, in bytes. 2 MiB: a value of 1 MiB and slack.
    pub max_body: usize,
    /// The bytes of request bodies that may be in memory at once, over all connections. 64 MiB.
    pub max_buffered_bytes: usize,
    /// The bytes of large answers that may be in memory at once, over all connections; one that is larger is sent alone.
    /// 256 MiB.
    pub max_answer_bytes: usize,
    /// How long a shutdown waits for requests under way. 5 s.
    pub shutdown_grace: Duration,
    /// Host names that a browser may know this node by, besides IP addresses and `localhost`. A page under any
    /// other name that changes something is refused: its name may have been rebound to this node. None.
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
            max_answer_bytes: 256 * 1024 * 1024,
            shutdown_grace: Duration::from_secs(5),
            browser_hosts: Vec::new(),
        }
    }
}
