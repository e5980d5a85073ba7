//! Listening sockets.

use tokio::net::TcpListener;

use crate::error::{Error, ErrorCode, Result};
use crate::options::ListenAddr;

/// Listens on an address: `:8080`, `host:port`, `[::1]:0`; port 0 asks the system for a free one. A port
/// whose last user has just gone can be bound again at once (`SO_REUSEADDR`).
///
/// # Errors
/// - [`ErrorCode::InvalidOption`] when the address is malformed;
/// - [`ErrorCode::AddressInUse`] when it cannot be bound. The message has the address and the system's words.
pub async fn bind(addr: &str) -> Result<TcpListener> {
    let listen = ListenAddr::parse(addr)?;
    TcpListener::bind((listen.bind_host(), listen.port()))
        .await
        .map_err(|error| {
            Error::new(
                ErrorCode::AddressInUse,
                format!("cannot listen on {addr}: {error}"),
            )
        })
}
