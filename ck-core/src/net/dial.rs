//! From an address to a connection that is ready for frames.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Hello, NetLimits, PeerStream, Security, Socket, handshake};
use crate::env;
use crate::error::{Error, ErrorCode, Result};

/// How many records of one name are tried.
const MAX_RECORDS: usize = 16;
/// How long one record is waited for before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(200);

/// What every dial of a transport shares.
#[derive(Debug)]
pub(super) struct Dialler {
    pub(super) cluster: String,
    pub(super) limits: NetLimits,
    pub(super) security: Arc<dyn Security>,
}

impl Dialler {
    /// Connects to the first record of the address that turns out to be a peer of this cluster.
    pub(super) async fn dial(&self, addr: &str, hello: &Hello) -> Result<Box<dyn PeerStream>> {
        let mut records = self.resolve(addr).await?;
        let mut attempts = FuturesUnordered::new();
        let mut failure: Option<Error> = None;
        loop {
            if let Some(record) = records.pop_front() {
                attempts.push(self.attempt(record, addr, hello));
            }
            tokio::select! {
                biased;
                outcome = attempts.next() => match outcome {
                    Some(Ok(stream)) => return Ok(stream),
                    Some(Err(error)) => failure = Some(more_telling(failure, error)),
                    // Every record was tried, and every attempt has failed.
                    None => return Err(failure.unwrap_or_else(|| no_such_host(addr, "it has no address"))),
                },
                () = env::sleep(STAGGER), if !records.is_empty() => {}
            }
        }
    }

    /// The records of an address.
    pub(super) async fn resolve(&self, addr: &str) -> Result<VecDeque<SocketAddr>> {
        match env::timeout(self.limits.connect_timeout, tokio::net::lookup_host(addr)).await {
            Ok(Ok(records)) => Ok(records.take(MAX_RECORDS).collect()),
            Ok(Err(error)) => Err(no_such_host(addr, &error.to_string())),
            Err(_) => Err(no_such_host(addr, "the name is not resolved in time")),
        }
    }

    async fn attempt(&self, record: SocketAddr, addr: &str, hello: &Hello) -> Result<Box<dyn PeerStream>> {
        let limit = self.limits.connect_timeout;
        let unreachable = |why: String| Error::new(ErrorCode::Unreachable, format!("{record}: {why}"));
        let stream = match env::timeout(limit, TcpStream::connect(record)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(unreachable(error.to_string())),
            Err(_) => return Err(unreachable(format!("no connection within {limit:?}"))),
        };
        let limit = self.limits.handshake_timeout;
        match env::timeout(limit, self.greet(stream, addr, hello)).await {
            Ok(result) => result.map_err(|error| error.context(record)),
            Err(_) => Err(unreachable(format!(
                "no answer to the handshake within {limit:?}"
            ))),
        }
    }

    async fn greet(&self, stream: TcpStream, addr: &str, hello: &Hello) -> Result<Box<dyn PeerStream>> {
        // Frames are written whole: waiting for more would only delay them. A stream that refuses this works.
        let _ = stream.set_nodelay(true);
        let stream = self.security.outgoing(Socket::new(stream), addr).await?;
        let upgraded = handshake::upgrade(stream, addr, hello).await?;
        let stream: Box<dyn PeerStream> = Box::new(TokioIo::new(upgraded));
        self.security.prove(stream, hello).await
    }
}

fn no_such_host(addr: &str, why: &str) -> Error {
    Error::new(ErrorCode::Unreachable, format!("{addr}: {why}"))
}

/// Of the failures of several records the one to report: a refusal by a peer says more than silence.
fn more_telling(before: Option<Error>, error: Error) -> Error {
    match before {
        Some(before) if before.code() != ErrorCode::Unreachable || error.code() == ErrorCode::Unreachable => {
            before
        }
        _ => error,
    }
}
