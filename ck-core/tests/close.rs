//! The ends of a node: stopping within a time, and closing with waiting.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ck_core::hooks::EventType;
use ck_core::{ClusterKit, ErrorCode, Options};

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
