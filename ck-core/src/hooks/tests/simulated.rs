//! A whole history in simulated time.

use std::time::Duration;

use openraft_rt::AsyncRuntime;
use openraft_rt_sim::SimRuntime;

use crate::env;
use crate::hooks::{EventFilter, EventType, Hook};
use crate::model::RoleChange::{GainedReplica, LostCopy};

use super::task_driver::{PARTITION_CHANGES, TEST_TIMEOUT, Trace, hooks};
use super::{OTHER_NODE, OWN_NODE, change, complete, event, leader, rejoin, start};

/// An async hook that takes a given time.
fn slow(trace: &Trace, name: &'static str, takes: Duration) -> Hook {
    let trace = trace.clone();
    Hook::from_async(move |event| {
        let trace = trace.clone();
        async move {
            trace.add(&format!("{name} begins {}", event.revision));
            env::sleep(takes).await;
            trace.add(&format!("{name} returns {}", event.revision));
            Ok(())
        }
    })
}

/// One history with a rejoin, a rebalance, copies that fail, and hooks of both forms.
async fn history() -> Vec<String> {
    let trace = Trace::new();
    let hooks = hooks(&trace);
    let takes = Duration::from_millis(20);
    hooks
        .register(PARTITION_CHANGES, slow(&trace, "copy", takes))
        .unwrap();
    let lines = trace.clone();
    let failing = Hook::blocking(move |event| {
        lines.add(&format!("check {}", event.revision));
        if lines.began.elapsed() < Duration::from_millis(500) {
            Err("too early".into())
        } else {
            Ok(())
        }
    });
    hooks.register(PARTITION_CHANGES, failing).unwrap();
    let clean_up = EventFilter::only(EventType::NodeRejoin);
    hooks.register(clean_up, slow(&trace, "clean up", takes)).unwrap();
    hooks
        .register(EventFilter::ALL, slow(&trace, "all", Duration::from_millis(1)))
        .unwrap();
    let kinds = [
        rejoin(OWN_NODE),
        start(),
        change(1, OWN_NODE, GainedReplica),
        change(2, OTHER_NODE, GainedReplica),
        change(3, OWN_NODE, GainedReplica),
        complete(),
        leader(1),
    ];
    hooks.push_batch((1..).zip(kinds).map(|(revision, kind)| event(revision, kind)));
    env::sleep(Duration::from_millis(200)).await;
    hooks.push(event(8, change(3, OWN_NODE, LostCopy)));
    env::sleep(Duration::from_secs(2)).await;
    assert_eq!(hooks.close_async(TEST_TIMEOUT).await, Ok(()));
    trace.lines.lock().clone()
}

fn place(lines: &[String], word: &str) -> usize {
    let found = lines
        .iter()
        .position(|line| line.split_once(' ').unwrap().1 == word);
    found.unwrap_or_else(|| panic!("no {word:?} in {lines:#?}"))
}

fn assert_history(lines: &[String]) {
    assert!(place(lines, "clean up returns 1") < place(lines, "copy begins 3"));
    assert!(place(lines, "all returns 2") < place(lines, "copy begins 3"));
    assert!(place(lines, "copy returns 5") < place(lines, "all begins 6"));
    assert!(place(lines, "copy returns 3") < place(lines, "copied 3"));
    let copied: Vec<_> = lines.iter().filter(|line| line.contains("copied")).collect();
    assert_eq!(
        copied.len(),
        1,
        "partition 3 was lost before it was confirmed: {copied:?}"
    );
}

#[test]
fn a_simulated_history_is_the_same_every_time_and_keeps_the_order() {
    let run = || SimRuntime::with_seed(7).block_on(history());
    let first = run();
    assert_history(&first);
    assert_eq!(first, run());
    // The hook fails at 20, 120 and 320 ms, and succeeds when the next delay has passed.
    assert!(first.contains(&"720 copied 3".to_owned()), "{first:#?}");
}
