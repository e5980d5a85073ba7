//! Listening sockets.

use std::io::ErrorKind;

use tokio::net::TcpListener;

use crate::error::{Error, ErrorCode, Result};
use crate::options::ListenAddr;

/// Listens on an address: `:8080`, `host:port`, `[::1]:0`; port 0 asks the system for a free one. A port
/// whose last process has just ended can be bound again at once (`SO_REUSEADDR`). `:8080` is every interface, IPv6 and
/// IPv4, or IPv4 alone on a machine that has no other.
///
/// # Errors
/// - [`ErrorCode::InvalidOption`] when the address is malformed;
/// - [`ErrorCode::AddressInUse`] when it cannot be bound. The message has the address and the system's error.
pub async fn bind(addr: &str) -> Result<TcpListener> {
    let listen = ListenAddr::parse(addr)?;
    let mut bound = TcpListener::bind((listen.bind_host(), listen.port())).await;
    if let (Err(error), Some(host)) = (&bound, listen.fallback_host())
        && error.kind() != ErrorKind::AddrInUse
    {
        bound = TcpListener::bind((host, listen.port())).await;
    }
    bound.map_err(|error| {
        Error::new(
            ErrorCode::AddressInUse,
            format!("cannot listen on {addr}: {error}"),
        )
    })
}
