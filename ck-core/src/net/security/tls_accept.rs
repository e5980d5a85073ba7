//! The served end of TLS: how an accepted connection begins.

use std::io;

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::tls::{PEER_ALPN, Tls};
use super::tls_connect::identity_of;
use super::{ConnectionIdentity, Security};
use crate::net::Socket;

/// The first byte of every TLS connection: a record with a message of the handshake.
const TLS_HANDSHAKE_RECORD: u8 = 0x16;
/// How much of a plain request is read before it is refused. What is left unread makes the system reset the connection, and
/// then the client may not see the answer.
const MAX_REFUSED_BYTES: usize = 32 << 10;

/// What a client is told that speaks plain HTTP where TLS is spoken.
const PLAIN_REFUSAL: &str =
    r#"{"error":{"code":"UNAUTHENTICATED","message":"this node speaks TLS only: use https, or set tls"}}"#;

/// An accepted connection, of which only the beginning was read.
pub(crate) enum Opening {
    /// Nothing was read.
    Plain(Socket),
    /// The first message of the handshake was read, which is large.
    Tls(Box<TlsOpening>),
}

/// A connection whose client has begun a handshake, and has not been answered.
pub(crate) struct TlsOpening {
    accepted: Accepted,
    socket: Socket,
    tls: Tls,
}

/// The same, while it belongs to no runtime.
pub(crate) struct DetachedOpening {
    stream: std::net::TcpStream,
    accepted: Option<(Accepted, Tls)>,
}

impl Security {
    /// Reads the beginning of a connection where TLS is spoken. The caller bounds the time.
    ///
    /// # Errors
    /// The connection has ended, or what begins it is refused: plain HTTP with an answer that says why.
    pub(crate) async fn open(&self, socket: Socket) -> io::Result<Opening> {
        let Some(tls) = self.tls() else {
            return Ok(Opening::Plain(socket));
        };
        let mut first = [0];
        if socket.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first != [TLS_HANDSHAKE_RECORD] {
            if self.accepts_plain() {
                return Ok(Opening::Plain(socket));
            }
            return Err(refuse_plain(socket).await);
        }
        let started = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        Ok(Opening::Tls(Box::new(TlsOpening {
            accepted: started.accepted,
            socket: started.io,
            tls: tls.clone(),
        })))
    }
}

impl Opening {
    /// Takes the connection from its runtime.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn detach(self) -> io::Result<DetachedOpening> {
        let (socket, accepted) = match self {
            Opening::Plain(socket) => (socket, None),
            Opening::Tls(opening) => {
                let TlsOpening {
                    accepted,
                    socket,
                    tls,
                } = *opening;
                (socket, Some((accepted, tls)))
            }
        };
        Ok(DetachedOpening {
            stream: socket.into_inner().into_std()?,
            accepted,
        })
    }
}

impl DetachedOpening {
    /// Gives the connection to the runtime that this is called on.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn attach(self) -> io::Result<Opening> {
        let socket = Socket::new(TcpStream::from_std(self.stream)?);
        Ok(match self.accepted {
            None => Opening::Plain(socket),
            Some((accepted, tls)) => Opening::Tls(Box::new(TlsOpening {
                accepted,
                socket,
                tls,
            })),
        })
    }
}

impl TlsOpening {
    /// True for a client that says that it is a peer.
    pub(crate) fn offers_peer_protocol(&self) -> bool {
        let hello = self.accepted.client_hello();
        hello
            .alpn()
            .is_some_and(|mut offered| offered.any(|protocol| protocol == PEER_ALPN))
    }

    /// Completes the handshake. The caller bounds the time.
    ///
    /// # Errors
    /// Those of the handshake: among others, a certificate that does not lead to the CA. The client was sent an alert.
    pub(crate) async fn finish(self) -> io::Result<(TlsStream<Socket>, ConnectionIdentity)> {
        let config = self.tls.state().server.clone();
        let stream = StartHandshake::from_parts(self.accepted, self.socket)
            .into_stream(config)
            .await?;
        let identity = identity_of(stream.get_ref().1)?;
        Ok((stream, identity))
    }
}

/// Answers plain HTTP, and gives the reason why the connection ends.
async fn refuse_plain(mut socket: Socket) -> io::Error {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}",
        PLAIN_REFUSAL.len(),
        PLAIN_REFUSAL
    );
    let refusing = async {
        socket.write_all(answer.as_bytes()).await?;
        socket.shutdown().await?;
        let mut discarded = [0; 4096];
        let mut left = MAX_REFUSED_BYTES;
        loop {
            match socket.read(&mut discarded).await? {
                0 => return Ok(()),
                read if read >= left => return Ok(()),
                read => left -= read,
            }
        }
    };
    match refusing.await {
        Ok(()) => io::Error::new(io::ErrorKind::InvalidData, "plain HTTP where TLS is spoken"),
        Err(error) => error,
    }
}
