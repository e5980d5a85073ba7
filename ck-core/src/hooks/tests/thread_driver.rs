//! The handle on threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::ErrorCode;
use crate::hooks::{
    Driver, EventFilter, EventType, FailureReason, Hook, HookFailure, Hooks, HooksConfig, Unregistered,
};
use crate::model::RoleChange::GainedReplica;

use super::{ME, OTHER, change, event, join, leader, rejoin};

const CHANGES: EventFilter = EventFilter::only(EventType::PartitionChange);
const LEADER: EventFilter = EventFilter::only(EventType::LeaderChange);
/// Longer than anything here takes: only a deadlock gets there.
const LONG: Duration = Duration::from_secs(60);

struct Fixture {
    hooks: Arc<Hooks>,
    copied: Receiver<u64>,
    failed: Receiver<HookFailure>,
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    })
}

fn fixture_with(change: impl FnOnce(&mut HooksConfig)) -> Fixture {
    let (on_copied, copied) = mpsc::channel();
    let (on_failure, failed) = mpsc::channel();
    let mut config = HooksConfig::new(
        ME.into(),
        Driver::Threads(runtime().handle().clone()),
        Arc::new(move |_, revision| on_copied.send(revision).unwrap_or_default()),
        Arc::new(move |failure| on_failure.send(failure).unwrap_or_default()),
    );
    change(&mut config);
    Fixture {
        hooks: Arc::new(Hooks::new(config)),
        copied,
        failed,
    }
}

fn fixture() -> Fixture {
    fixture_with(|_| {})
}

impl Fixture {
    fn push(&self, revision: u64, kind: crate::model::EventKind) {
        self.hooks.push(event(revision, kind));
    }
}

/// A hook that tells the revision of each call.
fn teller() -> (Hook, Receiver<u64>) {
    let (sender, told) = mpsc::channel();
    let hook = Hook::blocking(move |event| {
        sender.send(event.revision).unwrap();
        Ok(())
    });
    (hook, told)
}

fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(LONG).unwrap()
}

/// A door that hooks wait at, and that tells how many do.
#[derive(Default)]
struct Gate {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        while !state.1 {
            state = self.changed.wait(state).unwrap();
        }
        state.0 -= 1;
    }

    fn wait_for(&self, waiting: usize) {
        let state = self.state.lock().unwrap();
        let fewer = |state: &mut (usize, bool)| state.0 < waiting;
        let waited = self.changed.wait_timeout_while(state, LONG, fewer).unwrap();
        assert!(!waited.1.timed_out(), "fewer than {waiting} calls run");
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

fn gated(gate: &Arc<Gate>) -> Hook {
    let gate = Arc::clone(gate);
    Hook::blocking(move |_| {
        gate.pass();
        Ok(())
    })
}

/// Counts how often it is dropped.
struct Destroy(Arc<AtomicUsize>);

impl Drop for Destroy {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn without_hooks_gains_are_confirmed_by_push_and_no_thread_starts() {
    let fixture = fixture();
    fixture.push(1, change(1, ME, GainedReplica));
    assert_eq!(fixture.copied.try_recv(), Ok(1));
    fixture.hooks.register(LEADER, teller().0).unwrap();
    fixture.push(2, change(2, ME, GainedReplica));
    assert_eq!(fixture.copied.try_recv(), Ok(2));
    assert_eq!(fixture.hooks.threads(), 0);
}

#[test]
fn a_panic_or_an_error_is_reported_and_the_queue_goes_on() {
    let fixture = fixture();
    let (sender, told) = mpsc::channel();
    let hook = Hook::blocking(move |event| match event.revision {
        1 => panic!("first"),
        2 => std::panic::panic_any(7_u8),
        3 => Err("third".into()),
        revision => sender.send(revision).map_err(|error| error.to_string()),
    });
    let id = fixture.hooks.register(EventFilter::ALL, hook).unwrap();
    (1..=4).for_each(|revision| fixture.push(revision, leader(revision)));
    assert_eq!(next(&told), 4);
    let failures: Vec<_> = (0..3).map(|_| next(&fixture.failed)).collect();
    assert_eq!(
        (failures[0].reason, &*failures[0].message),
        (FailureReason::Panic, "first")
    );
    assert_eq!(failures[1].reason, FailureReason::Panic);
    assert_eq!(
        (failures[2].reason, &*failures[2].message),
        (FailureReason::Error, "third")
    );
    assert!(failures.iter().all(|failure| failure.hook == id));
    assert_eq!(fixture.hooks.close(LONG), Ok(()));
}

#[test]
fn a_slow_hook_delays_no_other_registration() {
    let fixture = fixture();
    let gate = Arc::new(Gate::default());
    fixture.hooks.register(EventFilter::ALL, gated(&gate)).unwrap();
    let (hook, told) = teller();
    fixture.hooks.register(EventFilter::ALL, hook).unwrap();
    fixture.push(1, join("a"));
    gate.wait_for(1);
    (2..=100).for_each(|revision| fixture.push(revision, leader(revision)));
    (1..=100).for_each(|revision| assert_eq!(next(&told), revision));
    gate.open();
}

#[test]
fn as_many_partition_changes_run_as_allowed_and_no_more() {
    let fixture = fixture_with(|config| config.concurrency = 5);
    let gate = Arc::new(Gate::default());
    fixture.hooks.register(CHANGES, gated(&gate)).unwrap();
    fixture
        .hooks
        .push_batch((1..=20).map(|n| event(n, change(n as u32, ME, GainedReplica))));
    gate.wait_for(5);
    let stats = fixture.hooks.stats().remove(0);
    assert_eq!((stats.running, stats.queued), (5, 15));
    assert_eq!(fixture.hooks.threads(), 5);
    gate.open();
    let mut copied: Vec<u64> = (0..20).map(|_| next(&fixture.copied)).collect();
    copied.sort_unstable();
    assert_eq!(copied, (1..=20).collect::<Vec<_>>());
}

#[test]
fn idle_threads_end_except_for_one() {
    let fixture = fixture_with(|config| config.thread_idle = Duration::from_millis(1));
    let gate = Arc::new(Gate::default());
    fixture.hooks.register(CHANGES, gated(&gate)).unwrap();
    (1..=8).for_each(|n| fixture.push(n, change(n as u32, OTHER, GainedReplica)));
    gate.wait_for(8);
    gate.open();
    fixture.hooks.wait_for_threads(1);
    assert_eq!(fixture.hooks.threads(), 1);
    assert_eq!(fixture.hooks.close(LONG), Ok(()));
    assert_eq!(fixture.hooks.threads(), 0);
}

#[test]
fn a_failed_copy_is_tried_again_even_while_another_hook_hangs() {
    let fixture = fixture_with(|config| config.thread_idle = Duration::from_millis(1));
    let gate = Arc::new(Gate::default());
    fixture.hooks.register(LEADER, gated(&gate)).unwrap();
    let attempts = AtomicUsize::new(0);
    let hook = Hook::blocking(move |_| match attempts.fetch_add(1, Ordering::SeqCst) {
        0 => Err("not yet".into()),
        _ => Ok(()),
    });
    fixture.hooks.register(CHANGES, hook).unwrap();
    fixture.push(1, leader(1));
    gate.wait_for(1);
    fixture.push(2, change(1, ME, GainedReplica));
    assert_eq!(next(&fixture.copied), 2);
    assert_eq!(next(&fixture.failed).retry_in, Some(Duration::from_millis(100)));
    gate.open();
}

#[test]
fn a_rejoins_clean_up_has_returned_before_the_first_copy_begins() {
    let fixture = fixture();
    let gate = Arc::new(Gate::default());
    let cleaned = Arc::new(AtomicUsize::new(0));
    let (waits, counts, seen) = (Arc::clone(&gate), Arc::clone(&cleaned), Arc::clone(&cleaned));
    let clean_up = Hook::blocking(move |_| {
        waits.pass();
        counts.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let (sender, told) = mpsc::channel();
    let copy = Hook::blocking(move |_| {
        sender
            .send(seen.load(Ordering::SeqCst))
            .map_err(|error| error.to_string())
    });
    fixture.hooks.register(CHANGES, copy).unwrap();
    fixture
        .hooks
        .register(EventFilter::only(EventType::NodeRejoin), clean_up)
        .unwrap();
    fixture
        .hooks
        .push_batch([event(1, rejoin(ME)), event(2, change(1, ME, GainedReplica))]);
    gate.wait_for(1);
    assert!(told.try_recv().is_err());
    gate.open();
    assert_eq!(next(&told), 1);
}

/// FIELD 7.1, defect 4: the ancestor waited for a free hook under the lock that its hooks took.
#[test]
fn field_7_1_4_pushing_10000_events_under_a_lock_that_the_hook_takes_does_not_deadlock() {
    let fixture = fixture();
    let lock = Arc::new(Mutex::new(()));
    let taken = Arc::clone(&lock);
    let hook = Hook::blocking(move |_| {
        drop(taken.lock().unwrap());
        Ok(())
    });
    fixture.hooks.register(EventFilter::ALL, hook).unwrap();
    let held = lock.lock().unwrap();
    for n in 1..=10_000 {
        fixture.push(n, change(n as u32, ME, GainedReplica));
    }
    assert!(fixture.copied.try_recv().is_err());
    drop(held);
    for _ in 0..10_000 {
        next(&fixture.copied);
    }
    assert_eq!(fixture.hooks.close(LONG), Ok(()));
}

#[test]
fn a_removed_hook_has_been_dropped_once_when_unregister_returns() {
    let fixture = fixture();
    let (gate, dropped) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
    let (waits, destroy) = (Arc::clone(&gate), Destroy(Arc::clone(&dropped)));
    let hook = Hook::blocking(move |_| {
        let _ = &destroy;
        waits.pass();
        Ok(())
    });
    let id = fixture.hooks.register(LEADER, hook).unwrap();
    fixture.push(1, leader(1));
    fixture.push(2, leader(2));
    gate.wait_for(1);
    let hooks = Arc::clone(&fixture.hooks);
    let remover = std::thread::spawn(move || hooks.unregister(id));
    while !fixture.hooks.stats().is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(dropped.load(Ordering::SeqCst), 0, "its call still runs");
    gate.open();
    assert_eq!(remover.join().unwrap(), Unregistered::Now);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert_eq!(fixture.hooks.unregister(id), Unregistered::Unknown);
    assert_eq!(fixture.hooks.close(LONG), Ok(()));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

/// What a hook gets to work on after it was registered.
fn slot<T>() -> (Arc<OnceLock<T>>, Arc<OnceLock<T>>) {
    let slot = Arc::new(OnceLock::new());
    (Arc::clone(&slot), slot)
}

#[test]
fn a_hook_may_remove_itself_and_is_dropped_when_it_returns() {
    let fixture = fixture();
    let dropped = Arc::new(AtomicUsize::new(0));
    let destroy = Destroy(Arc::clone(&dropped));
    let hooks = Arc::downgrade(&fixture.hooks);
    let (give, id) = slot();
    let (sender, told) = mpsc::channel();
    let counts = Arc::clone(&dropped);
    let hook = Hook::blocking(move |_| {
        let _ = &destroy;
        let hooks = hooks.upgrade().unwrap();
        let removed = hooks.unregister(*id.wait());
        sender
            .send((removed, counts.load(Ordering::SeqCst), hooks.in_hook()))
            .unwrap();
        Ok(())
    });
    give.set(fixture.hooks.register(LEADER, hook).unwrap()).unwrap();
    fixture.push(1, leader(1));
    fixture.push(2, leader(2));
    assert_eq!(next(&told), (Unregistered::AfterCall, 0, true));
    assert!(told.recv().is_err(), "dropped without a second call");
    assert!(!fixture.hooks.in_hook());
    assert_eq!(fixture.hooks.close(LONG), Ok(()));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn two_hooks_that_remove_each_other_do_not_wait_for_each_other() {
    let fixture = fixture();
    let gate = Arc::new(Gate::default());
    let (sender, told) = mpsc::channel();
    let remover = |id: Arc<OnceLock<_>>| {
        let (hooks, gate, sender) = (Arc::downgrade(&fixture.hooks), Arc::clone(&gate), sender.clone());
        Hook::blocking(move |_| {
            gate.pass();
            let removed = hooks.upgrade().map(|hooks| hooks.unregister(*id.wait()));
            sender.send(removed).map_err(|error| error.to_string())
        })
    };
    let ((first, of_first), (second, of_second)) = (slot(), slot());
    first
        .set(fixture.hooks.register(LEADER, remover(of_second)).unwrap())
        .unwrap();
    second
        .set(fixture.hooks.register(LEADER, remover(of_first)).unwrap())
        .unwrap();
    fixture.push(1, leader(1));
    gate.wait_for(2);
    gate.open();
    assert!(next(&told).is_some() && next(&told).is_some());
    assert_eq!(fixture.hooks.close(LONG), Ok(()));
}

#[test]
fn close_from_inside_a_hook_answers_in_hook_and_changes_nothing() {
    let fixture = fixture();
    let hooks = Arc::downgrade(&fixture.hooks);
    let (sender, told) = mpsc::channel();
    let hook = Hook::blocking(move |_| {
        let closed = hooks.upgrade().unwrap().close(LONG);
        sender
            .send(closed.unwrap_err().code())
            .map_err(|error| error.to_string())
    });
    fixture.hooks.register(LEADER, hook).unwrap();
    fixture.push(1, leader(1));
    fixture.push(2, leader(2));
    assert_eq!((next(&told), next(&told)), (ErrorCode::InHook, ErrorCode::InHook));
    assert_eq!(fixture.hooks.close(LONG), Ok(()));
}

#[test]
fn dropping_the_handle_inside_a_hook_is_legal_and_ends_the_thread() {
    let (sender, told) = mpsc::channel();
    let (ended, dropped) = mpsc::channel::<()>();
    let Fixture { hooks, copied, .. } = fixture();
    let (give, own) = slot::<Mutex<Option<Arc<Hooks>>>>();
    let hook = Hook::blocking(move |event| {
        let _ = &ended;
        drop(own.wait().lock().unwrap().take());
        sender.send(event.revision).map_err(|error| error.to_string())
    });
    hooks.register(LEADER, hook).unwrap();
    hooks.push_batch([event(1, leader(1)), event(2, leader(2))]);
    give.set(Mutex::new(Some(hooks))).unwrap();
    assert_eq!(next(&told), 1);
    // The hook, and with the thread the sinks, are dropped: both channels end.
    assert!(dropped.recv_timeout(LONG).is_err());
    assert!(told.recv().is_err(), "no second call");
    assert_eq!(
        copied.recv_timeout(LONG),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}

#[test]
fn close_waits_for_calls_up_to_its_deadline_and_starts_none() {
    let fixture = fixture();
    let (gate, dropped) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
    let (waits, destroy) = (Arc::clone(&gate), Destroy(Arc::clone(&dropped)));
    let hook = Hook::blocking(move |_| {
        let _ = &destroy;
        waits.pass();
        Ok(())
    });
    fixture.hooks.register(LEADER, hook).unwrap();
    fixture.push(1, leader(1));
    fixture.push(2, leader(2));
    gate.wait_for(1);
    let closed = fixture.hooks.close(Duration::from_millis(1));
    assert_eq!(closed.unwrap_err().code(), ErrorCode::Timeout);
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    fixture.push(3, change(1, ME, GainedReplica));
    gate.open();
    assert_eq!(fixture.hooks.close(LONG), Ok(()));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert!(
        fixture.copied.try_recv().is_err(),
        "a closed handle confirms nothing"
    );
    let refused = fixture.hooks.register(LEADER, teller().0);
    assert_eq!(refused.unwrap_err().code(), ErrorCode::Stopped);
}

#[test]
fn async_hooks_run_on_the_runtime_in_order_and_their_panics_are_caught() {
    let fixture = fixture();
    let (sender, told) = mpsc::channel();
    let hooks = Arc::downgrade(&fixture.hooks);
    let hook = Hook::from_async(move |event| {
        let (sender, hooks) = (sender.clone(), hooks.clone());
        async move {
            tokio::task::yield_now().await;
            assert!(event.revision != 2, "second");
            let in_hook = hooks.upgrade().is_some_and(|hooks| hooks.in_hook());
            sender
                .send((event.revision, in_hook))
                .map_err(|error| error.to_string())
        }
    });
    let id = fixture.hooks.register(LEADER, hook).unwrap();
    (1..=3).for_each(|revision| fixture.push(revision, leader(revision)));
    assert_eq!((next(&told), next(&told)), ((1, true), (3, true)));
    assert_eq!(next(&fixture.failed).message, "second");
    fixture.hooks.unregister(id);
    runtime().block_on(fixture.hooks.unregistered(id));
    assert!(told.recv().is_err(), "the hook is dropped");
    assert_eq!(fixture.hooks.close(LONG), Ok(()));
}

#[test]
fn a_runtime_that_goes_away_ends_its_calls() {
    let gone = Runtime::new().unwrap();
    let fixture = fixture_with(|config| config.driver = Driver::Threads(gone.handle().clone()));
    let (sender, began) = mpsc::channel();
    let hook = Hook::from_async(move |_| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(());
            std::future::pending().await
        }
    });
    fixture.hooks.register(CHANGES, hook).unwrap();
    fixture.push(1, change(1, ME, GainedReplica));
    next(&began);
    drop(gone);
    assert_eq!(next(&fixture.failed).reason, FailureReason::Cancelled);
    assert_eq!(fixture.hooks.close(LONG), Ok(()));
}

#[test]
fn a_destructor_that_panics_or_closes_the_handle_harms_nobody() {
    struct Closer(std::sync::Weak<Hooks>, Sender<Option<ErrorCode>>);
    impl Drop for Closer {
        fn drop(&mut self) {
            let closed = self.0.upgrade().and_then(|hooks| hooks.close(LONG).err());
            let _ = self.1.send(closed.map(|error| error.code()));
            panic!("in a destructor");
        }
    }
    let fixture = fixture();
    let (sender, told) = mpsc::channel();
    let closer = Closer(Arc::downgrade(&fixture.hooks), sender);
    let (give, id) = slot();
    let hooks = Arc::downgrade(&fixture.hooks);
    let hook = Hook::blocking(move |_| {
        let _ = &closer;
        hooks.upgrade().unwrap().unregister(*id.wait());
        Ok(())
    });
    give.set(fixture.hooks.register(LEADER, hook).unwrap()).unwrap();
    fixture.push(1, leader(1));
    assert_eq!(next(&told), Some(ErrorCode::InHook));
    assert_eq!(fixture.hooks.close(LONG), Ok(()));
}
