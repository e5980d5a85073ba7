//! The real transport: one pooled connection per address and lane.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::connection::Connection;
use super::dial::{Dialled, Dialler, SystemLookup};
use super::names::Names;
use super::{Hello, Lane, NetLimits, Plaintext, Security, Transport, lock};
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};

/// Addresses to remember before those without a connection are forgotten. Members are few; seeds, pods that
/// moved and typing errors come and go.
const MAX_ADDRESSES: usize = 1024;
/// How often the resolver is asked about an address that was remembered.
const CHECK: Duration = Duration::from_secs(1);

/// Calls peers over TCP.
///
/// Connections are dialled when first needed, in the background: a call that is given up does not stop a
/// dial that others, or its own retry, will use.
pub struct TcpTransport {
    dialler: Arc<Dialler>,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    addresses: BTreeMap<String, Address>,
    closed: bool,
}

/// The links to one address, one per lane, in the order of [`Lane::ALL`].
type Address = [Arc<Link>; 4];

impl fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpTransport")
            .field("cluster", &self.dialler.cluster)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl TcpTransport {
    /// A transport for one cluster, by its name.
    pub fn new(cluster: impl Into<String>, limits: NetLimits, security: Arc<dyn Security>) -> Self {
        TcpTransport {
            dialler: Arc::new(Dialler {
                cluster: cluster.into(),
                names: Names::new(Arc::new(SystemLookup), limits.connect_timeout),
                limits,
                security,
            }),
            pool: Mutex::default(),
        }
    }

    /// A transport with the default bounds, without encryption or proof.
    pub fn plaintext(cluster: impl Into<String>) -> Self {
        TcpTransport::new(cluster, NetLimits::default(), Arc::new(Plaintext))
    }

    /// How many connections stand at this moment.
    pub fn connections(&self) -> usize {
        let pool = lock(&self.pool);
        let links = pool.addresses.values().flatten();
        links.filter(|link| link.is_connected()).count()
    }

    fn link(&self, addr: &str, lane: Lane) -> Result<Arc<Link>> {
        let mut pool = lock(&self.pool);
        if pool.closed {
            return Err(stopped());
        }
        if let Some(address) = pool.addresses.get(addr) {
            return Ok(address[lane as usize].clone());
        }
        if pool.addresses.len() >= MAX_ADDRESSES {
            pool.addresses
                .retain(|_, address| address.iter().any(|link| link.is_connected()));
        }
        let address = Lane::ALL.map(|lane| Arc::new(Link::new(addr, lane)));
        let link = address[lane as usize].clone();
        pool.addresses.insert(addr.to_owned(), address);
        Ok(link)
    }
}

impl Transport for TcpTransport {
    fn resolve<'a>(&'a self, addr: &'a str) -> BoxFuture<'a, Vec<String>> {
        async move {
            match self.dialler.resolve(addr).await {
                Ok(found) if found.records.len() > 1 => {
                    found.records.iter().map(ToString::to_string).collect()
                }
                // One record is dialled by its name, which may lead elsewhere tomorrow. No record is a failure
                // that the call reports.
                Ok(_) | Err(_) => vec![addr.to_owned()],
            }
        }
        .boxed()
    }

    fn call(
        &self,
        addr: &str,
        lane: Lane,
        request: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Bytes>> {
        let limit = self.dialler.limits.max_body;
        if request.len() > limit as usize {
            let message = format!(
                "a request of {} bytes exceeds the limit of {limit}",
                request.len()
            );
            return std::future::ready(Err(Error::new(ErrorCode::TooLarge, message).unsent())).boxed();
        }
        let link = match self.link(addr, lane) {
            Ok(link) => link,
            Err(error) => return std::future::ready(Err(error.unsent())).boxed(),
        };
        let call = async move {
            let mut connected = false;
            let asking = async {
                let connection = link.connection(&self.dialler).await.map_err(Error::unsent)?;
                connected = true;
                connection.call(request).await
            };
            let outcome = env::timeout(timeout, asking).await;
            match outcome {
                Ok(result) => result.map_err(|error| error.context(&link.hint)),
                Err(_) => {
                    let message = format!("{}: no answer within {timeout:?}", link.hint);
                    let error = Error::new(ErrorCode::Timeout, message);
                    Err(if connected { error } else { error.unsent() })
                }
            }
        };
        call.boxed()
    }

    fn close(&self) {
        let addresses = {
            let mut pool = lock(&self.pool);
            pool.closed = true;
            std::mem::take(&mut pool.addresses)
        };
        for link in addresses.values().flatten() {
            link.close();
        }
    }
}

impl Drop for TcpTransport {
    fn drop(&mut self) {
        self.close();
    }
}

fn stopped() -> Error {
    Error::new(ErrorCode::Stopped, "the peer network is closed")
}

/// The connection to one address on one lane, or the way to one.
struct Link {
    addr: String,
    lane: Lane,
    /// What the link is called in messages.
    hint: String,
    state: Mutex<State>,
    /// The state has changed.
    changed: Notify,
}

enum State {
    /// Nothing there; the next call dials.
    Down { failures: u32 },
    /// A dial is under way.
    Dialling { failures: u32 },
    /// A dial has failed; the calls up to `until` fail with it.
    Waiting {
        failures: u32,
        until: Instant,
        error: Error,
    },
    /// A connection that may have failed meanwhile. `failures` is of the time before it.
    Up {
        connection: Arc<Connection>,
        failures: u32,
    },
    /// The transport is closed.
    Closed,
}

impl Link {
    fn new(addr: &str, lane: Lane) -> Self {
        Link {
            addr: addr.to_owned(),
            lane,
            hint: format!("{addr} ({})", lane.name()),
            state: Mutex::new(State::Down { failures: 0 }),
            changed: Notify::new(),
        }
    }

    fn is_connected(&self) -> bool {
        matches!(&*lock(&self.state), State::Up { connection, .. } if connection.is_open())
    }

    /// The connection, dialled when there is none.
    async fn connection(self: &Arc<Self>, dialler: &Arc<Dialler>) -> Result<Arc<Connection>> {
        loop {
            // Made before the look, so that a change after the look wakes it.
            let changed = self.changed.notified();
            {
                let mut state = lock(&self.state);
                state.move_on(&dialler.limits);
                match &*state {
                    State::Up { connection, .. } => return Ok(connection.clone()),
                    State::Waiting { error, .. } => return Err(error.clone()),
                    State::Closed => return Err(stopped()),
                    State::Down { failures } => {
                        *state = State::Dialling { failures: *failures };
                        env::spawn(self.clone().dial(dialler.clone()));
                    }
                    State::Dialling { .. } => {}
                }
            }
            changed.await;
        }
    }

    async fn dial(self: Arc<Self>, dialler: Arc<Dialler>) {
        let hello = Hello {
            cluster: dialler.cluster.clone(),
            lane: self.lane,
        };
        let result = dialler.dial(&self.addr, &hello).await;
        {
            let mut state = lock(&self.state);
            // Closed meanwhile: the stream is dropped.
            if let State::Dialling { failures } = *state {
                *state = match result {
                    Ok(dialled) => {
                        let connection = self.begin(&dialler, dialled);
                        State::Up { connection, failures }
                    }
                    Err(error) => State::failed(failures, error, &dialler.limits),
                };
            }
        }
        self.changed.notify_waiters();
    }

    fn begin(self: &Arc<Self>, dialler: &Arc<Dialler>, dialled: Dialled) -> Arc<Connection> {
        let connection = Connection::start(dialled.stream, self.lane, &dialler.limits);
        if dialled.remembered {
            let checking = self
                .clone()
                .check(dialler.clone(), connection.clone(), dialled.record);
            env::spawn(checking);
        }
        connection
    }

    /// A connection to an address that was remembered ends when the resolver, once it answers again, does not know that
    /// address of this name any more: somebody else may have it.
    async fn check(self: Arc<Self>, dialler: Arc<Dialler>, connection: Arc<Connection>, record: SocketAddr) {
        while connection.is_open() {
            if let Ok(found) = dialler.resolve(&self.addr).await
                && !found.remembered
            {
                if !found.records.contains(&record) {
                    connection.close(Error::new(
                        ErrorCode::Unreachable,
                        format!("{record} is not an address of {} any more", self.addr),
                    ));
                }
                return;
            }
            env::sleep(CHECK).await;
        }
    }

    fn close(&self) {
        let state = std::mem::replace(&mut *lock(&self.state), State::Closed);
        if let State::Up { connection, .. } = state {
            connection.close(stopped());
        }
        self.changed.notify_waiters();
    }
}

impl State {
    /// The state after one more failure in a row.
    fn failed(failures: u32, error: Error, limits: &NetLimits) -> Self {
        let backoff = limits.min_backoff.saturating_mul(1 << failures.min(16));
        State::Waiting {
            failures: failures.saturating_add(1),
            until: Instant::now() + backoff.min(limits.max_backoff),
            error,
        }
    }

    /// Sees whether the connection has ended, or the pause.
    fn move_on(&mut self, limits: &NetLimits) {
        match self {
            State::Up { connection, failures } if !connection.is_open() => {
                *self = if connection.is_proven() {
                    State::Down { failures: 0 }
                } else {
                    // Taken and dropped without an answer: without a pause this would go round and round.
                    let error = Error::new(ErrorCode::Unreachable, "the peer drops its connections");
                    State::failed(*failures, error, limits)
                };
            }
            State::Waiting { failures, until, .. } if Instant::now() >= *until => {
                *self = State::Down { failures: *failures };
            }
            _ => {}
        }
    }
}
