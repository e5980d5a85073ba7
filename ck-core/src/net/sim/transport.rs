//! Calls over the simulated network.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::resolver::SimLookup;
use super::sim_dialler::SimDialler;
use super::{Lane, SimNetworkInner, SimServer, Transport};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::net::connection_pool::ConnectionPool;
use crate::net::resolver_cache::ResolverCache;
use crate::net::{LocalIdentity, NetLimits, PeerConnection};

/// How soon a caller detects that a message on its log lane was lost.
const LOSS_DETECTION_DELAY: Duration = Duration::from_millis(50);

/// The transport of one node.
pub(super) struct SimTransport {
    network: Arc<SimNetworkInner>,
    local_addr: String,
    /// `None` once the transport is closed.
    pending: Arc<Mutex<Option<PendingCalls>>>,
    resolver: Arc<ResolverCache<String>>,
    /// The addresses of the open connections, by name and lane: a name is resolved only for a new connection.
    connected: Mutex<BTreeMap<(String, Lane), String>>,
    /// The connection as its handler sees it, for each address and lane, while calls use no simulated connections.
    virtual_connections: Mutex<BTreeMap<(String, Lane), Arc<PeerConnection>>>,
    /// Who the node is that calls.
    identity: Arc<OnceLock<Arc<LocalIdentity>>>,
    /// The simulated connections, after [`SimNetwork::use_connections`](super::SimNetwork::use_connections).
    pool: ConnectionPool,
}

/// Calls in flight by their message number. A call whose message was lost stays here until its caller gives up.
type PendingCalls = BTreeMap<u64, oneshot::Sender<Result<Bytes>>>;

impl fmt::Debug for SimTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimTransport")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

impl SimTransport {
    pub(super) fn new(network: Arc<SimNetworkInner>, local_addr: &str) -> Self {
        let limits = NetLimits::default();
        let lookup = SimLookup {
            network: network.clone(),
        };
        let resolver = Arc::new(ResolverCache::new(Arc::new(lookup), limits.connect_timeout));
        let identity = Arc::<OnceLock<Arc<LocalIdentity>>>::default();
        let dialler = SimDialler {
            network: network.clone(),
            local_addr: local_addr.to_owned(),
            resolver: resolver.clone(),
            limits,
            identity: identity.clone(),
        };
        SimTransport {
            pool: ConnectionPool::new(Arc::new(dialler)),
            network,
            local_addr: local_addr.to_owned(),
            pending: Arc::new(Mutex::new(Some(PendingCalls::new()))),
            resolver,
            connected: Mutex::default(),
            virtual_connections: Mutex::default(),
            identity,
        }
    }

    fn virtual_connection(&self, addr: &str, lane: Lane) -> Arc<PeerConnection> {
        let mut connections = self.virtual_connections.lock();
        let present = connections.entry((addr.to_owned(), lane)).or_default();
        PeerConnection::current(present, self.identity.get().map(AsRef::as_ref))
    }

    /// A program that is no node does not know the secret of a secured network.
    fn check_admitted(&self, addr: &str) -> Result<()> {
        let is_secured = self.network.state.lock().security.keyring().is_some();
        if is_secured && self.identity.get().is_none_or(|known| known.node().is_none()) {
            let message = format!("{addr}: the caller proves nothing");
            return Err(Error::new(ErrorCode::Unauthenticated, message).unsent());
        }
        Ok(())
    }

    async fn call_address(&self, call: SimCall, request: Bytes, timeout: Duration) -> Result<Bytes> {
        let (number, twice) = call.send();
        if call.lane == Lane::Request {
            super::sent_observer::report_sent(&request);
        }
        let Some((_slot, answer)) = self.open_slot(number) else {
            return Err(stopped().unsent());
        };
        if twice {
            let (copy, request) = (call.clone(), request.clone());
            // A message that was sent belongs to the network, whatever its sender does.
            carry(async move {
                // Late and out of order, like data in the buffers of an old connection.
                let _ = copy.carry(number, request, false).await;
            });
        }
        let pending = self.pending.clone();
        let in_order = call.lane == Lane::Log;
        let to = call.to.clone();
        // No connection can be made across a cut: a call that is long enough fails for that reason, as over TCP.
        let connect = NetLimits::default().connect_timeout;
        let is_unconnected = timeout > connect && call.is_cut();
        let call_timeout = if is_unconnected { connect } else { timeout };
        carry(async move {
            let mut result = match call.carry(number, request, in_order).await {
                Some(result) => result,
                // An open connection loses no entries: it breaks, and the caller detects that.
                None if in_order => {
                    env::sleep(LOSS_DETECTION_DELAY).await;
                    Err(Error::new(
                        ErrorCode::Unreachable,
                        format!("{}: the connection is lost", call.to),
                    ))
                }
                None => return,
            };
            if let Some(slot) = pending
                .lock()
                .as_mut()
                .and_then(|pending| pending.remove(&number))
            {
                if twice && call.lane == Lane::Request {
                    // A request that arrives twice was left in the buffers of a connection that broke: the answer to one
                    // copy says nothing about the other, and over TCP the caller does not get it.
                    let message = format!("{}: the connection is lost", call.to);
                    result = Err(Error::new(ErrorCode::Unreachable, message));
                } else if twice {
                    // Whatever happened to this copy, the other one may be handled.
                    result = result.map_err(|error| Error::new(error.code(), error.message()));
                }
                // The caller may have given up at this moment.
                let _ = slot.send(result);
            }
        });
        match env::timeout(call_timeout, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(stopped()),
            Err(_) if is_unconnected => Err(Error::new(
                ErrorCode::Unreachable,
                format!("{to}: no connection within {connect:?}"),
            )),
            Err(_) => Err(Error::new(
                ErrorCode::Timeout,
                format!("{to}: no answer within {timeout:?}"),
            )),
        }
    }

    /// A call to a name: over the open connection, or over a new one to an address of the name.
    async fn call_by_name(&self, mut call: SimCall, request: Bytes, timeout: Duration) -> Result<Bytes> {
        let link = (call.to.clone(), call.lane);
        let began = Instant::now();
        let connected = self.connected.lock().get(&link).cloned();
        call.to = match connected {
            Some(address) => address,
            None => match env::timeout(timeout, self.resolver.resolve(&link.0)).await {
                Ok(found) => {
                    let found = found.map_err(Error::unsent)?;
                    found.records.into_iter().next().unwrap_or_default()
                }
                Err(_) => {
                    let message = format!("{}: no address within {timeout:?}", link.0);
                    return Err(Error::new(ErrorCode::Timeout, message).unsent());
                }
            },
        };
        let address = call.to.clone();
        let answer = self
            .call_address(call, request, timeout.saturating_sub(began.elapsed()))
            .await;
        match &answer {
            Ok(_) => {
                self.resolver.report_success(&link.0, &address);
                self.connected.lock().insert(link, address);
            }
            Err(error) if error.code() == ErrorCode::Unreachable => {
                self.connected.lock().remove(&link);
            }
            Err(_) => {}
        }
        answer
    }

    fn open_slot(&self, number: u64) -> Option<(CallSlot, oneshot::Receiver<Result<Bytes>>)> {
        let (sender, answer) = oneshot::channel();
        self.pending.lock().as_mut()?.insert(number, sender);
        let slot = CallSlot {
            pending: self.pending.clone(),
            number,
        };
        Some((slot, answer))
    }
}

impl Transport for SimTransport {
    fn connect<'a>(&'a self, addr: &'a str, lane: Lane, timeout: Duration) -> BoxFuture<'a, Result<()>> {
        if self.network.state.lock().connections {
            return self.pool.connect(addr, lane, timeout);
        }
        std::future::ready(Ok(())).boxed()
    }

    fn call(
        &self,
        addr: &str,
        lane: Lane,
        request: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Bytes>> {
        if self.network.state.lock().connections {
            return self.pool.call(addr, lane, request, timeout);
        }
        if let Err(error) = NetLimits::default().check_request(&request) {
            return std::future::ready(Err(error.unsent())).boxed();
        }
        if let Err(error) = self.check_admitted(addr) {
            return std::future::ready(Err(error)).boxed();
        }
        let call = SimCall {
            network: self.network.clone(),
            from: self.local_addr.clone(),
            to: addr.to_owned(),
            lane,
            connection: self.virtual_connection(addr, lane),
            first_server: Arc::default(),
        };
        if self.network.state.lock().names.contains_key(addr) {
            return self.call_by_name(call, request, timeout).boxed();
        }
        self.call_address(call, request, timeout).boxed()
    }

    fn identify(&self, identity: Arc<LocalIdentity>) {
        // A later one is ignored: the connections have been made under the first.
        drop(self.identity.set(identity));
    }

    fn close(&self) {
        // Dropping the senders fails the callers.
        self.pending.lock().take();
        self.pool.close();
    }
}

fn carry(journey: impl Future<Output = ()> + Send + 'static) {
    env::sim_process::outside(|| env::spawn(journey));
}

fn stopped() -> Error {
    Error::new(ErrorCode::Stopped, "the peer network is closed")
}

/// The entry of a call; removed when its caller gives up.
struct CallSlot {
    pending: Arc<Mutex<Option<PendingCalls>>>,
    number: u64,
}

impl Drop for CallSlot {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.lock().as_mut() {
            pending.remove(&self.number);
        }
    }
}

/// One request and its answer. It continues when its caller has given up.
#[derive(Clone)]
struct SimCall {
    network: Arc<SimNetworkInner>,
    from: String,
    to: String,
    lane: Lane,
    connection: Arc<PeerConnection>,
    /// The server at which the request arrived first, by its `gone`.
    first_server: Arc<OnceLock<Arc<Notify>>>,
}

impl SimCall {
    /// Numbers the request, and decides whether it arrives twice.
    fn send(&self) -> (u64, bool) {
        let mut state = self.network.state.lock();
        state.next_message += 1;
        let number = state.next_message;
        let (from, to, lane) = (&self.from, &self.to, self.lane.name());
        state.record(self.network.start, || {
            format!("#{number} {from} -> {to} {lane} sent")
        });
        let probability = state.conditions(&super::link(from, to)).duplicate;
        let twice = state.chance(probability) && from != to;
        state.stats.duplicated += u64::from(twice);
        (number, twice)
    }

    fn is_cut(&self) -> bool {
        let state = self.network.state.lock();
        state.barriers.is_cut(&self.from, &self.to) || state.barriers.is_cut(&self.to, &self.from)
    }

    /// The result as the caller sees it; `None` when the caller sees nothing.
    async fn carry(&self, number: u64, request: Bytes, in_order: bool) -> Option<Result<Bytes>> {
        let network = &self.network;
        if !network
            .travel(number, &self.from, &self.to, self.lane, in_order)
            .await
        {
            return None;
        }
        let server = self.server();
        let is_there = server.is_some();
        // A connection leads to one process: a duplicate does not arrive at the next process at that address.
        let server = server.filter(|server| {
            let first = self.first_server.get_or_init(|| server.gone.clone());
            Arc::ptr_eq(first, &server.gone)
        });
        let handled = match server {
            Some(server) => self.handle(server, request).await,
            None => None,
        };
        let result = handled.unwrap_or_else(|| {
            let mut state = network.state.lock();
            state.stats.refused += 1;
            let to = &self.to;
            state.record(network.start, || format!("#{number} {to} is not served"));
            let error = Error::new(ErrorCode::Unreachable, format!("{to}: connection refused"));
            // As for a refused connection, the request was not sent if the address was not served at all.
            Err(if is_there { error } else { error.unsent() })
        });
        if !network
            .travel(number, &self.to, &self.from, self.lane, false)
            .await
        {
            return None;
        }
        Some(result)
    }

    /// Has the request handled; `None` if the server goes before the answer.
    async fn handle(&self, server: SimServer, request: Bytes) -> Option<Result<Bytes>> {
        let gone = server.gone.notified();
        let handled = async {
            let handling =
                AssertUnwindSafe(async { (server.handler)(request, self.connection.clone()).await });
            let mut handling = std::pin::pin!(handling.catch_unwind());
            if self.lane == Lane::Log {
                // Begun in order, then handled concurrently.
                let turn = server.log_turn(&self.from);
                let _turn = turn.lock().await;
                if let Poll::Ready(answer) = futures_util::poll!(handling.as_mut()) {
                    return answer;
                }
            }
            handling.await
        };
        tokio::select! {
            biased;
            () = gone => None,
            answer = handled => {
                let limit = NetLimits::default().max_body as usize;
                Some(match answer {
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

    fn server(&self) -> Option<SimServer> {
        self.network.state.lock().servers.get(&self.to).cloned()
    }
}

impl SimServer {
    fn log_turn(&self, from: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.log_turns.lock().entry(from.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
impl SimTransport {
    /// Number of calls that wait for an answer.
    pub(super) fn in_flight(&self) -> usize {
        self.pending.lock().as_ref().map_or(0, PendingCalls::len)
    }
}
