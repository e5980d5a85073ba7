//! A TCP connection whose writes raise no signal.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP connection that one may write to when the other end has gone away.
///
/// Such a write raises SIGPIPE, which ends a host that is no Rust program (Rust's start code ignores it, an
/// embedded library may not), unless it is asked not to. The standard library asks for plain writes, and cannot
/// for vectored ones. So there are no vectored writes here: callers gather what they send.
#[derive(Debug)]
pub struct Socket(TcpStream);

impl Socket {
    /// The connection, from now on without vectored writes. What the other end's kernel does not acknowledge for half a
    /// minute ends it.
    pub fn new(stream: TcpStream) -> Self {
        set_user_timeout(&stream, super::USER_TIMEOUT * 3);
        Socket(stream)
    }

    /// The same between peers: a frame leaves at once, and what the other end's kernel does not acknowledge for
    /// ten seconds ends the connection, at whichever end it was written.
    pub(super) fn between_peers(stream: TcpStream) -> Self {
        // Frames are written whole: waiting for more would only delay them. A stream that refuses this works.
        let _ = stream.set_nodelay(true);
        set_user_timeout(&stream, super::USER_TIMEOUT);
        Socket(stream)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_user_timeout(stream: &TcpStream, timeout: Duration) {
    let millis = crate::model::whole_millis(timeout).try_into().unwrap_or(u32::MAX);
    // Without it the connection works, and silence is noticed by pings alone.
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, millis);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_user_timeout(_: &TcpStream, _: Duration) {}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

// The vectored methods keep the trait's own forms: no support, and the first buffer only.
impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
