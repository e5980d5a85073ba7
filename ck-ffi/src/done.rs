//! Calls that do not wait: how C hears of their outcome.
//!
//! Each node, and each client, has one thread that calls completion callbacks, one after the other, from the first such call on. It ends when
//! the node or client was freed and everything was told.

use std::collections::VecDeque;
use std::ffi::{c_char, c_void};
use std::pin::Pin;
use std::ptr::null;
use std::sync::Arc;
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use clusterkit::model::{LeaderInfo, RebalanceStatus};
use clusterkit::{Error, ErrorCode, Result};
use parking_lot::{Condvar, Mutex};

use crate::border::guard::caught;
use crate::border::handle::null as null_error;
use crate::border::record::{Keep, Record};
use crate::error::ck_error_t;
use crate::leadership::{ck_leader_info_t, leader_record};
use crate::rebalance::{ck_rebalance_status_t, status_record};

/// How long the end of a node waits for a completion callback to return.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The outcome of a call that did not wait. The library owns it; it is valid until the callback returns. New fields go to the
/// end.
#[repr(C)]
pub struct ck_result_t {
    /// Why the call failed; NULL when it succeeded. Valid until the callback returns, and not the caller's to free.
    pub error: *const ck_error_t,
    /// The revision of a write, or that which was waited for; else 0.
    pub revision: u64,
    /// How many partitions there are, or move; else 0.
    pub count: usize,
    /// A deletion: whether there was a value.
    pub existed: bool,
    /// A change of leadership: the leader afterwards; else NULL.
    pub node_id: *const c_char,
    /// ck_wait_for_leader_async: the leader; else NULL.
    pub leader: *const ck_leader_info_t,
    /// ck_rebalance_status_async: the status; else NULL.
    pub rebalance_status: *const ck_rebalance_status_t,
}

/// Told the outcome of a call that did not wait, exactly once, also when the node or the client is freed meanwhile. result: valid until the
/// callback returns. user_data: what was given with the call.
///
/// Called on a thread of the library that does nothing else, one call after the other for each node and each client: while one does not return,
/// the others wait. It may call every function of this library; one that blocks delays what others wait to hear. It must
/// return: no exception, no longjmp.
pub type ck_done_fn = Option<unsafe extern "C-unwind" fn(result: *const ck_result_t, user_data: *mut c_void)>;

type DoneFn = unsafe extern "C-unwind" fn(*const ck_result_t, *mut c_void);

/// What a call that succeeded has to tell.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) revision: u64,
    pub(crate) count: usize,
    pub(crate) existed: bool,
    pub(crate) node_id: String,
    pub(crate) leader: Option<LeaderInfo>,
    pub(crate) rebalance_status: Option<RebalanceStatus>,
}

impl Outcome {
    pub(crate) fn revision(revision: u64) -> Self {
        Outcome {
            revision,
            ..Outcome::default()
        }
    }
}

/// The completion callbacks of a node or a client.
#[derive(Default)]
pub(crate) struct DoneQueue {
    shared: Arc<DoneShared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct DoneShared {
    state: Mutex<DoneState>,
    changed: Condvar,
}

#[derive(Default)]
struct DoneState {
    waiting: VecDeque<Told>,
    /// How many calls have not been told their outcome yet.
    open: usize,
    closing: bool,
    thread: Option<ThreadId>,
    has_ended: bool,
}

struct Told {
    to: Callback,
    result: Result<Outcome>,
}

struct Callback {
    done: DoneFn,
    user_data: *mut c_void,
}

// SAFETY: the data is never looked at here; the header says on which thread the callback is called.
unsafe impl Send for Callback {}

/// Tells one call's outcome, once. Dropped without one, it tells that the library has lost it.
struct Teller {
    shared: Arc<DoneShared>,
    callback: Option<Callback>,
}

impl Teller {
    fn tell(mut self, result: Result<Outcome>) {
        self.pass_on(result);
    }

    fn pass_on(&mut self, result: Result<Outcome>) {
        if let Some(to) = self.callback.take() {
            self.shared.state.lock().waiting.push_back(Told { to, result });
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        // The call panicked, or the runtime ended under it.
        self.pass_on(Err(Error::new(
            ErrorCode::Internal,
            "the call ended without an outcome: ClusterKit panicked",
        )));
    }
}

impl DoneQueue {
    /// What tells the outcome of a call that is about to begin.
    fn teller(&self, done: ck_done_fn, user_data: *mut c_void) -> Result<Teller> {
        let done = done.ok_or_else(|| null_error("done"))?;
        self.start_thread()?;
        self.shared.state.lock().open += 1;
        Ok(Teller {
            shared: Arc::clone(&self.shared),
            callback: Some(Callback { done, user_data }),
        })
    }

    /// Begins a call whose outcome `done` hears of: `spawn` runs it.
    ///
    /// # Errors
    /// When there is no function to tell, or no thread for it: the call does not begin then.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        done: ck_done_fn,
        user_data: *mut c_void,
        spawn: impl FnOnce(Pin<Box<dyn Future<Output = ()> + Send>>),
        call: impl Future<Output = Result<T>> + Send + 'static,
        outcome: impl FnOnce(T) -> Outcome + Send + 'static,
    ) -> Result<()> {
        let teller = self.teller(done, user_data)?;
        spawn(Box::pin(async move { teller.tell(call.await.map(outcome)) }));
        Ok(())
    }

    fn start_thread(&self) -> Result<()> {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let started = clusterkit::env::spawn_thread("ck-done", move || shared.run());
            *thread = Some(started.map_err(|error| {
                Error::new(
                    ErrorCode::Io,
                    format!("start the thread for completions: {error}"),
                )
            })?);
        }
        Ok(())
    }

    /// Lets the thread end when everything was told.
    pub(crate) fn close_later(&self) {
        self.shared.state.lock().closing = true;
        self.shared.changed.notify_all();
    }

    /// Waits until everything was told, where that is possible here, and for the thread. The node is closed, so every call has
    /// an outcome by now, or soon.
    pub(crate) fn close(self) {
        self.close_later();
        let Some(thread) = self.thread.into_inner() else {
            return;
        };
        let mut state = self.shared.state.lock();
        if state.thread == Some(std::thread::current().id()) {
            // Inside a callback: it ends when that has returned.
            return;
        }
        let deadline = std::time::Instant::now() + CLOSE_TIMEOUT;
        while !state.has_ended {
            if self.shared.changed.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
        drop(state);
        // It panics for nothing: callbacks are held.
        drop(thread.join());
    }
}

impl DoneShared {
    fn run(&self) {
        let mut state = self.state.lock();
        state.thread = Some(std::thread::current().id());
        while let Some(told) = self.next(&mut state) {
            drop(state);
            call(&told);
            state = self.state.lock();
            state.open -= 1;
        }
        state.has_ended = true;
        drop(state);
        self.changed.notify_all();
    }

    /// The next outcome to tell; `None` when none will come.
    fn next(&self, state: &mut parking_lot::MutexGuard<'_, DoneState>) -> Option<Told> {
        loop {
            if let Some(told) = state.waiting.pop_front() {
                return Some(told);
            }
            if state.closing && state.open == 0 {
                return None;
            }
            self.changed.wait(state);
        }
    }
}

/// Calls a callback of C's with an outcome, which lives until it returns.
fn call(told: &Told) {
    let Callback { done, user_data } = told.to;
    drop(caught(|| match &told.result {
        Ok(outcome) => {
            let leader = outcome.leader.as_ref().map(leader_record);
            let status = outcome.rebalance_status.as_ref().map(status_record);
            let result = Record::new(|keep| ck_result_t {
                error: null(),
                revision: outcome.revision,
                count: outcome.count,
                existed: outcome.existed,
                node_id: keep.text_or_null(&outcome.node_id),
                leader: leader.as_ref().map_or(null(), |record| record.as_ptr()),
                rebalance_status: status.as_ref().map_or(null(), |record| record.as_ptr()),
            });
            // SAFETY: C gave the function for such a call, with this data. An exception that gets out of it ends the process.
            unsafe { done(result.as_ptr(), user_data) };
        }
        Err(error) => {
            let error = ck_error_t::new(error);
            let result = Record::new(|_: &mut Keep| failed(&error));
            // SAFETY: as above.
            unsafe { done(result.as_ptr(), user_data) };
        }
    }));
}

fn failed(error: &ck_error_t) -> ck_result_t {
    ck_result_t {
        error,
        revision: 0,
        count: 0,
        existed: false,
        node_id: null(),
        leader: null(),
        rebalance_status: null(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::error::{CK_ERROR_INTERNAL, ck_error_code};

    /// Adds the revision, or a thousand times the error's code.
    unsafe extern "C-unwind" fn adds(result: *const ck_result_t, user_data: *mut c_void) {
        // SAFETY: both are there until this returns.
        unsafe {
            let sum = &*user_data.cast_const().cast::<AtomicU64>();
            let code = ck_error_code((*result).error).unsigned_abs();
            sum.fetch_add((*result).revision + 1000 * u64::from(code), Ordering::Relaxed);
        }
    }

    #[test]
    fn every_outcome_is_told_once_and_a_close_waits_for_it() {
        let sum = AtomicU64::new(0);
        let user_data = std::ptr::from_ref(&sum).cast_mut().cast();
        let queue = DoneQueue::default();
        for revision in 1..=3 {
            let teller = queue.teller(Some(adds), user_data).unwrap();
            teller.tell(Ok(Outcome::revision(revision)));
        }
        let late = queue.teller(Some(adds), user_data).unwrap();
        let lost = queue.teller(Some(adds), user_data).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| queue.close());
            drop(lost);
            late.tell(Ok(Outcome::revision(10)));
        });
        let lost = 1000 * u64::from(CK_ERROR_INTERNAL.unsigned_abs());
        assert_eq!(sum.load(Ordering::Relaxed), 16 + lost);
    }

    #[test]
    fn a_call_without_a_callback_does_not_begin() {
        let queue = DoneQueue::default();
        let error = queue.teller(None, std::ptr::null_mut()).err().unwrap();
        assert_eq!(error.message(), "done is NULL");
        queue.close();
    }
}
