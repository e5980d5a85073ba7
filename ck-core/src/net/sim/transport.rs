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

use super::dialler::SimDialler;
use super::resolver::SimLookup;
use super::{Lane, Server, Shared, Transport};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};
use crate::net::names::Names;
use crate::net::pool::Pool;
use crate::net::{NetLimits, PeerConnection, PeerInfo};

/// How soon a caller notices that something on its log lane was lost.
const NOTICED: Duration = Duration::from_millis(50);

/// One node's calls.
pub(super) struct SimTransport {
    network: Arc<Shared>,
    local_addr: String,
    /// `None` when closed.
    waiting: Arc<Mutex<Option<Waiting>>>,
    names: Arc<Names<String>>,
    /// Where the connections that stand lead to, by name and lane: a resolver is asked only for a new one.
    connected: Mutex<BTreeMap<(String, Lane), String>>,
    /// What stands for each connection where there is none.
    stand_ins: Mutex<BTreeMap<(String, Lane), Arc<PeerConnection>>>,
    /// The connections themselves, where there are any.
    pool: Pool,
}

/// Calls in flight by their message number. A lost one stays here until its caller gives up.
type Waiting = BTreeMap<u64, oneshot::Sender<Result<Bytes>>>;

impl fmt::Debug for SimTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimTransport")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

impl SimTransport {
    pub(super) fn new(network: Arc<Shared>, local_addr: &str) -> Self {
        let limits = NetLimits::default();
        let resolver = SimLookup {
            network: network.clone(),
        };
        let names = Arc::new(Names::new(Arc::new(resolver), limits.connect_timeout));
        let dialler = SimDialler {
            network: network.clone(),
            local_addr: local_addr.to_owned(),
            names: names.clone(),
            limits,
        };
        SimTransport {
            pool: Pool::new(Arc::new(dialler)),
            network,
            local_addr: local_addr.to_owned(),
            waiting: Arc::new(Mutex::new(Some(Waiting::new()))),
            names,
            connected: Mutex::default(),
            stand_ins: Mutex::default(),
        }
    }

    async fn ask(&self, exchange: Exchange, request: Bytes, timeout: Duration) -> Result<Bytes> {
        let (number, twice) = exchange.send();
        if exchange.lane == Lane::Request {
            super::sent::show_sent(&request);
        }
        let Some((_slot, answer)) = self.open_slot(number) else {
            return Err(stopped().unsent());
        };
        if twice {
            let (copy, request) = (exchange.clone(), request.clone());
            // Once sent, a message is the network's: whatever becomes of its sender.
            carry(async move {
                // Late and out of order, like what an old connection still had in its buffers.
                let _ = copy.carry(number, request, false).await;
            });
        }
        let waiting = self.waiting.clone();
        let in_order = exchange.lane == Lane::Log;
        let to = exchange.to.clone();
        // Nobody can be connected to across a cut: a call that has the time for it finds that out, as over TCP.
        let connect = NetLimits::default().connect_timeout;
        let unconnected = timeout > connect && exchange.is_cut();
        let patience = if unconnected { connect } else { timeout };
        carry(async move {
            let mut result = match exchange.carry(number, request, in_order).await {
                Some(result) => result,
                // Entries are not lost from a connection that stands: it breaks, and that is noticed.
                None if in_order => {
                    env::sleep(NOTICED).await;
                    Err(Error::new(
                        ErrorCode::Unreachable,
                        format!("{}: the connection is lost", exchange.to),
                    ))
                }
                None => return,
            };
            if let Some(slot) = waiting
                .lock()
                .as_mut()
                .and_then(|waiting| waiting.remove(&number))
            {
                if twice && exchange.lane == Lane::Request {
                    // What arrives twice was left in the buffers of a connection that broke: an answer to one of the two
                    // says nothing of the other, and over TCP nobody hears it.
                    let message = format!("{}: the connection is lost", exchange.to);
                    result = Err(Error::new(ErrorCode::Unreachable, message));
                } else if twice {
                    // Whatever this one met, its copy may be handled.
                    result = result.map_err(|error| Error::new(error.code(), error.message()));
                }
                // The caller may have gone at this very moment.
                let _ = slot.send(result);
            }
        });
        match env::timeout(patience, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(stopped()),
            Err(_) if unconnected => Err(Error::new(
                ErrorCode::Unreachable,
                format!("{to}: no connection within {connect:?}"),
            )),
            Err(_) => Err(Error::new(
                ErrorCode::Timeout,
                format!("{to}: no answer within {timeout:?}"),
            )),
        }
    }

    /// A call to a name: over the connection that stands, or over a new one to where the name leads.
    async fn ask_by_name(&self, mut exchange: Exchange, request: Bytes, timeout: Duration) -> Result<Bytes> {
        let link = (exchange.to.clone(), exchange.lane);
        let began = Instant::now();
        let connected = self.connected.lock().get(&link).cloned();
        exchange.to = match connected {
            Some(address) => address,
            None => match env::timeout(timeout, self.names.resolve(&link.0)).await {
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
        let address = exchange.to.clone();
        let answer = self
            .ask(exchange, request, timeout.saturating_sub(began.elapsed()))
            .await;
        match &answer {
            Ok(_) => {
                self.names.worked(&link.0, &address);
                self.connected.lock().insert(link, address);
            }
            Err(error) if error.code() == ErrorCode::Unreachable => {
                self.connected.lock().remove(&link);
            }
            Err(_) => {}
        }
        answer
    }

    fn open_slot(&self, number: u64) -> Option<(Slot, oneshot::Receiver<Result<Bytes>>)> {
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().as_mut()?.insert(number, sender);
        let slot = Slot {
            waiting: self.waiting.clone(),
            number,
        };
        Some((slot, answer))
    }
}

impl Transport for SimTransport {
    fn reach<'a>(&'a self, addr: &'a str, lane: Lane, timeout: Duration) -> BoxFuture<'a, Result<()>> {
        if self.network.world.lock().connections {
            return self.pool.reach(addr, lane, timeout);
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
        if self.network.world.lock().connections {
            return self.pool.call(addr, lane, request, timeout);
        }
        if let Err(error) = NetLimits::default().check_request(&request) {
            return std::future::ready(Err(error.unsent())).boxed();
        }
        let exchange = Exchange {
            network: self.network.clone(),
            from: self.local_addr.clone(),
            to: addr.to_owned(),
            lane,
            connection: self
                .stand_ins
                .lock()
                .entry((addr.to_owned(), lane))
                .or_default()
                .clone(),
            met: Arc::default(),
        };
        if self.network.world.lock().names.contains_key(addr) {
            return self.ask_by_name(exchange, request, timeout).boxed();
        }
        self.ask(exchange, request, timeout).boxed()
    }

    fn close(&self) {
        // Dropping the senders tells the callers.
        self.waiting.lock().take();
        self.pool.close();
    }
}

fn carry(journey: impl Future<Output = ()> + Send + 'static) {
    env::sim_process::outside(|| env::spawn(journey));
}

fn stopped() -> Error {
    Error::new(ErrorCode::Stopped, "the peer network is closed")
}

/// The place of a call; given back when its caller goes.
struct Slot {
    waiting: Arc<Mutex<Option<Waiting>>>,
    number: u64,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.lock().as_mut() {
            waiting.remove(&self.number);
        }
    }
}

/// One request and its answer. It goes on when its caller has given up.
#[derive(Clone)]
struct Exchange {
    network: Arc<Shared>,
    from: String,
    to: String,
    lane: Lane,
    connection: Arc<PeerConnection>,
    /// The process at which it arrived first, by what tells of its end.
    met: Arc<OnceLock<Arc<Notify>>>,
}

impl Exchange {
    /// Numbers the request, and decides whether it arrives twice.
    fn send(&self) -> (u64, bool) {
        let mut world = self.network.world.lock();
        world.next_message += 1;
        let number = world.next_message;
        let (from, to, lane) = (&self.from, &self.to, self.lane.name());
        world.record(self.network.start, || {
            format!("#{number} {from} -> {to} {lane} sent")
        });
        let probability = world.conditions(&super::link(from, to)).duplicate;
        let twice = world.chance(probability) && from != to;
        world.stats.duplicated += u64::from(twice);
        (number, twice)
    }

    fn is_cut(&self) -> bool {
        let world = self.network.world.lock();
        world.barriers.is_cut(&self.from, &self.to) || world.barriers.is_cut(&self.to, &self.from)
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
        // A connection leads to one process: what arrives twice does not arrive at its successor.
        let server = server.filter(|server| {
            let first = self.met.get_or_init(|| server.gone.clone());
            Arc::ptr_eq(first, &server.gone)
        });
        let handled = match server {
            Some(server) => self.handle(server, request).await,
            None => None,
        };
        let result = handled.unwrap_or_else(|| {
            let mut world = network.world.lock();
            world.stats.refused += 1;
            let to = &self.to;
            world.record(network.start, || format!("#{number} {to} is not there"));
            let error = Error::new(ErrorCode::Unreachable, format!("{to}: nobody is there"));
            // Like a refused connection, where nobody was there from the beginning.
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

    /// Has the request handled; `None` when the server is gone before the end.
    async fn handle(&self, server: Server, request: Bytes) -> Option<Result<Bytes>> {
        let gone = server.gone.notified();
        let handled = async {
            let info = PeerInfo {
                remote: self.from.clone(),
                lane: self.lane,
                connection: self.connection.clone(),
            };
            let handling = AssertUnwindSafe(async { (server.handler)(request, info).await });
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

    fn server(&self) -> Option<Server> {
        self.network.world.lock().servers.get(&self.to).cloned()
    }
}

impl Server {
    fn log_turn(&self, from: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.log_turns.lock().entry(from.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
impl SimTransport {
    /// How many calls wait for an answer.
    pub(super) fn in_flight(&self) -> usize {
        self.waiting.lock().as_ref().map_or(0, Waiting::len)
    }
}
