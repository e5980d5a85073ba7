//! The ends of a node: stopping within a time, and closing with waiting.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clusterkit::hooks::EventType;
use clusterkit::{ClusterKit, ErrorCode, Options};

const TIMEOUT: Duration = Duration::from_secs(20);

fn node() -> ClusterKit {
    let mut options = Options::new("node-1", "127.0.0.1:0");
    options.data_dir = String::new();
    ClusterKit::new(options).unwrap()
}

#[test]
fn a_closed_node_holds_nothing_of_the_application() {
    let node = node();
    let (in_hook, in_log) = (Arc::new(()), Arc::new(()));
    let (hook, log) = (in_hook.clone(), in_log.clone());
    node.on_event(move |_| {
        let _held = &hook;
        Ok(())
    })
    .unwrap();
    node.on_log(Some(Arc::new(move |_, _| {
        let _held = &log;
    })));
    node.start().unwrap();
    node.close().unwrap();
    assert_eq!((Arc::strong_count(&in_hook), Arc::strong_count(&in_log)), (1, 1));
}

#[test]
fn a_stop_that_is_not_done_in_time_goes_on_and_is_waited_for() {
    let node = node();
    let (entered, is_entered) = channel();
    let (open, gate) = channel::<()>();
    let (held, gate) = (Arc::new(()), Mutex::new(gate));
    let hook = held.clone();
    node.on(EventType::NodeJoin, move |_| {
        let _held = &hook;
        entered.send(()).map_err(|error| error.to_string())?;
        // Ends when the other end is dropped.
        drop(gate.lock().map(|gate| gate.recv()));
        Ok(())
    })
    .unwrap();
    node.start().unwrap();
    is_entered.recv_timeout(TIMEOUT).unwrap();
    let error = node.stop_within(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert_eq!(Arc::strong_count(&held), 2);
    drop(open);
    node.stop_within(TIMEOUT).unwrap();
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_hook_with_a_weak_handle_does_not_keep_its_node_alive() {
    let node = node();
    let (held, weak) = (Arc::new(()), node.downgrade());
    let (hook, log, in_hook, in_log) = (weak.clone(), weak.clone(), held.clone(), held.clone());
    let (called, calls) = channel();
    node.on_event(move |_| {
        let _held = &in_hook;
        let node = hook.upgrade().ok_or("it is going away")?;
        called
            .send(node.my_node_id().to_string())
            .map_err(|error| error.to_string())
    })
    .unwrap();
    node.on_log(Some(Arc::new(move |_, _| {
        let _held = &in_log;
        drop(log.upgrade());
    })));
    node.start().unwrap();
    assert_eq!(calls.recv_timeout(TIMEOUT).unwrap(), "node-1");
    drop(node);
    // The end drops the hook, and with it its end of the channel. Nobody else waits for it.
    while calls.recv_timeout(TIMEOUT).is_ok() {}
    until(|| Arc::strong_count(&held) == 1);
    assert!(weak.upgrade().is_none());
}

/// What holds itself ends when it is told to.
#[test]
fn a_hook_with_a_strong_handle_keeps_its_node_until_it_is_stopped() {
    let node = node();
    let (held, weak) = (Arc::new(()), node.downgrade());
    let (own, in_hook) = (node.clone(), held.clone());
    node.on_event(move |_| {
        let _held = (&own, &in_hook);
        Ok(())
    })
    .unwrap();
    node.start().unwrap();
    drop(node);
    let node = weak.upgrade().unwrap();
    node.stop().unwrap();
    assert_eq!(Arc::strong_count(&held), 1);
    drop(node);
    assert!(weak.upgrade().is_none());
}

/// A log callback that stands still.
fn stalled(node: &ClusterKit) -> (Arc<()>, std::sync::mpsc::Sender<()>) {
    let (held, (open, gate)) = (Arc::new(()), channel::<()>());
    let (mine, gate) = (held.clone(), Mutex::new(gate));
    node.on_log(Some(Arc::new(move |_, _| {
        let _held = &mine;
        // Ends when the other end is dropped.
        drop(gate.lock().map(|gate| gate.recv()));
    })));
    (held, open)
}

#[test]
fn a_log_callback_that_stands_still_is_left_to_itself() {
    for stops in [true, false] {
        let node = node();
        let (held, open) = stalled(&node);
        node.start().unwrap();
        if stops {
            node.stop_within(TIMEOUT).unwrap();
        }
        node.close().unwrap();
        assert_eq!(Arc::strong_count(&held), 2, "its call still runs");
        drop(open);
        until(|| Arc::strong_count(&held) == 1);
    }
}

fn until(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + TIMEOUT;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "it did not come about");
        std::thread::yield_now();
    }
}
