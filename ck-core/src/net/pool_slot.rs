//! The connection to one address on one lane: dialled when a call needs it, and redialled when it has ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::connection_pool::stopped;
use super::outgoing_connection::{OutgoingConnection, ReadyStream};
use super::{KeyId, Lane, NetLimits};
use crate::env::runtime::HomeRuntime;
use crate::env::{self, Instant};
use crate::error::{Error, ErrorCode, Result};

/// The pause between two lookups that verify a connection to a stale address.
const VERIFY_PAUSE: Duration = Duration::from_secs(1);

/// Makes connections to addresses.
pub(super) trait Dial: fmt::Debug + Send + Sync + 'static {
    /// A connection whose handshake is complete.
    fn dial<'a>(&'a self, addr: &'a str, lane: Lane) -> BoxFuture<'a, Result<DialledStream>>;

    /// Whether `addr` resolves to `record`, among others; `None` while the resolver does not answer.
    fn resolves_to<'a>(&'a self, addr: &'a str, record: &'a str) -> BoxFuture<'a, Option<bool>>;

    /// The limits of the connections that it makes.
    fn limits(&self) -> &NetLimits;

    /// Whether a connection that was made so would be made so now. If not it is replaced before the next call.
    fn is_current(&self, introduction: &Introduction) -> bool;
}

/// How a node introduces itself on a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Introduction {
    /// Its Raft id; 0 before it has one.
    pub(super) raft_id: u64,
    /// The key with which it has proved itself, where there is one.
    pub(super) key_id: Option<KeyId>,
}

/// A connection, and how its address was found.
pub(super) struct DialledStream {
    pub(super) stream: ReadyStream,
    /// The Raft id with which this node introduced itself.
    pub(super) raft_id: u64,
    /// The record that was dialled, if it is stale: the resolver had no answer, and the address may belong to another
    /// machine by now.
    pub(super) stale_record: Option<String>,
}

/// The place in the pool for the connection to one address on one lane.
pub(super) struct PoolSlot {
    addr: String,
    lane: Lane,
    /// The name of the slot in messages.
    pub(super) label: String,
    /// The runtime on which the tasks of its connection run.
    home: HomeRuntime,
    state: Mutex<SlotState>,
    /// Notified when the state has changed.
    changed: Notify,
}

enum SlotState {
    /// There is no connection; the next call dials. `failures` counts failed dials in a row, here and below.
    Disconnected { failures: u32 },
    /// A dial is in progress.
    Dialling { failures: u32 },
    /// A dial has failed; calls before `until` fail with the same error.
    Backoff {
        failures: u32,
        until: Instant,
        error: Error,
    },
    /// There is a connection, which may have failed meanwhile. `failures` counts those before it.
    Connected {
        connection: Arc<OutgoingConnection>,
        introduction: Introduction,
        failures: u32,
    },
    /// The transport is closed.
    Closed,
}

impl PoolSlot {
    pub(super) fn new(addr: &str, lane: Lane, home: HomeRuntime) -> Self {
        PoolSlot {
            home,
            addr: addr.to_owned(),
            lane,
            label: format!("{addr} ({})", lane.name()),
            state: Mutex::new(SlotState::Disconnected { failures: 0 }),
            changed: Notify::new(),
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(&*self.state.lock(), SlotState::Connected { connection, .. } if connection.is_open())
    }

    /// The connection; dials if there is none.
    pub(super) async fn connection(
        self: &Arc<Self>,
        dialler: &Arc<dyn Dial>,
    ) -> Result<Arc<OutgoingConnection>> {
        loop {
            // Created before the state is read, so that no later change is missed.
            let changed = self.changed.notified();
            {
                let mut state = self.state.lock();
                state.refresh(&**dialler);
                match &*state {
                    SlotState::Connected { connection, .. } => return Ok(connection.clone()),
                    SlotState::Backoff { error, .. } => return Err(error.clone()),
                    SlotState::Closed => return Err(stopped()),
                    SlotState::Disconnected { failures } => {
                        *state = SlotState::Dialling { failures: *failures };
                        self.home.spawn(self.clone().dial(dialler.clone()));
                    }
                    SlotState::Dialling { .. } => {}
                }
            }
            changed.await;
        }
    }

    async fn dial(self: Arc<Self>, dialler: Arc<dyn Dial>) {
        let result = dialler.dial(&self.addr, self.lane).await;
        {
            let mut state = self.state.lock();
            // If the slot was closed meanwhile, the stream is dropped.
            if let SlotState::Dialling { failures } = *state {
                *state = match result {
                    Ok(dialled) => {
                        let introduction = Introduction {
                            raft_id: dialled.raft_id,
                            key_id: dialled.stream.key_id.clone(),
                        };
                        let connection = self.start_connection(&dialler, dialled);
                        SlotState::Connected {
                            connection,
                            introduction,
                            failures,
                        }
                    }
                    Err(error) => SlotState::backoff(failures, error, dialler.limits()),
                };
            }
        }
        self.changed.notify_waiters();
    }

    fn start_connection(
        self: &Arc<Self>,
        dialler: &Arc<dyn Dial>,
        dialled: DialledStream,
    ) -> Arc<OutgoingConnection> {
        let connection = OutgoingConnection::start(dialled.stream, self.lane, dialler.limits());
        if let Some(record) = dialled.stale_record {
            let verifying = self
                .clone()
                .verify_record(dialler.clone(), connection.clone(), record);
            env::spawn(verifying);
        }
        connection
    }

    /// Closes a connection to a stale address if the resolver, once it answers again, does not have that address for the
    /// name any more: it may belong to another machine.
    async fn verify_record(
        self: Arc<Self>,
        dialler: Arc<dyn Dial>,
        connection: Arc<OutgoingConnection>,
        record: String,
    ) {
        while connection.is_open() {
            match dialler.resolves_to(&self.addr, &record).await {
                Some(true) => return,
                Some(false) => {
                    return connection.close(Error::new(
                        ErrorCode::Unreachable,
                        format!("{record} is no longer an address of {}", self.addr),
                    ));
                }
                None => env::sleep(VERIFY_PAUSE).await,
            }
        }
    }

    pub(super) fn close(&self) {
        let state = std::mem::replace(&mut *self.state.lock(), SlotState::Closed);
        if let SlotState::Connected { connection, .. } = state {
            connection.close(stopped());
        }
        self.changed.notify_waiters();
    }
}

impl SlotState {
    /// The state after a further failure in a row.
    fn backoff(failures: u32, error: Error, limits: &NetLimits) -> Self {
        let pause = limits.min_backoff.saturating_mul(1 << failures.min(16));
        SlotState::Backoff {
            failures: failures.saturating_add(1),
            until: Instant::now() + pause.min(limits.max_backoff),
            error,
        }
    }

    /// Leaves a state that has ended: a connection that was lost, or was made under another identity, or a backoff that is
    /// over.
    fn refresh(&mut self, dialler: &dyn Dial) {
        match self {
            SlotState::Connected {
                connection,
                introduction,
                ..
            } if connection.is_open() && !dialler.is_current(introduction) => {
                connection.retire();
                *self = SlotState::Disconnected { failures: 0 };
            }
            SlotState::Connected {
                connection, failures, ..
            } if !connection.is_open() => {
                *self = if connection.is_proven() {
                    SlotState::Disconnected { failures: 0 }
                } else {
                    // The peer accepted it and closed it without an answer. Without a backoff that would be repeated at once.
                    let error = Error::new(
                        ErrorCode::Unreachable,
                        "the peer closes its connections without an answer",
                    );
                    SlotState::backoff(*failures, error, dialler.limits())
                };
            }
            SlotState::Backoff { failures, until, .. } if Instant::now() >= *until => {
                *self = SlotState::Disconnected { failures: *failures };
            }
            _ => {}
        }
    }
}
