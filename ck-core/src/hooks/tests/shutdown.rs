//! Removing hooks, closing and dropping the handle, with the thread driver.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::ErrorCode;
use crate::hooks::{Driver, FailureReason, Hook, Hooks, Unregistered};
use crate::model::RoleChange::{GainedReplica, LostCopy};

use super::thread_driver::{
    Fixture, Gate, LEADER_CHANGES, PARTITION_CHANGES, TEST_TIMEOUT, fixture, fixture_with, gated, next,
    recorder, runtime,
};
use super::{OWN_NODE, change, event, leader};

/// Counts how often it is dropped.
struct CountDrops(Arc<AtomicUsize>);

impl Drop for CountDrops {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_removed_hook_has_been_dropped_once_when_unregister_returns() {
    let fixture = fixture();
    let (gate, dropped) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
    let (waits, destroy) = (Arc::clone(&gate), CountDrops(Arc::clone(&dropped)));
    let hook = Hook::blocking(move |_| {
        let _ = &destroy;
        waits.pass();
        Ok(())
    });
    let id = fixture.hooks.register(LEADER_CHANGES, hook).unwrap();
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
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn the_other_hooks_go_on_when_one_is_removed() {
    let fixture = fixture();
    let removed = fixture.hooks.register(LEADER_CHANGES, recorder().0).unwrap();
    let (hook, received) = recorder();
    fixture.hooks.register(LEADER_CHANGES, hook).unwrap();
    assert_eq!(fixture.hooks.unregister(removed), Unregistered::Now);
    fixture.push(1, leader(1));
    assert_eq!(next(&received), 1);
}

#[test]
fn a_loss_counts_although_the_last_hook_is_being_removed() {
    let fixture = fixture();
    let gate = Arc::new(Gate::default());
    let id = fixture.hooks.register(PARTITION_CHANGES, gated(&gate)).unwrap();
    fixture.push(1, change(1, OWN_NODE, GainedReplica));
    gate.wait_for(1);
    let hooks = Arc::clone(&fixture.hooks);
    let remover = std::thread::spawn(move || hooks.unregister(id));
    while !fixture.hooks.stats().is_empty() {
        std::thread::yield_now();
    }
    fixture.push(2, change(1, OWN_NODE, LostCopy));
    gate.open();
    assert_eq!(remover.join().unwrap(), Unregistered::Now);
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
    assert!(fixture.copied.try_recv().is_err(), "a lost copy is confirmed");
}

/// A value that a hook gets only after it was registered.
fn slot<T>() -> (Arc<OnceLock<T>>, Arc<OnceLock<T>>) {
    let slot = Arc::new(OnceLock::new());
    (Arc::clone(&slot), slot)
}

#[test]
fn a_hook_may_remove_itself_and_is_dropped_when_it_returns() {
    let fixture = fixture();
    let dropped = Arc::new(AtomicUsize::new(0));
    let destroy = CountDrops(Arc::clone(&dropped));
    let hooks = Arc::downgrade(&fixture.hooks);
    let (give, id) = slot();
    let (sender, received) = mpsc::channel();
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
    give.set(fixture.hooks.register(LEADER_CHANGES, hook).unwrap())
        .unwrap();
    fixture.push(1, leader(1));
    fixture.push(2, leader(2));
    assert_eq!(next(&received), (Unregistered::AfterCall, 0, true));
    assert!(received.recv().is_err(), "dropped without a second call");
    assert!(!fixture.hooks.in_hook());
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn two_hooks_that_remove_each_other_do_not_wait_for_each_other() {
    let fixture = fixture();
    let gate = Arc::new(Gate::default());
    let (sender, received) = mpsc::channel();
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
        .set(
            fixture
                .hooks
                .register(LEADER_CHANGES, remover(of_second))
                .unwrap(),
        )
        .unwrap();
    second
        .set(fixture.hooks.register(LEADER_CHANGES, remover(of_first)).unwrap())
        .unwrap();
    fixture.push(1, leader(1));
    gate.wait_for(2);
    gate.open();
    assert!(next(&received).is_some() && next(&received).is_some());
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
}

#[test]
fn close_from_inside_a_hook_answers_in_hook_and_changes_nothing() {
    let fixture = fixture();
    let hooks = Arc::downgrade(&fixture.hooks);
    let (sender, received) = mpsc::channel();
    let hook = Hook::blocking(move |_| {
        let closed = hooks.upgrade().unwrap().close(TEST_TIMEOUT);
        sender
            .send(closed.unwrap_err().code())
            .map_err(|error| error.to_string())
    });
    fixture.hooks.register(LEADER_CHANGES, hook).unwrap();
    fixture.push(1, leader(1));
    fixture.push(2, leader(2));
    assert_eq!(
        (next(&received), next(&received)),
        (ErrorCode::InHook, ErrorCode::InHook)
    );
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
}

#[test]
fn dropping_the_handle_inside_a_hook_is_legal_and_ends_the_thread() {
    let (sender, received) = mpsc::channel();
    let (ended, dropped) = mpsc::channel::<()>();
    let Fixture { hooks, copied, .. } = fixture();
    let (give, own) = slot::<Mutex<Option<Arc<Hooks>>>>();
    let hook = Hook::blocking(move |event| {
        let _ = &ended;
        drop(own.wait().lock().take());
        sender.send(event.revision).map_err(|error| error.to_string())
    });
    hooks.register(LEADER_CHANGES, hook).unwrap();
    hooks.push_batch([event(1, leader(1)), event(2, leader(2))]);
    give.set(Mutex::new(Some(hooks))).unwrap();
    assert_eq!(next(&received), 1);
    // The hook is dropped, and with the last thread the callbacks: both channels disconnect.
    assert!(dropped.recv_timeout(TEST_TIMEOUT).is_err());
    assert!(received.recv().is_err(), "no second call");
    assert_eq!(
        copied.recv_timeout(TEST_TIMEOUT),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}

#[test]
fn close_waits_for_calls_up_to_its_deadline_and_starts_none() {
    let fixture = fixture();
    let (gate, dropped) = (Arc::new(Gate::default()), Arc::new(AtomicUsize::new(0)));
    let (waits, destroy) = (Arc::clone(&gate), CountDrops(Arc::clone(&dropped)));
    let hook = Hook::blocking(move |_| {
        let _ = &destroy;
        waits.pass();
        Ok(())
    });
    fixture.hooks.register(LEADER_CHANGES, hook).unwrap();
    fixture.push(1, leader(1));
    fixture.push(2, leader(2));
    gate.wait_for(1);
    let closed = fixture.hooks.close(Duration::from_millis(1));
    assert_eq!(closed.unwrap_err().code(), ErrorCode::Timeout);
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    fixture.push(3, change(1, OWN_NODE, GainedReplica));
    gate.open();
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert!(
        fixture.copied.try_recv().is_err(),
        "a closed handle confirms nothing"
    );
    let refused = fixture.hooks.register(LEADER_CHANGES, recorder().0);
    assert_eq!(refused.unwrap_err().code(), ErrorCode::Stopped);
}

#[test]
fn async_hooks_run_in_order_and_their_panics_are_caught() {
    let fixture = fixture();
    let (sender, received) = mpsc::channel();
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
    let id = fixture.hooks.register(LEADER_CHANGES, hook).unwrap();
    (1..=3).for_each(|revision| fixture.push(revision, leader(revision)));
    assert_eq!((next(&received), next(&received)), ((1, true), (3, true)));
    assert_eq!(next(&fixture.failed).message, "second");
    fixture.hooks.unregister(id);
    runtime().block_on(fixture.hooks.unregistered(id));
    assert!(received.recv().is_err(), "the hook is dropped");
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
}

#[test]
fn a_runtime_that_shuts_down_ends_its_calls() {
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
    fixture.hooks.register(PARTITION_CHANGES, hook).unwrap();
    fixture.push(1, change(1, OWN_NODE, GainedReplica));
    next(&began);
    drop(gone);
    assert_eq!(next(&fixture.failed).reason, FailureReason::Cancelled);
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
}

#[test]
fn a_destructor_that_panics_or_closes_the_handle_does_no_harm() {
    struct CloseOnDrop(std::sync::Weak<Hooks>, Sender<Option<ErrorCode>>);
    impl Drop for CloseOnDrop {
        fn drop(&mut self) {
            let closed = self.0.upgrade().and_then(|hooks| hooks.close(TEST_TIMEOUT).err());
            let _ = self.1.send(closed.map(|error| error.code()));
            panic!("in a destructor");
        }
    }
    let fixture = fixture();
    let (sender, received) = mpsc::channel();
    let closer = CloseOnDrop(Arc::downgrade(&fixture.hooks), sender);
    let (give, id) = slot();
    let hooks = Arc::downgrade(&fixture.hooks);
    let hook = Hook::blocking(move |_| {
        let _ = &closer;
        hooks.upgrade().unwrap().unregister(*id.wait());
        Ok(())
    });
    give.set(fixture.hooks.register(LEADER_CHANGES, hook).unwrap())
        .unwrap();
    fixture.push(1, leader(1));
    assert_eq!(next(&received), Some(ErrorCode::InHook));
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
}

/// A value whose destructor blocks, as destructors of an application may.
struct BlockingDrop(Arc<Gate>);

impl Drop for BlockingDrop {
    fn drop(&mut self) {
        self.0.pass();
    }
}

/// The thread that removes a hook drops it; until then no other thread may report that all hooks are gone.
#[test]
fn closing_returns_only_after_all_hooks_are_dropped() {
    let moment = Duration::from_millis(1);
    for removes in [true, false] {
        let fixture = fixture();
        let gate = Arc::new(Gate::default());
        let destroy = BlockingDrop(Arc::clone(&gate));
        let hook = Hook::blocking(move |_| {
            let _ = &destroy;
            Ok(())
        });
        let id = fixture.hooks.register(LEADER_CHANGES, hook).unwrap();
        let hooks = Arc::clone(&fixture.hooks);
        let dropping = std::thread::spawn(move || {
            if removes {
                hooks.unregister(id);
            } else {
                hooks.shut();
            }
        });
        gate.wait_for(1);
        let closed = fixture.hooks.close(moment);
        assert_eq!(
            closed.unwrap_err().code(),
            ErrorCode::Timeout,
            "removes: {removes}"
        );
        let closed = runtime().block_on(fixture.hooks.close_async(moment));
        assert_eq!(
            closed.unwrap_err().code(),
            ErrorCode::Timeout,
            "removes: {removes}"
        );
        gate.open();
        dropping.join().unwrap();
        assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
    }
}

#[test]
fn a_hook_that_cannot_be_registered_is_returned() {
    let fixture = fixture();
    fixture.hooks.shut();
    let dropped = Arc::new(AtomicUsize::new(0));
    let destroy = CountDrops(Arc::clone(&dropped));
    let hook = Hook::blocking(move |_| {
        let _ = &destroy;
        Ok(())
    });
    let rejected = fixture
        .hooks
        .register_after(LEADER_CHANGES, hook, Vec::new())
        .unwrap_err();
    assert_eq!(dropped.load(Ordering::SeqCst), 0);
    assert_eq!(rejected.into_error().code(), ErrorCode::Stopped);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}
