//! A TCP connection whose writes raise no signal.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A TCP connection to which a write is safe after the other end has closed.
///
/// Such a write raises SIGPIPE, which ends a process that is no Rust program (Rust's start code ignores the signal, which
/// an embedded library must not), unless the write has the flag `MSG_NOSIGNAL`. The standard library sets it for plain
/// writes and cannot set it for vectored ones. So this type has no vectored writes: callers gather what they send.
#[derive(Debug)]
pub struct Socket(TcpStream);

impl Socket {
    /// The connection, without vectored writes. It ends when the other end's kernel acknowledges nothing for half a minute.
    pub fn new(stream: TcpStream) -> Self {
        set_user_timeout(&stream, super::TCP_USER_TIMEOUT * 3);
        Socket(stream)
    }

    /// The same between peers: a frame is sent at once, and the connection ends when the other end's kernel acknowledges
    /// nothing for ten seconds.
    pub(super) fn between_peers(stream: TcpStream) -> Self {
        // Frames are written whole, so Nagle's algorithm would only delay them. A failure to disable it does no harm.
        let _ = stream.set_nodelay(true);
        set_user_timeout(&stream, super::TCP_USER_TIMEOUT);
        Socket(stream)
    }

    /// Waits for the first bytes, and leaves them unread.
    pub(crate) async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.peek(bytes).await
    }

    /// The connection itself.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.0
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_user_timeout(stream: &TcpStream, timeout: Duration) {
    let millis = crate::model::whole_millis(timeout).try_into().unwrap_or(u32::MAX);
    // A failure does no harm: then only pings detect a silent connection.
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
