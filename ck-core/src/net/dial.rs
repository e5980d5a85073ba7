//! From an address to a connection that is ready for frames.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::outgoing_connection::ReadyStream;
use super::pool_slot::{Dial, DialledStream, Introduction};
use super::resolver_cache::{Lookup, ResolvedRecords, ResolverCache};
use super::{
    ConnectionIdentity, Hello, Lane, LocalIdentity, NetLimits, PeerStream, Security, Socket, handshake,
};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};

/// The delay between the attempts at the first record and at the second; each further delay is half as long.
const FIRST_STAGGER_DELAY: Duration = Duration::from_millis(50);
/// The shortest delay between the attempts at two records.
const MIN_STAGGER_DELAY: Duration = Duration::from_millis(5);
/// The interval at which silent records are retried, besides the attempts in progress.
const SILENT_RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// How long a handshake may take before further attempts are made besides it.
const HANDSHAKE_HEDGE_DELAY: Duration = Duration::from_secs(1);

/// The system's resolver.
#[derive(Debug)]
pub(super) struct SystemLookup;

impl Lookup<SocketAddr> for SystemLookup {
    fn look_up(&self, name: String) -> BoxFuture<'static, Result<Vec<SocketAddr>>> {
        /// A lookup in a hanging resolver blocks a thread, and the lookups must not block all threads.
        static LOOKUP_PERMITS: Semaphore = Semaphore::const_new(16);
        async move {
            // The semaphore is never closed.
            let _permit = LOOKUP_PERMITS.acquire().await;
            match tokio::net::lookup_host(&name).await {
                Ok(records) => Ok(records.collect()),
                Err(error) => Err(unreachable(error.to_string())),
            }
        }
        .boxed()
    }
}

/// Dials over TCP, for one transport.
#[derive(Debug)]
pub(super) struct TcpDialler {
    pub(super) cluster: String,
    pub(super) limits: NetLimits,
    pub(super) security: Security,
    pub(super) identity: OnceLock<Arc<LocalIdentity>>,
    pub(super) resolver: ResolverCache<SocketAddr>,
}

impl Dial for TcpDialler {
    fn dial<'a>(&'a self, addr: &'a str, lane: Lane) -> BoxFuture<'a, Result<DialledStream>> {
        async move {
            let hello = Hello::new(&self.cluster, lane, self.identity());
            self.connect(addr, &hello).await
        }
        .boxed()
    }

    fn resolves_to<'a>(&'a self, addr: &'a str, record: &'a str) -> BoxFuture<'a, Option<bool>> {
        async move {
            match record.parse() {
                Ok(record) => self.resolver.resolves_to(addr, &record).await,
                Err(_) => Some(false),
            }
        }
        .boxed()
    }

    fn limits(&self) -> &NetLimits {
        &self.limits
    }

    fn is_current(&self, introduction: &Introduction) -> bool {
        introduction.raft_id == self.identity().raft_id()
            && self.security.admits(introduction.key_id.as_ref())
    }
}

impl TcpDialler {
    fn identity(&self) -> &LocalIdentity {
        self.identity.get_or_init(Arc::default)
    }

    /// Connects to the first record of the address at which a peer of this cluster answers.
    async fn connect(&self, addr: &str, hello: &Hello) -> Result<DialledStream> {
        let mut found = self.resolve(addr).await?;
        if found.records.is_empty() {
            return Err(unreachable(format!("{addr}: the name has no address")));
        }
        found.records.retain(|record| self.security.may_dial(record.ip()));
        if found.records.is_empty() {
            return Err(unreachable(format!("{addr}: it is in none of allowed_cidrs")));
        }
        let attempt = |record, progress| self.attempt(record, addr, hello, progress);
        let (record, stream) = race(found.records.into(), &self.limits, attempt).await?;
        self.resolver.report_success(addr, &record);
        Ok(DialledStream {
            stream,
            raft_id: hello.raft_id,
            stale_record: found.stale.then(|| record.to_string()),
        })
    }

    /// The records of an address, which is a name or a record itself.
    pub(super) async fn resolve(&self, addr: &str) -> Result<ResolvedRecords<SocketAddr>> {
        match addr.parse() {
            Ok(record) => Ok(ResolvedRecords {
                records: vec![record],
                stale: false,
            }),
            Err(_) => self.resolver.resolve(addr).await,
        }
    }

    async fn attempt(
        &self,
        record: SocketAddr,
        addr: &str,
        hello: &Hello,
        progress: AttemptProgress,
    ) -> Result<ReadyStream> {
        let stream = self.connect_record(record).await?;
        progress.connected();
        let limit = self.limits.handshake_timeout;
        match env::timeout(limit, self.handshake(stream, record, addr, hello)).await {
            Ok(result) => result.map_err(|error| error.context(record)),
            // Not UNREACHABLE: a process that accepts connections is running.
            Err(_) => Err(Error::new(
                ErrorCode::Busy,
                format!(
                    "{record}: it accepts connections, but did not answer the handshake within {limit:?}"
                ),
            )),
        }
    }

    async fn connect_record(&self, record: SocketAddr) -> Result<TcpStream> {
        let limit = self.limits.connect_timeout;
        match env::timeout(limit, TcpStream::connect(record)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(unreachable(format!("{record}: {error}"))),
            Err(_) => Err(unreachable(format!("{record}: no connection within {limit:?}"))),
        }
    }

    /// Speaks TLS where this node does. While it is introduced, a member may not speak it yet: then the connection is made
    /// again, without.
    async fn secure(
        &self,
        stream: TcpStream,
        record: SocketAddr,
        addr: &str,
    ) -> Result<(Box<dyn PeerStream>, ConnectionIdentity)> {
        let socket = Socket::between_peers(stream);
        let plain = |socket: Socket| -> (Box<dyn PeerStream>, ConnectionIdentity) {
            (Box::new(socket), ConnectionIdentity::default())
        };
        let Some(tls) = self.security.tls() else {
            return Ok(plain(socket));
        };
        match tls.connect(socket, addr).await {
            Ok((stream, connection)) => Ok((Box::new(stream), connection)),
            Err(error) if self.security.accepts_plain() && error.code() == ErrorCode::Unreachable => {
                let stream = self.connect_record(record).await?;
                Ok(plain(Socket::between_peers(stream)))
            }
            Err(error) => Err(error),
        }
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        record: SocketAddr,
        addr: &str,
        hello: &Hello,
    ) -> Result<ReadyStream> {
        let (stream, connection) = self.secure(stream, record, addr).await?;
        let upgraded = handshake::upgrade(stream, addr, hello, &self.security, &connection).await?;
        let mut stream: Box<dyn PeerStream> = Box::new(TokioIo::new(upgraded.stream));
        let Some((code, keys)) = upgraded.proof else {
            return Ok(ReadyStream::plain(stream));
        };
        let sent = stream.write_all(&code).await;
        sent.map_err(|error| unreachable(format!("the connection broke in its handshake: {error}")))?;
        Ok(ReadyStream {
            stream,
            key_id: Some(keys.id),
            reading: keys.from_server,
            writing: keys.from_caller,
        })
    }
}

/// The progress of an attempt: once it is connected, the other end's machine has answered.
#[derive(Debug, Clone, Default)]
pub(super) struct AttemptProgress(Arc<Mutex<Option<Instant>>>);

impl AttemptProgress {
    pub(super) fn connected(&self) {
        self.0.lock().get_or_insert_with(Instant::now);
    }

    fn connected_at(&self) -> Option<Instant> {
        *self.0.lock()
    }
}

/// Attempts to connect to all records, started one after the other without waiting for the earlier ones. Returns the first
/// success (as "happy eyeballs", RFC 8305, does).
///
/// Silent records are retried, one every [`SILENT_RETRY_INTERVAL`]: the kernel sends the first packet of a connection again
/// only after one, two and four seconds, and after an outage of the network a peer must be found at once. Fails when every
/// record has refused, or no machine has answered within `connect_timeout`.
pub(super) async fn race<R, T, F>(
    mut untried: VecDeque<R>,
    limits: &NetLimits,
    attempt: impl Fn(R, AttemptProgress) -> F + Send,
) -> Result<(R, T)>
where
    R: Clone + Send,
    F: Future<Output = Result<T>> + Send,
{
    let deadline = Instant::now() + limits.connect_timeout;
    let mut attempts = FuturesUnordered::new();
    // The attempts in progress, by number.
    let mut in_progress: BTreeMap<usize, AttemptProgress> = BTreeMap::new();
    // The records to retry, each with the number of the first attempt at it.
    let mut silent: VecDeque<(usize, R)> = VecDeque::new();
    let mut count = 0;
    let mut failure: Option<Error> = None;
    let mut stagger = FIRST_STAGGER_DELAY;
    loop {
        let now = Instant::now();
        let connected: Vec<Instant> = in_progress
            .values()
            .filter_map(AttemptProgress::connected_at)
            .collect();
        if now >= deadline && connected.is_empty() {
            let why = || unreachable(format!("no connection within {:?}", limits.connect_timeout));
            return Err(failure.unwrap_or_else(why));
        }
        // No retry while an attempt is connected and has time left for its handshake.
        let is_in_handshake = connected.iter().any(|at| now.since(*at) < HANDSHAKE_HEDGE_DELAY);
        let next = match untried.pop_front() {
            Some(record) => Some((count, record)),
            None if is_in_handshake => None,
            None => silent.pop_front(),
        };
        if let Some((first, record)) = next {
            let progress = AttemptProgress::default();
            in_progress.insert(count, progress.clone());
            let trying = attempt(record.clone(), progress);
            let (number, tried) = (count, record.clone());
            attempts.push(async move { (number, first, tried, trying.await) });
            silent.push_back((first, record));
            count += 1;
        }
        let wait = if untried.is_empty() {
            SILENT_RETRY_INTERVAL
        } else {
            stagger
        };
        tokio::select! {
            biased;
            Some((number, first, record, outcome)) = attempts.next() => {
                in_progress.remove(&number);
                match outcome {
                    Ok(stream) => return Ok((record, stream)),
                    Err(error) => {
                        silent.retain(|(record, _)| *record != first);
                        failure = Some(more_specific(failure, error));
                        if in_progress.is_empty() && untried.is_empty() && silent.is_empty() {
                            return Err(failure.unwrap_or_else(|| unreachable("no attempt".to_owned())));
                        }
                    }
                }
            }
            () = env::sleep(wait) => {
                if !untried.is_empty() {
                    stagger = (stagger / 2).max(MIN_STAGGER_DELAY);
                }
            }
        }
    }
}

pub(super) fn unreachable(why: String) -> Error {
    Error::new(ErrorCode::Unreachable, why)
}

/// Which of the errors of several records to report: a refusal by a peer says more than `UNREACHABLE`.
fn more_specific(before: Option<Error>, error: Error) -> Error {
    match before {
        Some(before) if before.code() != ErrorCode::Unreachable || error.code() == ErrorCode::Unreachable => {
            before
        }
        _ => error,
    }
}
