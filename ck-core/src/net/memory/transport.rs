//! Calls over the network of a test cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{MAX_SILENCE, MemoryServer, NetworkShared};
use crate::env;
use crate::env::test_cluster::TestProcess;
use crate::error::{Error, ErrorCode, Result};
use crate::net::{Lane, LocalIdentity, NetLimits, PeerConnection, Transport};

/// The transport of one process.
pub(super) struct MemoryTransport {
    network: Arc<NetworkShared>,
    addr: String,
    process: TestProcess,
    closed: AtomicBool,
    /// Notified when this is closed.
    closing: Notify,
    /// Who the node is that calls.
    identity: OnceLock<Arc<LocalIdentity>>,
    /// The connection as its handler sees it, for each address and lane.
    connections: Mutex<BTreeMap<(String, Lane), Arc<PeerConnection>>>,
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransport")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

impl MemoryTransport {
    pub(super) fn new(network: Arc<NetworkShared>, addr: &str, process: TestProcess) -> Self {
        MemoryTransport {
            network,
            addr: addr.to_owned(),
            process,
            closed: AtomicBool::new(false),
            closing: Notify::new(),
            identity: OnceLock::new(),
            connections: Mutex::default(),
        }
    }

    fn connection(&self, addr: &str, lane: Lane) -> Arc<PeerConnection> {
        let mut connections = self.connections.lock();
        let present = connections.entry((addr.to_owned(), lane)).or_default();
        PeerConnection::current(present, self.identity.get().map(AsRef::as_ref))
    }

    /// Whether this process may still send.
    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) || self.process.is_killed() {
            return Err(closed().unsent());
        }
        Ok(())
    }

    /// Sends the request of a call, and waits for its answer for as long as nobody gives it up.
    async fn answer(&self, call: MemoryCall, request: Bytes) -> Result<Bytes> {
        let mut closing = std::pin::pin!(self.closing.notified());
        // Registered before the check, so that a close in between is not missed.
        closing.as_mut().enable();
        // What a paused process is about to send leaves it when it goes on.
        self.process.running().await;
        self.check_open()?;
        let (to, lane) = (call.to.clone(), call.lane);
        let (sender, answer) = oneshot::channel();
        {
            // What was sent belongs to the network, whatever becomes of its sender.
            let _carrier = self.network.carrier.enter();
            env::spawn(async move {
                // The caller may have given up.
                drop(sender.send(call.carry(request).await));
            });
        }
        let answer = tokio::select! {
            biased;
            answer = answer => answer.unwrap_or_else(|_| Err(closed())),
            () = closing => Err(closed()),
        };
        if answer
            .as_ref()
            .is_err_and(|error| error.code() == ErrorCode::Unreachable)
        {
            self.connections.lock().remove(&(to, lane));
        }
        answer
    }
}

fn closed() -> Error {
    Error::new(ErrorCode::Stopped, "the peer network is closed")
}

impl Transport for MemoryTransport {
    fn call(
        &self,
        addr: &str,
        lane: Lane,
        request: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Bytes>> {
        if let Err(error) = NetLimits::default().check_request(&request) {
            return std::future::ready(Err(error.unsent())).boxed();
        }
        let connection = self.connection(addr, lane);
        let call = MemoryCall {
            network: self.network.clone(),
            from: self.addr.clone(),
            to: addr.to_owned(),
            lane,
            connection,
        };
        let to = addr.to_owned();
        async move {
            match env::timeout(timeout, self.answer(call, request)).await {
                Ok(answer) => answer,
                Err(_) => Err(Error::new(
                    ErrorCode::Timeout,
                    format!("{to}: no answer within {timeout:?}"),
                )),
            }
        }
        .boxed()
    }

    fn identify(&self, identity: Arc<LocalIdentity>) {
        // A later one is ignored: the connections have been made under the first.
        drop(self.identity.set(identity));
    }

    fn connect<'a>(&'a self, addr: &'a str, _: Lane, timeout: Duration) -> BoxFuture<'a, Result<()>> {
        async move {
            self.process.running().await;
            self.check_open()?;
            let is_cut = {
                let state = self.network.state.lock();
                if !state.servers.contains_key(addr) {
                    return Err(refused(addr).unsent());
                }
                state.is_cut(&self.addr, addr) || state.is_cut(addr, &self.addr)
            };
            if is_cut {
                env::sleep(timeout.min(MAX_SILENCE)).await;
                return Err(lost(addr).unsent());
            }
            Ok(())
        }
        .boxed()
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.closing.notify_waiters();
    }
}

fn refused(addr: &str) -> Error {
    Error::new(ErrorCode::Unreachable, format!("{addr}: connection refused"))
}

fn lost(addr: &str) -> Error {
    Error::new(ErrorCode::Unreachable, format!("{addr}: the connection is lost"))
}

/// One request and its answer. It goes on when its caller has given up.
struct MemoryCall {
    network: Arc<NetworkShared>,
    from: String,
    to: String,
    lane: Lane,
    connection: Arc<PeerConnection>,
}

impl MemoryCall {
    /// Carries the request there and the answer back.
    async fn carry(self, request: Bytes) -> Result<Bytes> {
        if !self.network.travel(&self.from, &self.to, self.lane).await {
            env::sleep(MAX_SILENCE).await;
            return Err(lost(&self.to).unsent());
        }
        let server = self.network.state.lock().servers.get(&self.to).cloned();
        let Some(server) = server else {
            return Err(refused(&self.to).unsent());
        };
        let answer = match self.handle(server, request).await {
            Some(answer) => answer,
            None => Err(lost(&self.to)),
        };
        // Answers may overtake one another.
        if !self.network.travel(&self.to, &self.from, Lane::Control).await {
            env::sleep(MAX_SILENCE).await;
            return Err(lost(&self.to));
        }
        answer
    }

    /// Has the request handled; `None` where the server goes before the answer.
    async fn handle(&self, server: MemoryServer, request: Bytes) -> Option<Result<Bytes>> {
        let gone = server.gone.notified();
        if !self.network.serves(&self.to, &server) {
            return None;
        }
        let handler = server.handler.clone();
        let connection = self.connection.clone();
        let handling = AssertUnwindSafe(async move { handler(request, connection).await }).catch_unwind();
        let mut handling = std::pin::pin!(server.process.task(handling));
        let handled = async {
            // A connection to a process that does not read it is given up, with what was sent on it.
            if env::timeout(MAX_SILENCE, server.process.running()).await.is_err() {
                return None;
            }
            if self.lane == Lane::Log {
                // Begun in order, then handled concurrently.
                let turn = server.log_turn(&self.from);
                let _turn = turn.lock().await;
                if let std::task::Poll::Ready(answer) = futures_util::poll!(handling.as_mut()) {
                    return Some(answer);
                }
            }
            Some(handling.await)
        };
        tokio::select! {
            biased;
            () = gone => None,
            answer = handled => {
                let limit = NetLimits::default().max_body as usize;
                Some(match answer? {
                    Ok(answer) if answer.len() > limit => Err(Error::new(
                        ErrorCode::TooLarge,
                        format!("the answer of {} bytes exceeds the limit of {limit} bytes", answer.len()),
                    )),
                    Ok(answer) => Ok(answer),
                    Err(_) => Err(Error::internal("the peer's handler panicked")),
                })
            }
        }
    }
}

impl MemoryServer {
    fn log_turn(&self, from: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.log_turns.lock().entry(from.to_owned()).or_default().clone()
    }
}
