//! The handle with the thread driver.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::hooks::{Driver, EventFilter, EventType, FailureReason, Hook, HookFailure, Hooks, HooksConfig};
use crate::model::RoleChange::GainedReplica;

use super::{OTHER_NODE, OWN_NODE, TestHost, change, event, join, leader, rejoin};

pub(super) const PARTITION_CHANGES: EventFilter = EventFilter::only(EventType::PartitionChange);
pub(super) const LEADER_CHANGES: EventFilter = EventFilter::only(EventType::LeaderChange);
/// Longer than any step of these tests takes; only a deadlock reaches it.
pub(super) const TEST_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) struct Fixture {
    pub(super) hooks: Arc<Hooks>,
    pub(super) copied: Receiver<u64>,
    pub(super) failed: Receiver<HookFailure>,
}

pub(super) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    })
}

pub(super) fn fixture_with(change: impl FnOnce(&mut HooksConfig)) -> Fixture {
    let (on_copied, copied) = mpsc::channel();
    let (on_failure, failed) = mpsc::channel();
    let mut config = HooksConfig::new(
        OWN_NODE.into(),
        Driver::Threads(runtime().handle().clone()),
        TestHost::new(
            move |revision| on_copied.send(revision).unwrap_or_default(),
            move |failure| on_failure.send(failure).unwrap_or_default(),
        ),
    );
    change(&mut config);
    Fixture {
        hooks: Arc::new(Hooks::new(config)),
        copied,
        failed,
    }
}

pub(super) fn fixture() -> Fixture {
    fixture_with(|_| {})
}

impl Fixture {
    pub(super) fn push(&self, revision: u64, kind: crate::model::EventKind) {
        self.hooks.push(event(revision, kind));
    }
}

/// A hook that sends the revision of each call.
pub(super) fn recorder() -> (Hook, Receiver<u64>) {
    let (sender, received) = mpsc::channel();
    let hook = Hook::blocking(move |event| {
        sender.send(event.revision).unwrap();
        Ok(())
    });
    (hook, received)
}

pub(super) fn next<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(TEST_TIMEOUT).unwrap()
}

/// A gate at which hooks wait, and which counts the waiting ones.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Gate {
    pub(super) fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        while !state.1 {
            state = self.changed.wait(state).unwrap();
        }
        state.0 -= 1;
    }

    pub(super) fn wait_for(&self, waiting: usize) {
        let state = self.state.lock().unwrap();
        let fewer = |state: &mut (usize, bool)| state.0 < waiting;
        let waited = self
            .changed
            .wait_timeout_while(state, TEST_TIMEOUT, fewer)
            .unwrap();
        assert!(!waited.1.timed_out(), "fewer than {waiting} calls run");
    }

    pub(super) fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

pub(super) fn gated(gate: &Arc<Gate>) -> Hook {
    let gate = Arc::clone(gate);
    Hook::blocking(move |_| {
        gate.pass();
        Ok(())
    })
}

#[test]
fn without_hooks_gains_are_confirmed_by_push_and_no_thread_starts() {
    let fixture = fixture();
    fixture.push(1, change(1, OWN_NODE, GainedReplica));
    assert_eq!(fixture.copied.try_recv(), Ok(1));
    fixture.hooks.register(LEADER_CHANGES, recorder().0).unwrap();
    fixture.push(2, change(2, OWN_NODE, GainedReplica));
    assert_eq!(fixture.copied.try_recv(), Ok(2));
    assert_eq!(fixture.hooks.threads(), 0);
}

#[test]
fn a_panic_or_an_error_is_reported_and_the_queue_goes_on() {
    let fixture = fixture();
    let (sender, received) = mpsc::channel();
    let hook = Hook::blocking(move |event| match event.revision {
        1 => panic!("first"),
        2 => std::panic::panic_any(7_u8),
        3 => Err("third".into()),
        revision => sender.send(revision).map_err(|error| error.to_string()),
    });
    let id = fixture.hooks.register(EventFilter::ALL, hook).unwrap();
    (1..=4).for_each(|revision| fixture.push(revision, leader(revision)));
    assert_eq!(next(&received), 4);
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
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
}

#[test]
fn a_slow_hook_delays_no_other_registration() {
    let fixture = fixture();
    let gate = Arc::new(Gate::default());
    fixture.hooks.register(EventFilter::ALL, gated(&gate)).unwrap();
    let (hook, received) = recorder();
    fixture.hooks.register(EventFilter::ALL, hook).unwrap();
    fixture.push(1, join("a"));
    gate.wait_for(1);
    (2..=100).for_each(|revision| fixture.push(revision, leader(revision)));
    (1..=100).for_each(|revision| assert_eq!(next(&received), revision));
    gate.open();
}

#[test]
fn as_many_partition_changes_run_as_allowed_and_no_more() {
    let fixture = fixture_with(|config| config.concurrency = 5);
    let gate = Arc::new(Gate::default());
    fixture.hooks.register(PARTITION_CHANGES, gated(&gate)).unwrap();
    fixture
        .hooks
        .push_batch((1..=20).map(|n| event(n, change(n as u32, OWN_NODE, GainedReplica))));
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
    fixture.hooks.register(PARTITION_CHANGES, gated(&gate)).unwrap();
    (1..=8).for_each(|n| fixture.push(n, change(n as u32, OTHER_NODE, GainedReplica)));
    gate.wait_for(8);
    gate.open();
    fixture.hooks.wait_for_threads(1);
    assert_eq!(fixture.hooks.threads(), 1);
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
    assert_eq!(fixture.hooks.threads(), 0);
}

#[test]
fn a_failed_copy_is_retried_even_while_every_thread_hangs() {
    let fixture = fixture_with(|config| config.thread_idle = Duration::from_millis(1));
    let gates = [Arc::new(Gate::default()), Arc::new(Gate::default())];
    fixture.hooks.register(LEADER_CHANGES, gated(&gates[0])).unwrap();
    let joins = EventFilter::only(EventType::NodeJoin);
    fixture.hooks.register(joins, gated(&gates[1])).unwrap();
    let attempts = AtomicUsize::new(0);
    let hook = Hook::blocking(move |_| match attempts.fetch_add(1, Ordering::SeqCst) {
        0..=2 => Err("not yet".into()),
        _ => Ok(()),
    });
    fixture.hooks.register(PARTITION_CHANGES, hook).unwrap();
    fixture.push(1, leader(1));
    gates[0].wait_for(1);
    fixture.push(2, change(1, OWN_NODE, GainedReplica));
    assert_eq!(next(&fixture.failed).retry_in, Some(Duration::from_millis(100)));
    // The thread that watches the timer takes this call, so another one has to watch.
    fixture.push(3, join("a"));
    gates[1].wait_for(1);
    assert_eq!(next(&fixture.copied), 2);
    gates.iter().for_each(|gate| gate.open());
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
    let (sender, received) = mpsc::channel();
    let copy = Hook::blocking(move |_| {
        sender
            .send(seen.load(Ordering::SeqCst))
            .map_err(|error| error.to_string())
    });
    fixture.hooks.register(PARTITION_CHANGES, copy).unwrap();
    fixture
        .hooks
        .register(EventFilter::only(EventType::NodeRejoin), clean_up)
        .unwrap();
    fixture.hooks.push_batch([
        event(1, rejoin(OWN_NODE)),
        event(2, change(1, OWN_NODE, GainedReplica)),
    ]);
    gate.wait_for(1);
    assert!(received.try_recv().is_err());
    gate.open();
    assert_eq!(next(&received), 1);
}

/// An earlier system failed here: it waited for a free hook under a lock that its hooks took.
#[test]
fn pushing_10000_events_under_a_lock_that_the_hook_takes_does_not_deadlock() {
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
        fixture.push(n, change(n as u32, OWN_NODE, GainedReplica));
    }
    assert!(fixture.copied.try_recv().is_err());
    drop(held);
    for _ in 0..10_000 {
        next(&fixture.copied);
    }
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
}
