//! Deferred hooks: calls that end after their function has returned.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use crate::ErrorCode;
use crate::hooks::{FailureReason, Hook, HookCompletion, Unregistered};
use crate::model::RoleChange::{GainedPrimary, GainedReplica};

use super::task_driver::{self, Trace};
use super::thread_driver::{
    Gate, LEADER_CHANGES, PARTITION_CHANGES, TEST_TIMEOUT, fixture, fixture_with, next,
};
use super::{OWN_NODE, change, event, leader};

type Deferred = (u64, HookCompletion);

/// A hook that passes its calls on, to be ended by whoever receives them.
fn passed_on() -> (Hook, Receiver<Deferred>) {
    let (sender, received) = mpsc::channel();
    let hook = Hook::deferred(move |event, completion| {
        // A test that has ended does not receive.
        drop(sender.send((event.revision, completion)));
    });
    (hook, received)
}

#[test]
fn a_call_ends_when_its_completion_is_used_on_any_thread() {
    let fixture = fixture();
    let (hook, received) = passed_on();
    fixture.hooks.register(PARTITION_CHANGES, hook).unwrap();
    fixture.push(1, change(1, OWN_NODE, GainedReplica));
    let (revision, completion) = next(&received);
    assert_eq!((revision, completion.attempt()), (1, 1));
    assert_eq!(fixture.hooks.stats()[0].running, 1);
    assert!(fixture.copied.try_recv().is_err());
    std::thread::spawn(move || completion.complete(Ok(())))
        .join()
        .unwrap();
    assert_eq!(next(&fixture.copied), 1);
    assert_eq!(fixture.hooks.stats()[0].running, 0);
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
}

#[test]
fn a_call_may_end_before_its_function_returns() {
    let fixture = fixture();
    let hook = Hook::deferred(|_, completion| completion.complete(Ok(())));
    fixture.hooks.register(PARTITION_CHANGES, hook).unwrap();
    for revision in 1..=20 {
        fixture.push(revision, change(revision as u32, OWN_NODE, GainedReplica));
    }
    let mut copied: Vec<u64> = (0..20).map(|_| next(&fixture.copied)).collect();
    copied.sort_unstable();
    assert_eq!(copied, (1..=20).collect::<Vec<_>>());
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
}

/// Fifty blocking calls would hold fifty threads.
#[test]
fn calls_that_have_not_ended_hold_no_thread_and_keep_their_order() {
    let fixture = fixture_with(|config| config.thread_idle = Duration::from_millis(1));
    let (hook, received) = passed_on();
    fixture.hooks.register(PARTITION_CHANGES, hook).unwrap();
    for number in 1..=50 {
        fixture.push(number, change(number as u32, OWN_NODE, GainedReplica));
    }
    fixture.push(51, change(1, OWN_NODE, GainedPrimary));
    let mut calls: Vec<Deferred> = (0..50).map(|_| next(&received)).collect();
    fixture.hooks.wait_for_threads(1);
    assert_eq!(fixture.hooks.stats()[0].running, 50);
    // The second change of partition 1 waits for the first.
    assert!(received.try_recv().is_err());
    let first = calls.iter().position(|(revision, _)| *revision == 1).unwrap();
    calls.swap_remove(first).1.complete(Ok(()));
    assert_eq!(next(&received).0, 51);
}

#[test]
fn a_failed_or_forgotten_call_is_made_again() {
    let fixture = fixture();
    let (hook, received) = passed_on();
    fixture.hooks.register(PARTITION_CHANGES, hook).unwrap();
    fixture.push(1, change(1, OWN_NODE, GainedReplica));
    next(&received).1.complete(Err("no space".into()));
    assert_eq!(next(&fixture.failed).message, "no space");
    let (_, again) = next(&received);
    assert_eq!(again.attempt(), 2);
    drop(again);
    let forgotten = next(&fixture.failed);
    assert!(forgotten.message.contains("dropped"), "{forgotten}");
    next(&received).1.complete(Ok(()));
    assert_eq!(next(&fixture.copied), 1);
}

#[test]
fn a_panic_is_one_whatever_became_of_the_completion() {
    let fixture = fixture();
    let hook = Hook::deferred(|event, completion| {
        if event.revision == 1 {
            completion.complete(Ok(()));
        }
        panic!("boom");
    });
    fixture.hooks.register(LEADER_CHANGES, hook).unwrap();
    for revision in 1..=2 {
        fixture.push(revision, leader(revision));
        let failure = next(&fixture.failed);
        assert_eq!(
            (failure.reason, &*failure.message),
            (FailureReason::Panic, "boom")
        );
    }
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
}

#[test]
fn a_close_waits_for_the_function_and_not_for_the_call() {
    let fixture = fixture();
    let (hook, received) = passed_on();
    fixture.hooks.register(PARTITION_CHANGES, hook).unwrap();
    fixture.push(1, change(1, OWN_NODE, GainedReplica));
    let (_, completion) = next(&received);
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
    assert!(
        received.recv_timeout(TEST_TIMEOUT).is_err(),
        "the hook was dropped"
    );
    // What it copies may still be written, so this node takes no writes of it.
    assert!(
        fixture.hooks.copying().is_idle(),
        "there was nothing to copy from"
    );
    completion.complete(Ok(()));
    assert!(fixture.copied.try_recv().is_err(), "nobody waits for it any more");
    assert!(
        fixture.failed.try_recv().is_err(),
        "it was let go of, and has not failed"
    );

    let fixture = super::thread_driver::fixture();
    let (gate, waits) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let (passes, (sender, received)) = (Arc::clone(&gate), mpsc::channel());
    let hook = Hook::deferred(move |_, completion| {
        passes.pass();
        drop(sender.send(completion));
    });
    fixture.hooks.register(LEADER_CHANGES, hook).unwrap();
    fixture.push(1, leader(1));
    gate.wait_for(1);
    let closed = fixture.hooks.close(Duration::from_millis(1)).unwrap_err();
    assert_eq!(closed.code(), ErrorCode::Timeout);
    gate.open();
    assert_eq!(fixture.hooks.close(TEST_TIMEOUT), Ok(()));
    drop((next(&received), waits));
}

#[test]
fn a_removed_hook_leaves_its_calls_to_their_ends() {
    let fixture = fixture();
    let (hook, received) = passed_on();
    let id = fixture.hooks.register(PARTITION_CHANGES, hook).unwrap();
    fixture.push(1, change(1, OWN_NODE, GainedReplica));
    let (_, completion) = next(&received);
    assert_eq!(fixture.hooks.unregister(id), Unregistered::Now);
    assert!(
        received.recv_timeout(TEST_TIMEOUT).is_err(),
        "the hook was dropped"
    );
    completion.complete(Ok(()));
    assert_eq!(next(&fixture.copied), 1);
}

#[tokio::test]
async fn with_tasks_it_is_the_same() {
    let trace = Trace::new();
    let hooks = task_driver::hooks(&trace);
    let (hook, received) = passed_on();
    hooks.register(PARTITION_CHANGES, hook).unwrap();
    hooks.push(event(1, change(1, OWN_NODE, GainedReplica)));
    let receive = || async {
        loop {
            match received.try_recv() {
                Ok(call) => return call,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    let (_, first) = receive().await;
    first.complete(Err("no space".into()));
    let (_, second) = receive().await;
    assert_eq!(second.attempt(), 2);
    second.complete(Ok(()));
    while !trace.lines.lock().iter().any(|line| line.ends_with("copied 1")) {
        tokio::task::yield_now().await;
    }
    assert_eq!(hooks.close_async(TEST_TIMEOUT).await, Ok(()));
}
