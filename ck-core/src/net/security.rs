//! The hooks for encryption and proof of identity in a connection.

use std::fmt::Debug;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Hello, Socket};
use crate::error::Result;

/// The byte stream of a connection, such as TCP or TLS.
pub trait PeerStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> PeerStream for T {}

/// What a connection goes through before it carries requests. The default of each step does nothing.
///
/// The steps run under the handshake's deadline. An error of the outgoing steps reaches the caller of
/// [`Transport::call`](super::Transport::call); an error of the incoming ones closes the connection.
pub trait Security: Debug + Send + Sync + 'static {
    /// Wraps a connection that this node dialled, before anything is sent on it (TLS). `addr` is the address
    /// as the caller gave it, which the certificate must name.
    fn outgoing(&self, stream: Socket, _addr: &str) -> BoxFuture<'static, Result<Box<dyn PeerStream>>> {
        let stream: Box<dyn PeerStream> = Box::new(stream);
        ready(Ok(stream)).boxed()
    }

    /// Wraps a connection that was accepted, before anything is read from it (TLS).
    fn incoming(&self, stream: Socket) -> BoxFuture<'static, Result<Box<dyn PeerStream>>> {
        let stream: Box<dyn PeerStream> = Box::new(stream);
        ready(Ok(stream)).boxed()
    }

    /// Proves the identity of this node to the peer, after the upgrade and before the first frame.
    fn prove(
        &self,
        stream: Box<dyn PeerStream>,
        _hello: &Hello,
    ) -> BoxFuture<'static, Result<Box<dyn PeerStream>>> {
        ready(Ok(stream)).boxed()
    }

    /// The other end of [`Security::prove`].
    fn verify(
        &self,
        stream: Box<dyn PeerStream>,
        _hello: &Hello,
    ) -> BoxFuture<'static, Result<Box<dyn PeerStream>>> {
        ready(Ok(stream)).boxed()
    }
}

/// No encryption and no proof of identity: every program that reaches the port is taken for a peer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plaintext;

impl Security for Plaintext {}
