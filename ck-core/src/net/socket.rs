//! A TCP connection whose writes raise no signal.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

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
    /// The connection, from now on without vectored writes.
    pub fn new(stream: TcpStream) -> Self {
        Socket(stream)
    }
}

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
