//! The pull form of hooks: a queue of events that is read, with a descriptor that turns readable.

use std::collections::{HashMap, VecDeque};
use std::ffi::{c_char, c_int};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clusterkit::hooks::{EventFilter, EventType, Hook, HookCompletion, HookId};
use clusterkit::model::Event;
use clusterkit::{Error, ErrorCode, Result, WeakClusterKit};
use parking_lot::{Condvar, Mutex};

use crate::border::guard::{fallible, fallible_out, plain};
use crate::border::handle::{self, Handle, borrow, clear, null};
use crate::cluster::{ck_cluster_t, millis};
use crate::error::ck_error_t;
use crate::event::{CEvent, ck_event_t, filter_of};
use crate::hook::reason_of;

/// For ck_events_open: read to observe. Nothing waits for the reader, and what it acknowledges confirms no copy; a reader that
/// falls behind by 1024 events loses the oldest.
pub const CK_EVENTS_OBSERVE: u32 = 1 << 0;

/// How many events wait for a reader that observes.
const MAX_OBSERVED: usize = 1024;

/// A queue of events.
pub struct ck_events_t {
    queue: Arc<EventQueue>,
    id: HookId,
    node: WeakClusterKit,
}

impl Handle for ck_events_t {}

#[derive(Default)]
struct EventQueue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<(Arc<Event>, Option<HookCompletion>)>,
    /// Events that were read and not acknowledged, by their address.
    read: HashMap<usize, Arc<CEvent>>,
    lost: u64,
    /// True when no event will follow.
    ended: bool,
    pipe: Option<Pipe>,
}

/// A pipe that holds one byte while there is something to read, and nothing otherwise.
struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
    is_full: bool,
}

impl QueueState {
    /// Makes the pipe say whether there is something to read, or nothing will come.
    fn signal(&mut self) {
        let wanted = self.ended || !self.waiting.is_empty();
        let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.is_full != wanted) else {
            return;
        };
        // One byte at most is in the pipe, so neither blocks.
        let done = if wanted {
            pipe.writer.write(&[1])
        } else {
            pipe.reader.read(&mut [0])
        };
        if done.is_ok() {
            pipe.is_full = wanted;
        }
    }
}

impl EventQueue {
    fn change<T>(&self, change: impl FnOnce(&mut QueueState) -> T) -> T {
        let mut state = self.state.lock();
        let done = change(&mut state);
        state.signal();
        drop(state);
        self.changed.notify_all();
        done
    }

    fn push(&self, event: Arc<Event>, completion: Option<HookCompletion>) {
        self.change(|state| {
            if completion.is_none() && state.waiting.len() == MAX_OBSERVED {
                state.waiting.pop_front();
                state.lost += 1;
            }
            state.waiting.push_back((event, completion));
        });
    }

    /// The next event, for C to read until it acknowledges it; `None` when none came in time.
    fn next(&self, timeout: Duration) -> Result<Option<*const ck_event_t>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        loop {
            if let Some((event, completion)) = state.waiting.pop_front() {
                let event = CEvent::new(event, completion);
                let pointer = event.as_ptr();
                state.read.insert(pointer.addr(), event);
                state.signal();
                return Ok(Some(pointer));
            }
            if state.ended {
                return Err(Error::new(
                    ErrorCode::Stopped,
                    "the node has stopped: no event will follow",
                ));
            }
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return Ok(None);
            }
        }
    }

    fn acknowledge(&self, event: *const ck_event_t, result: Result<(), String>) -> Result<()> {
        let read = self.state.lock().read.remove(&event.addr());
        let event = read.ok_or_else(|| {
            Error::new(
                ErrorCode::InvalidArgument,
                "event is none that was read from this queue, or it was acknowledged before",
            )
        })?;
        // Outside of the lock: it may start the next call.
        if let Some(completion) = event.take_completion() {
            completion.complete(result);
        }
        Ok(())
    }
}

/// Ends the queue when the hook that feeds it is dropped.
struct Feed(Arc<EventQueue>);

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.change(|state| state.ended = true);
    }
}

impl ck_events_t {
    fn open(cluster: &ck_cluster_t, filter: EventFilter, observe: bool) -> Result<Self> {
        let queue = Arc::<EventQueue>::default();
        let feed = Feed(Arc::clone(&queue));
        let node = cluster.node();
        let registered = if observe {
            node.try_observe(Hook::deferred(move |event, completion| {
                completion.complete(Ok(()));
                if filter.accepts(EventType::of(&event.kind)) {
                    feed.0.push(event, None);
                }
            }))
        } else {
            node.try_register_hook(
                filter,
                Hook::deferred(move |event, completion| feed.0.push(event, Some(completion))),
            )
        };
        let id = registered.map_err(|rejected| rejected.into_error())?;
        Ok(ck_events_t {
            queue,
            id,
            node: node.downgrade(),
        })
    }

    fn fd(&self) -> Result<c_int> {
        self.queue.change(|state| {
            if state.pipe.is_none() {
                let (reader, writer) = std::io::pipe()
                    .map_err(|error| Error::new(ErrorCode::Io, format!("open a pipe: {error}")))?;
                state.pipe = Some(Pipe {
                    reader,
                    writer,
                    is_full: false,
                });
            }
            Ok(state.pipe.as_ref().map_or(-1, |pipe| pipe.reader.as_raw_fd()))
        })
    }

    fn close(self) {
        if let Some(node) = self.node.upgrade() {
            // Its function only fills the queue, so there is nothing to wait for.
            node.remove_hook(self.id);
        }
        // Calls whose events were not acknowledged fail, outside of the lock: the next ones may begin with that.
        let left = self.queue.change(|state| {
            state.ended = true;
            (
                std::mem::take(&mut state.waiting),
                std::mem::take(&mut state.read),
            )
        });
        drop(left);
    }
}

/// Opens a queue of events: the pull form of ck_hook_add. Each event is read with ck_events_next and acknowledged with
/// ck_events_ack, which is what the return of a callback is for a hook: for a gained partition, success confirms the copy.
///
/// What docs/hooks.md says of the order holds here, with the time between ck_events_next and ck_events_ack as the call. So events
/// that are not partition changes come one at a time: the next follows when the one before it is acknowledged.
///
/// cluster: borrowed for the call. events: a sum of CK_EVENT_* or CK_EVENT_ALL. flags: 0 or CK_EVENTS_OBSERVE. out: set on
/// success, to be closed with ck_events_close; NULL on failure. Never blocks; a hook may call it.
/// Errors: INVALID_ARGUMENT, STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_events_open(
    cluster: *mut ck_cluster_t,
    events: u32,
    flags: u32,
    out: *mut *mut ck_events_t,
) -> *mut ck_error_t {
    // SAFETY: out may be written or is NULL, and a live node or NULL, says the header.
    unsafe {
        fallible_out(out, |slot| {
            let cluster = borrow(cluster, "cluster")?;
            let filter = filter_of(events)?;
            if flags & !CK_EVENTS_OBSERVE != 0 {
                return Err(Error::new(
                    ErrorCode::InvalidArgument,
                    format!("flags {flags:#x} is neither 0 nor CK_EVENTS_OBSERVE"),
                ));
            }
            slot.put(ck_events_t::open(
                cluster,
                filter,
                flags & CK_EVENTS_OBSERVE != 0,
            )?);
            Ok(())
        })
    }
}

/// Reads the next event.
///
/// events: borrowed for the call. event: the event, valid until it is acknowledged or the queue is closed; NULL when none came in
/// time, which is success, and on failure. Blocks: for at most timeout_ms milliseconds; 0 asks without waiting. Several threads may
/// read at once. A hook may call it.
/// Errors: INVALID_ARGUMENT; STOPPED when the node has stopped and everything was read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_events_next(
    events: *mut ck_events_t,
    timeout_ms: u32,
    event: *mut *const ck_event_t,
) -> *mut ck_error_t {
    // SAFETY: event may be written or is NULL, says the header.
    unsafe { clear(event) };
    fallible(|| {
        // SAFETY: a live queue or NULL, says the header.
        let events = unsafe { borrow(events, "events") }?;
        if event.is_null() {
            return Err(null("event"));
        }
        if let Some(next) = events.queue.next(millis(timeout_ms))? {
            // SAFETY: as above.
            unsafe { event.write(next) };
        }
        Ok(())
    })
}

/// Acknowledges an event: its call has ended. In a queue that observes it only frees the event.
///
/// events: borrowed for the call. event: one that was read from this queue; consumed. result: 0 for success; anything else is a
/// failure: it is logged, and where this node gains a copy of a partition the event comes again later. reason: why, in words,
/// UTF-8, borrowed for the call; may be NULL. Never blocks; a hook may call it, on any thread.
/// Errors: INVALID_ARGUMENT, also for an event that was acknowledged before; nothing is touched then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_events_ack(
    events: *mut ck_events_t,
    event: *const ck_event_t,
    result: i32,
    reason: *const c_char,
    reason_len: usize,
) -> *mut ck_error_t {
    fallible(|| {
        // SAFETY: a live queue or NULL, and a readable text of this length or NULL, says the header.
        let (events, result) = unsafe { (borrow(events, "events")?, reason_of(result, reason, reason_len)) };
        events.queue.acknowledge(event, result)
    })
}

/// A descriptor that is readable while events wait to be read, and for good when the node has stopped: for poll, epoll, kqueue
/// and whatever stands on them. It is level-triggered; nothing may be read from it or written to it, and it is not to be closed.
/// -1 for NULL and when the process has no more descriptors.
///
/// events: borrowed for the call. Returns: valid until the queue is closed. Never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_events_fd(events: *mut ck_events_t) -> c_int {
    // SAFETY: a live queue or NULL, says the header.
    plain(-1, || unsafe { borrow(events, "events") }?.fd())
}

/// How many events a queue that observes has lost since it was opened, because they were not read in time: look at a view then. 0
/// for NULL.
///
/// events: borrowed for the call. Never fails, never blocks; a hook may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_events_lost(events: *const ck_events_t) -> u64 {
    plain(0, || {
        // SAFETY: a live queue or NULL, says the header.
        Ok(unsafe { borrow(events, "events") }?.queue.state.lock().lost)
    })
}

/// Closes a queue. Events that were not acknowledged end as failed; their pointers are not valid any more. NULL is allowed.
///
/// events: consumed; no other call with it may be under way or follow. It may be called before and after its cluster is freed.
/// Never fails, never blocks; a hook may call it. In a forked child it leaks on purpose.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ck_events_close(events: *mut ck_events_t) {
    // SAFETY: a queue that this library gave and nobody has closed, or NULL, says the header.
    unsafe { handle::take_back(events, |events| events.close()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::join_event;

    fn event(revision: u64) -> Arc<Event> {
        Arc::new(Event {
            revision,
            ..join_event("n")
        })
    }

    #[test]
    fn an_event_is_read_until_it_is_acknowledged_once() {
        let queue = EventQueue::default();
        queue.push(event(1), None);
        queue.push(event(2), None);
        let first = queue.next(Duration::ZERO).unwrap().unwrap();
        let second = queue.next(Duration::ZERO).unwrap().unwrap();
        assert_eq!(queue.next(Duration::from_millis(1)).unwrap(), None);
        // SAFETY: neither was acknowledged.
        unsafe { assert_eq!(((*first).revision, (*second).revision), (1, 2)) };
        queue.acknowledge(first, Ok(())).unwrap();
        assert!(queue.acknowledge(first, Ok(())).is_err());
        assert!(queue.acknowledge(std::ptr::null(), Ok(())).is_err());
        drop(Feed(Arc::new(EventQueue::default())));
        queue.change(|state| state.ended = true);
        assert_eq!(queue.next(Duration::ZERO).unwrap_err().code(), ErrorCode::Stopped);
    }

    #[test]
    fn a_reader_that_observes_and_falls_behind_loses_the_oldest() {
        let queue = EventQueue::default();
        for revision in 1..=MAX_OBSERVED as u64 + 3 {
            queue.push(event(revision), None);
        }
        assert_eq!(queue.state.lock().lost, 3);
        let first = queue.next(Duration::ZERO).unwrap().unwrap();
        // SAFETY: it was not acknowledged.
        unsafe { assert_eq!((*first).revision, 4) };
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no pipes of this kind")]
    fn the_pipe_is_full_while_there_is_something_to_read() {
        let (reader, writer) = std::io::pipe().unwrap();
        let queue = EventQueue::default();
        queue.state.lock().pipe = Some(Pipe {
            reader,
            writer,
            is_full: false,
        });
        let is_full = || queue.state.lock().pipe.as_ref().unwrap().is_full;
        queue.push(event(1), None);
        queue.push(event(2), None);
        assert!(is_full());
        queue.next(Duration::ZERO).unwrap();
        assert!(is_full());
        queue.next(Duration::ZERO).unwrap();
        assert!(!is_full());
        queue.change(|state| state.ended = true);
        assert!(is_full());
    }
}
