//! From an address to a connection that is ready for frames.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::link::{Dial, Dialled};
use super::names::{Lookup, Names, Records};
use super::{Hello, Lane, NetLimits, PeerStream, Security, Socket, handshake};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};

/// How long the first record is waited for before the next is tried beside it; half as long each time after.
const FIRST_STAGGER: Duration = Duration::from_millis(50);
const SHORTEST_STAGGER: Duration = Duration::from_millis(5);
/// How long until a silent record is attempted anew, beside the attempts before.
const RETRY: Duration = Duration::from_millis(200);
/// How long a machine that took a connection is waited for before another is tried beside it.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(1);

/// The system's resolver.
#[derive(Debug)]
pub(super) struct SystemLookup;

impl Lookup<SocketAddr> for SystemLookup {
    fn look_up(&self, name: String) -> BoxFuture<'static, Result<Vec<SocketAddr>>> {
        /// A resolver that hangs keeps a thread for each name: many names must not keep all that there are.
        static AT_ONCE: Semaphore = Semaphore::const_new(16);
        async move {
            // Nobody closes it.
            let _permit = AT_ONCE.acquire().await;
            match tokio::net::lookup_host(&name).await {
                Ok(records) => Ok(records.collect()),
                Err(error) => Err(unreachable(error.to_string())),
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

impl Dial for Dialler {
    fn dial<'a>(&'a self, addr: &'a str, lane: Lane) -> BoxFuture<'a, Result<Dialled>> {
        async move {
            let hello = Hello {
                cluster: self.cluster.clone(),
                lane,
            };
            self.connect(addr, &hello).await
        }
        .boxed()
    }

    fn leads_to<'a>(&'a self, addr: &'a str, record: &'a str) -> BoxFuture<'a, Option<bool>> {
        async move {
            match record.parse() {
                Ok(record) => self.names.leads_to(addr, &record).await,
                Err(_) => Some(false),
            }
        }
        .boxed()
    }

    fn limits(&self) -> &NetLimits {
        &self.limits
    }
}

impl Dialler {
    /// Connects to the first record of the address that turns out to be a peer of this cluster.
    async fn connect(&self, addr: &str, hello: &Hello) -> Result<Dialled> {
        let found = self.resolve(addr).await?;
        if found.records.is_empty() {
            return Err(unreachable(format!("{addr}: it has no address")));
        }
        let attempt = |record, progress| self.attempt(record, addr, hello, progress);
        let (record, stream) = race(found.records.into(), &self.limits, attempt).await?;
        self.names.worked(addr, &record);
        Ok(Dialled {
            stream,
            remembered: found.remembered.then(|| record.to_string()),
        })
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

    async fn attempt(
        &self,
        record: SocketAddr,
        addr: &str,
        hello: &Hello,
        progress: Progress,
    ) -> Result<Box<dyn PeerStream>> {
        let limit = self.limits.connect_timeout;
        let unreachable = |why: String| unreachable(format!("{record}: {why}"));
        let stream = match env::timeout(limit, TcpStream::connect(record)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(unreachable(error.to_string())),
            Err(_) => return Err(unreachable(format!("no connection within {limit:?}"))),
        };
        progress.connected();
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
        let stream = self
            .security
            .outgoing(Socket::between_peers(stream), addr)
            .await?;
        let upgraded = handshake::upgrade(stream, addr, hello).await?;
        let stream: Box<dyn PeerStream> = Box::new(TokioIo::new(upgraded));
        self.security.prove(stream, hello).await
    }
}

/// How far an attempt has come: past the connect, the other end's machine has answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Mutex<Option<Instant>>>);

impl Progress {
    pub(super) fn connected(&self) {
        self.0.lock().get_or_insert_with(Instant::now);
    }

    fn connected_at(&self) -> Option<Instant> {
        *self.0.lock()
    }
}

/// Attempts at every record, each beside those before it; the first that succeeds counts.
///
/// A record that is silent is attempted anew, one every [`RETRY`]: its kernel sends the first packet of a connection again
/// after one second, then two, then four, and after a cut a peer must be found at once. Fails when every record has refused, or
/// no machine has answered within `connect_timeout`.
pub(super) async fn race<R, T, F>(
    mut untried: VecDeque<R>,
    limits: &NetLimits,
    attempt: impl Fn(R, Progress) -> F + Send,
) -> Result<(R, T)>
where
    R: Clone + Send,
    F: Future<Output = Result<T>> + Send,
{
    let deadline = Instant::now() + limits.connect_timeout;
    let mut attempts = FuturesUnordered::new();
    // Those under way, by their number.
    let mut begun: BTreeMap<usize, Progress> = BTreeMap::new();
    // Those to attempt anew, each with the number of the first attempt at it.
    let mut silent: VecDeque<(usize, R)> = VecDeque::new();
    let mut count = 0;
    let mut failure: Option<Error> = None;
    let mut stagger = FIRST_STAGGER;
    loop {
        let now = Instant::now();
        let connected: Vec<Instant> = begun.values().filter_map(Progress::connected_at).collect();
        if now >= deadline && connected.is_empty() {
            let why = || unreachable(format!("no connection within {:?}", limits.connect_timeout));
            return Err(failure.unwrap_or_else(why));
        }
        // One whose machine has answered is given time for its handshake.
        let hold = connected.iter().any(|at| now.since(*at) < HANDSHAKE_PATIENCE);
        let next = match untried.pop_front() {
            Some(record) => Some((count, record)),
            None if hold => None,
            None => silent.pop_front(),
        };
        if let Some((first, record)) = next {
            let progress = Progress::default();
            begun.insert(count, progress.clone());
            let trying = attempt(record.clone(), progress);
            let (number, tried) = (count, record.clone());
            attempts.push(async move { (number, first, tried, trying.await) });
            silent.push_back((first, record));
            count += 1;
        }
        let wait = if untried.is_empty() { RETRY } else { stagger };
        tokio::select! {
            biased;
            Some((number, first, record, outcome)) = attempts.next() => {
                begun.remove(&number);
                match outcome {
                    Ok(stream) => return Ok((record, stream)),
                    Err(error) => {
                        silent.retain(|(record, _)| *record != first);
                        failure = Some(more_telling(failure, error));
                        if begun.is_empty() && untried.is_empty() && silent.is_empty() {
                            return Err(failure.unwrap_or_else(|| unreachable("no attempt".to_owned())));
                        }
                    }
                }
            }
            () = env::sleep(wait) => {
                if !untried.is_empty() {
                    stagger = (stagger / 2).max(SHORTEST_STAGGER);
                }
            }
        }
    }
}

fn unreachable(why: String) -> Error {
    Error::new(ErrorCode::Unreachable, why)
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
