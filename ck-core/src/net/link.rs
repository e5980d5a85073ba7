//! The connection to one address on one lane: dialled when a call needs it, and again when it has ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::connection::Connection;
use super::pool::stopped;
use super::{Lane, NetLimits, PeerStream};
use crate::env::runtime::Home;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};

/// How often the resolver is asked about an address that was remembered.
const CHECK: Duration = Duration::from_secs(1);

/// Makes connections to addresses.
pub(super) trait Dial: fmt::Debug + Send + Sync + 'static {
    /// A connection that is past its handshake, and ready for frames.
    fn dial<'a>(&'a self, addr: &'a str, lane: Lane) -> BoxFuture<'a, Result<Dialled>>;

    /// Whether `record` is one of the addresses behind a name; `None` while the resolver does not say.
    fn leads_to<'a>(&'a self, addr: &'a str, record: &'a str) -> BoxFuture<'a, Option<bool>>;

    /// The bounds of what it makes.
    fn limits(&self) -> &NetLimits;
}

/// A connection, and how it was found.
pub(super) struct Dialled {
    pub(super) stream: Box<dyn PeerStream>,
    /// The address that it leads to, where the resolver had no answer: it may belong to somebody else by now.
    pub(super) remembered: Option<String>,
}

/// The connection to one address on one lane, or the way to one.
pub(super) struct Link {
    addr: String,
    lane: Lane,
    /// What the link is called in messages.
    pub(super) hint: String,
    /// Where its connection is looked after.
    home: Home,
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
    pub(super) fn new(addr: &str, lane: Lane, home: Home) -> Self {
        Link {
            home,
            addr: addr.to_owned(),
            lane,
            hint: format!("{addr} ({})", lane.name()),
            state: Mutex::new(State::Down { failures: 0 }),
            changed: Notify::new(),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(&*self.state.lock(), State::Up { connection, .. } if connection.is_open())
    }

    /// The connection, dialled when there is none.
    pub(super) async fn connection(self: &Arc<Self>, dialler: &Arc<dyn Dial>) -> Result<Arc<Connection>> {
        loop {
            // Made before the look, so that a change after the look wakes it.
            let changed = self.changed.notified();
            {
                let mut state = self.state.lock();
                state.move_on(dialler.limits());
                match &*state {
                    State::Up { connection, .. } => return Ok(connection.clone()),
                    State::Waiting { error, .. } => return Err(error.clone()),
                    State::Closed => return Err(stopped()),
                    State::Down { failures } => {
                        *state = State::Dialling { failures: *failures };
                        self.home.spawn(self.clone().dial(dialler.clone()));
                    }
                    State::Dialling { .. } => {}
                }
            }
            changed.await;
        }
    }

    async fn dial(self: Arc<Self>, dialler: Arc<dyn Dial>) {
        let result = dialler.dial(&self.addr, self.lane).await;
        {
            let mut state = self.state.lock();
            // Closed meanwhile: the stream is dropped.
            if let State::Dialling { failures } = *state {
                *state = match result {
                    Ok(dialled) => {
                        let connection = self.begin(&dialler, dialled);
                        State::Up { connection, failures }
                    }
                    Err(error) => State::failed(failures, error, dialler.limits()),
                };
            }
        }
        self.changed.notify_waiters();
    }

    fn begin(self: &Arc<Self>, dialler: &Arc<dyn Dial>, dialled: Dialled) -> Arc<Connection> {
        let connection = Connection::start(dialled.stream, self.lane, dialler.limits());
        if let Some(record) = dialled.remembered {
            let checking = self.clone().check(dialler.clone(), connection.clone(), record);
            env::spawn(checking);
        }
        connection
    }

    /// A connection to an address that was remembered ends when the resolver, once it answers again, does not know that
    /// address of this name any more: somebody else may have it.
    async fn check(self: Arc<Self>, dialler: Arc<dyn Dial>, connection: Arc<Connection>, record: String) {
        while connection.is_open() {
            match dialler.leads_to(&self.addr, &record).await {
                Some(true) => return,
                Some(false) => {
                    return connection.close(Error::new(
                        ErrorCode::Unreachable,
                        format!("{record} is not an address of {} any more", self.addr),
                    ));
                }
                None => env::sleep(CHECK).await,
            }
        }
    }

    pub(super) fn close(&self) {
        let state = std::mem::replace(&mut *self.state.lock(), State::Closed);
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
