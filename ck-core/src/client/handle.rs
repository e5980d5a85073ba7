//! The handle that applications hold: every public call of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::asks::{Asks, Freshness};
use super::changes::{ChangeCallback, ChangeDispatcher, Changes};
use super::follower::Follower;
use super::options::ClientOptions;
use super::shared::Shared;
use super::status::ClientStatus;
use crate::clusterkit::SharedRuntime;
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::logger::{LOG_CLOSE_TIMEOUT, LogCallback};
use crate::options::format_duration;
use crate::routing::ViewGuard;

/// How long closing waits for the task, which ends at its next step.
const TASK_END_TIMEOUT: Duration = Duration::from_secs(5);

/// A program that is no member follows a cluster, and answers the same lookups as a member does, from its own memory.
///
/// It asks members over HTTP, any of them, and keeps the newest view that it has seen: an immutable
/// [`ClusterView`](crate::routing::ClusterView), the same that a member's lookups read. A client has no node id: questions
/// about this node's own part (`my_node`, `role`, `is_primary`) are answered with none.
///
/// For programs whose threads may block; [`AsyncClient`](crate::AsyncClient) is the same client for programs that are
/// asynchronous themselves. Clones refer to the same client. All calls may be made from any thread. Calls that wait block
/// the calling thread for as long as they document; [`Client::view`] and [`Client::status`] never wait. When the last clone
/// is dropped the client ends as by [`Client::close`], without waiting for that.
///
/// What it promises: its cluster never changes, and its revision never falls, whichever member answers. An answer of
/// another cluster is refused, also where a new cluster was founded under the same addresses: the client keeps its view, and
/// [`Client::status`] has [`ErrorCode::WrongCluster`]. A new client follows the new cluster. The guide, `docs/client.md`, has
/// the rest.
///
/// ```no_run
/// use std::time::Duration;
///
/// use clusterkit::{Client, ClientOptions};
///
/// # fn main() -> clusterkit::Result<()> {
/// let client = Client::new(ClientOptions::new(["10.0.0.1:8080", "10.0.0.2:8080"]))?;
/// client.wait_ready(Duration::from_secs(10))?;
/// let view = client.view();
/// if let Some(node) = view.primary_node(b"user:123") {
///     println!("ask {} at {}, or its service at {:?}", node.id, node.ip, node.services.get("kv"));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Arc<ClientInner>,
}

pub(super) struct ClientInner {
    pub(super) shared: Arc<Shared>,
    asks: Arc<Asks>,
    pub(super) runtime: Arc<SharedRuntime>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("addrs", &self.inner.shared.options.addrs)
            .field("revision", &self.inner.shared.revision())
            .finish_non_exhaustive()
    }
}

impl Drop for ClientInner {
    fn drop(&mut self) {
        self.shared.close();
        self.shared.changes.close();
        self.shared.logger.close();
    }
}

impl Client {
    /// Creates a client, which begins to look for a member at once. It starts no thread but the runtime's, which all nodes
    /// and clients of the process share.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`]; [`ErrorCode::Io`] when the threads of the runtime cannot be started.
    pub fn new(options: ClientOptions) -> Result<Self> {
        options.validate()?;
        let runtime = SharedRuntime::get(None)?;
        let shared = Arc::new(Shared::new(options)?);
        let followed = shared.clone();
        // Where HTTP is served, and not where members talk to each other: what a client does, and waits for, delays no
        // heartbeat of a node in this process.
        runtime.spawn_for_clients(Box::pin(async move {
            Follower::new(followed.clone()).run().await;
            followed.note_task_end();
        }));
        Ok(Client {
            inner: Arc::new(ClientInner {
                shared,
                asks: Arc::default(),
                runtime,
            }),
        })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// Runs a call on the runtime's threads, and waits for its result on this one.
    fn wait<T: Send + 'static>(&self, call: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let runtime = self.inner.runtime.clone();
        self.inner
            .runtime
            .block_on(async move { runtime.run_for_clients(call).await })
    }

    // ---- lookups: no lock, no waiting ----------------------------------------------------------------------

    /// The newest view: every lookup by key is made on a view, and all answers of one view agree. Before the first answer
    /// it is empty, at revision 0: it has no member, and finds no partition. Revisions that one thread sees never fall.
    pub fn view(&self) -> ViewGuard {
        self.shared().view()
    }

    /// How this client is connected, and how old its view may be. Waits for nothing.
    pub fn status(&self) -> ClientStatus {
        self.shared().status()
    }

    // ---- waiting -------------------------------------------------------------------------------------------

    /// Waits for the first view, for at most `timeout`; returns its revision, at once where there is one.
    ///
    /// # Errors
    /// [`ErrorCode::Timeout`], with what failed last; [`ErrorCode::Stopped`] when the client is closed;
    /// [`ErrorCode::InHook`] on a thread of ClusterKit's own runtime, as for every call that waits.
    pub fn wait_ready(&self, timeout: Duration) -> Result<u64> {
        match self.shared().revision() {
            0 => self.wait(self.ready(timeout)),
            revision => Ok(revision),
        }
    }

    /// Waits for a view that is newer than `revision`, for at most `timeout`; returns the revision of the newest. Asks
    /// nobody besides.
    ///
    /// # Errors
    /// [`ErrorCode::Timeout`] when there is none; [`ErrorCode::Stopped`], [`ErrorCode::InHook`].
    pub fn wait_for_change(&self, revision: u64, timeout: Duration) -> Result<u64> {
        match self.shared().revision() {
            newer if newer > revision => Ok(newer),
            _ => self.wait(self.change(revision, timeout)),
        }
    }

    /// Waits until the view has `revision`, for at most `timeout`: a client that was told a revision, by a member or by
    /// another client, reads at least that. Where the member that is followed does not bring it in a moment, others are
    /// asked.
    ///
    /// # Errors
    /// [`ErrorCode::Timeout`], [`ErrorCode::Stopped`], [`ErrorCode::InHook`].
    pub fn wait_for_revision(&self, revision: u64, timeout: Duration) -> Result<()> {
        if self.shared().revision() >= revision {
            return Ok(());
        }
        self.wait(self.revision(revision, timeout))
    }

    /// Asks now: afterwards the view has what a member in contact with the leader had after this call began. Asks until one
    /// answers, for at most `timeout`; returns the revision. Calls at the same time share one answer.
    ///
    /// # Errors
    /// What the members said last, when none answered so: [`ErrorCode::Unreachable`], [`ErrorCode::NoLeader`],
    /// [`ErrorCode::WrongCluster`], [`ErrorCode::Version`], [`ErrorCode::TooLarge`] and others, or [`ErrorCode::Timeout`]
    /// when they said nothing; [`ErrorCode::Stopped`], [`ErrorCode::InHook`].
    pub fn refresh(&self, timeout: Duration) -> Result<u64> {
        self.wait(self.ask(Freshness::Asked, timeout))
    }

    /// [`Client::refresh`], from a member that has applied every write that was acknowledged before this call: what is
    /// looked up afterwards is linearizable.
    ///
    /// # Errors
    /// As [`Client::refresh`].
    pub fn read_barrier(&self, timeout: Duration) -> Result<u64> {
        self.wait(self.ask(Freshness::Linearizable, timeout))
    }

    // ---- being told ----------------------------------------------------------------------------------------

    /// Sets the function that is called with each newer view: first with the present one, if there is one, then with what
    /// comes. Where several views came during a call, the next call has the newest. `None`, the default, ends that. An
    /// earlier callback is dropped before this returns, or when its running call returns. Never blocks.
    ///
    /// Called on a thread that does nothing else (`ck-change`, while there is a callback), one call after the other. It may
    /// block, and may make any call of this client; nothing waits for it, but [`Client::close`] for 1 s. A panic in it is
    /// caught. A [`Client`] in it keeps the client open, and so do its clones: [`Client::close`] ends that.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] when its thread cannot be started; [`ErrorCode::Stopped`].
    pub fn on_change(&self, callback: Option<ChangeCallback>) -> Result<()> {
        let refused = self.shared().refuse_closed();
        ChangeDispatcher::set_callback(self.shared(), callback)?;
        refused
    }

    /// The views as a stream, for any executor; see [`Changes`].
    pub fn changes(&self) -> Changes {
        Changes::new(self.shared().clone())
    }

    /// Sets the log callback, as [`ClusterKit::on_log`](crate::ClusterKit::on_log) does for a node. Never blocks. A client begins
    /// before there can be one: its first messages wait for the first callback, 16 of them at most.
    pub fn on_log(&self, callback: Option<LogCallback>) {
        self.shared().logger.set_callback(callback);
    }

    // ---- the end -------------------------------------------------------------------------------------------

    /// Closes the client: connections are closed, every call that waits answers [`ErrorCode::Stopped`], streams end, and
    /// callbacks are dropped. The view stays as it is. Idempotent.
    ///
    /// Usually takes milliseconds; 1 s more for each callback that does not return, which is left to itself.
    ///
    /// # Errors
    /// [`ErrorCode::InHook`] on a thread of ClusterKit's own runtime: the client is closed, and this has waited for nothing.
    pub fn close(&self) -> Result<()> {
        self.shared().close();
        let ended = self.wait(self.task_end());
        match ended {
            Ok(()) => {
                self.shared().changes.close_within(LOG_CLOSE_TIMEOUT);
                self.shared().logger.close_within(LOG_CLOSE_TIMEOUT);
            }
            Err(_) => {
                self.shared().changes.close();
                self.shared().logger.close();
            }
        }
        ended
    }

    // ---- for the bindings of other languages -----------------------------------------------------------------

    /// Runs a future on the runtime, to its end.
    #[doc(hidden)]
    pub fn spawn(&self, future: BoxFuture<'static, ()>) {
        self.inner.runtime.spawn_for_clients(future);
    }

    // ---- what both handles run -----------------------------------------------------------------------------

    // Behind a pointer, so that no crate but this one compiles them: see clusterkit/node_calls.rs.

    #[inline(never)]
    pub(super) fn ready(&self, timeout: Duration) -> BoxFuture<'static, Result<u64>> {
        let shared = self.shared().clone();
        Box::pin(async move {
            let reached = env::timeout(timeout, shared.reach(1)).await;
            reached.unwrap_or_else(|_| {
                let mut message = format!("no member has answered within {}", format_duration(timeout));
                if let Some(error) = shared.status().last_error {
                    message = format!("{message}; last: {error}");
                }
                Err(Error::new(ErrorCode::Timeout, message))
            })
        })
    }

    #[inline(never)]
    pub(super) fn change(&self, revision: u64, timeout: Duration) -> BoxFuture<'static, Result<u64>> {
        let shared = self.shared().clone();
        Box::pin(async move {
            let reached = env::timeout(timeout, shared.reach(revision.saturating_add(1))).await;
            reached.unwrap_or_else(|_| {
                let message = format!(
                    "nothing newer than revision {revision} within {}",
                    format_duration(timeout)
                );
                Err(Error::new(ErrorCode::Timeout, message))
            })
        })
    }

    #[inline(never)]
    pub(super) fn revision(&self, revision: u64, timeout: Duration) -> BoxFuture<'static, Result<()>> {
        let (shared, asks) = (self.shared().clone(), self.inner.asks.clone());
        Box::pin(async move { asks.wait_for_revision(&shared, revision, timeout).await.map(drop) })
    }

    #[inline(never)]
    pub(super) fn ask(&self, freshness: Freshness, timeout: Duration) -> BoxFuture<'static, Result<u64>> {
        let (shared, asks) = (self.shared().clone(), self.inner.asks.clone());
        Box::pin(async move { asks.ask(&shared, freshness, timeout).await })
    }

    #[inline(never)]
    pub(super) fn task_end(&self) -> BoxFuture<'static, Result<()>> {
        let shared = self.shared().clone();
        Box::pin(async move {
            // A step of the task that takes longer, such as reading a large answer, changes nothing any more.
            let _ = env::timeout(TASK_END_TIMEOUT, shared.task_end()).await;
            Ok(())
        })
    }
}
