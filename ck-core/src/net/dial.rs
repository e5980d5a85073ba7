//! From an address to a connection that is ready for frames.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::names::{Lookup, Names, Records};
use super::{Hello, NetLimits, PeerStream, Security, Socket, handshake};
use crate::env;
use crate::error::{Error, ErrorCode, Result};

/// How long the first record is waited for before the next is tried beside it; half as long each time after.
const FIRST_STAGGER: Duration = Duration::from_millis(50);
const SHORTEST_STAGGER: Duration = Duration::from_millis(5);

/// The system's resolver.
#[derive(Debug)]
pub(super) struct SystemLookup;

impl Lookup<SocketAddr> for SystemLookup {
    fn look_up(&self, name: String) -> BoxFuture<'static, Result<Vec<SocketAddr>>> {
        async move {
            match tokio::net::lookup_host(&name).await {
                Ok(records) => Ok(records.collect()),
                Err(error) => Err(Error::new(ErrorCode::Unreachable, error.to_string())),
            }
        }
        .boxed()
    }
}

/// What every dial of a transport shares.
#[derive(Debug)]
pub(super) struct Dialler {
    pub(super) cluster: String,
    pub(super) limits: NetLimits,
    pub(super) security: Arc<dyn Security>,
    pub(super) names: Names<SocketAddr>,
}

/// A connection, and how it was found.
pub(super) struct Dialled {
    pub(super) stream: Box<dyn PeerStream>,
    pub(super) record: SocketAddr,
    /// The resolver had no answer: the record may belong to somebody else by now.
    pub(super) remembered: bool,
}

impl Dialler {
    /// Connects to the first record of the address that turns out to be a peer of this cluster.
    pub(super) async fn dial(&self, addr: &str, hello: &Hello) -> Result<Dialled> {
        let found = self.resolve(addr).await?;
        let mut records = VecDeque::from(found.records);
        let mut attempts = FuturesUnordered::new();
        let mut failure: Option<Error> = None;
        let mut stagger = FIRST_STAGGER;
        loop {
            if let Some(record) = records.pop_front() {
                attempts.push(async move { (record, self.attempt(record, addr, hello).await) });
            }
            tokio::select! {
                biased;
                outcome = attempts.next() => match outcome {
                    Some((record, Ok(stream))) => {
                        self.names.worked(addr, &record);
                        return Ok(Dialled { stream, record, remembered: found.remembered });
                    }
                    Some((_, Err(error))) => failure = Some(more_telling(failure, error)),
                    // Every record was tried, and every attempt has failed.
                    None => return Err(failure.unwrap_or_else(|| no_such_host(addr, "it has no address"))),
                },
                () = env::sleep(stagger), if !records.is_empty() => {
                    stagger = (stagger / 2).max(SHORTEST_STAGGER);
                }
            }
        }
    }

    /// The records of an address.
    pub(super) async fn resolve(&self, addr: &str) -> Result<Records<SocketAddr>> {
        match addr.parse() {
            Ok(record) => Ok(Records {
                records: vec![record],
                remembered: false,
            }),
            Err(_) => self.names.resolve(addr).await,
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
            // Not the same as nobody: whoever takes connections is there.
            Err(_) => Err(Error::new(
                ErrorCode::Busy,
                format!("{record}: it takes connections, and did not answer the handshake within {limit:?}"),
            )),
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
