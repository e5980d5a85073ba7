//! Telling the application that the view has changed: by a callback on a thread of its own, or as a stream.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream};
use parking_lot::{Condvar, Mutex};

use super::shared::Shared;
use crate::catch_panic::{catch_panic, drop_catching_panic};
use crate::env::{self, Instant};
use crate::error::{Error, Result};
use crate::routing::ClusterView;

/// What is called with each newer view; see [`Client::on_change`](crate::Client::on_change).
pub type ChangeCallback = Arc<dyn Fn(&Arc<ClusterView>) + Send + Sync>;

thread_local! {
    /// The id of the dispatcher whose thread this is; 0 on other threads.
    static CHANGE_THREAD: Cell<usize> = const { Cell::new(0) };
}

/// The callback for changes, and the thread that calls it. The application's code may block for any time, so it runs
/// neither on a thread of the runtime nor in its blocking pool: a few callbacks that stand still would fill that.
#[derive(Default)]
pub(super) struct ChangeDispatcher {
    state: Mutex<DispatcherState>,
    /// Notified when a thread has ended.
    ended: Condvar,
}

/// Application code, destructors included, never runs under the lock.
#[derive(Default)]
struct DispatcherState {
    callback: Option<ChangeCallback>,
    /// Number of callbacks so far: a thread ends when its callback is not the last one.
    generation: u64,
    is_closed: bool,
    /// Number of threads that have not ended.
    running: usize,
    /// Handles of the threads that are not joined yet.
    handles: Vec<JoinHandle<()>>,
}

impl ChangeDispatcher {
    /// Identifies this dispatcher; unique among live ones.
    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn is_on_own_thread(&self) -> bool {
        CHANGE_THREAD.try_with(Cell::get).unwrap_or(0) == self.id()
    }

    /// Replaces the callback. Waits for nothing.
    ///
    /// # Errors
    /// `IO` when there can be no thread; then there is no callback.
    pub(super) fn set_callback(shared: &Arc<Shared>, callback: Option<ChangeCallback>) -> Result<()> {
        let dispatcher = &shared.changes;
        let mut state = dispatcher.state.lock();
        state.generation += 1;
        let before = state.callback.take();
        let mut started = Ok(());
        let mut refused = None;
        if state.is_closed {
            refused = callback;
        } else if callback.is_some() {
            let (generation, keep) = (state.generation, shared.clone());
            match env::spawn_thread("ck-change", move || Self::run(&keep, generation)) {
                Ok(handle) => {
                    state.callback = callback;
                    state.running += 1;
                    state.handles.retain(|handle| !handle.is_finished());
                    state.handles.push(handle);
                }
                Err(error) => {
                    started = Err(Error::io("start a thread for the callback", &error));
                    refused = callback;
                }
            }
        }
        drop(state);
        // The thread of the callback before ends.
        shared.wake_waiters();
        drop_catching_panic((before, refused));
        started
    }

    /// The callback of this generation, while it is the last one.
    fn callback_of(&self, generation: u64) -> Option<ChangeCallback> {
        let state = self.state.lock();
        let is_current = state.generation == generation && !state.is_closed;
        state.callback.clone().filter(|_| is_current)
    }

    /// The main loop of a thread.
    fn run(shared: &Arc<Shared>, generation: u64) {
        let dispatcher = &shared.changes;
        CHANGE_THREAD.set(dispatcher.id());
        let mut told = 0;
        loop {
            let seen = shared.changes_seen();
            // Looked at after the count: the end is the last change, and this thread may have begun only after it.
            if shared.is_closed() {
                break;
            }
            let Some(callback) = dispatcher.callback_of(generation) else {
                break;
            };
            let view = shared.view().into_owned();
            if view.revision() > told {
                told = view.revision();
                catch_panic(|| callback(&view));
                drop_catching_panic(callback);
                continue;
            }
            // Not kept while waiting, so that whoever replaces it drops it.
            drop_catching_panic(callback);
            env::block_on(shared.change_after(seen));
        }
        dispatcher.state.lock().running -= 1;
        dispatcher.ended.notify_all();
    }

    /// Ends the thread after the call that runs, if one does. Waits for nothing.
    pub(super) fn close(&self) {
        let unused = {
            let mut state = self.state.lock();
            state.is_closed = true;
            state.callback.take()
        };
        drop_catching_panic(unused);
    }

    /// [`ChangeDispatcher::close`], and waits until the thread has ended, at most for `timeout`; inside the callback it
    /// does not wait.
    pub(super) fn close_within(&self, timeout: Duration) {
        self.close();
        if self.is_on_own_thread() {
            return;
        }
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        while state.running > 0 {
            let left = deadline.since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.ended.wait_for(&mut state, left);
        }
        let handles = std::mem::take(&mut state.handles);
        drop(state);
        // The threads have left their loop: this waits only until the system has ended them.
        handles.into_iter().for_each(|handle| drop(handle.join()));
    }
}

/// The views of a [`Client`](crate::Client) as a stream: the present one first, if there is one, and then each newer one.
///
/// A view says all that there is to say, so a reader that is slow misses nothing: where several came meanwhile, the next
/// item is the newest. The stream ends when the client is closed. It may be read on any executor, and does not keep the
/// client open.
///
/// ```no_run
/// use futures_util::StreamExt;
///
/// # async fn example(client: clusterkit::AsyncClient) {
/// let mut changes = client.changes();
/// while let Some(view) = changes.next().await {
///     println!("{} members at revision {}", view.nodes().len(), view.revision());
/// }
/// # }
/// ```
pub struct Changes {
    shared: Arc<Shared>,
    told: u64,
    next: Option<BoxFuture<'static, ()>>,
}

impl Changes {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Changes {
            shared,
            told: 0,
            next: None,
        }
    }
}

impl Stream for Changes {
    type Item = Arc<ClusterView>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Arc<ClusterView>>> {
        let this = &mut *self;
        loop {
            let seen = this.shared.changes_seen();
            let view = this.shared.view();
            if view.revision() > this.told {
                this.told = view.revision();
                this.next = None;
                return Poll::Ready(Some(view.into_owned()));
            }
            if this.shared.is_closed() {
                return Poll::Ready(None);
            }
            let next = this.next.get_or_insert_with(|| {
                let shared = this.shared.clone();
                async move { shared.change_after(seen).await }.boxed()
            });
            match next.poll_unpin(context) {
                Poll::Ready(()) => this.next = None,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}
