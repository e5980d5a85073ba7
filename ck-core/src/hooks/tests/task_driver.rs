//! The handle with the task driver, on tokio.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::env::Instant;
use crate::hooks::{Driver, EventFilter, EventType, Holders, Hook, Hooks, HooksConfig, Unregistered};
use crate::model::EventKind;
use crate::model::RoleChange::GainedReplica;
use crate::{Error, ErrorCode};

use super::{OWN_NODE, TestHost, change, event, leader, node, rejoin};

pub(super) const PARTITION_CHANGES: EventFilter = EventFilter::only(EventType::PartitionChange);
const LEADER_CHANGES: EventFilter = EventFilter::only(EventType::LeaderChange);
pub(super) const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What happened, in order, each with the milliseconds since the start.
#[derive(Clone)]
pub(super) struct Trace {
    pub(super) began: Instant,
    pub(super) lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    pub(super) fn new() -> Self {
        Trace {
            began: Instant::now(),
            lines: Arc::default(),
        }
    }

    pub(super) fn add(&self, line: &str) {
        let at = self.began.elapsed().as_millis();
        self.lines.lock().push(format!("{at} {line}"));
    }

    /// The lines without their times.
    fn words(&self) -> Vec<String> {
        let lines = self.lines.lock();
        let words = lines
            .iter()
            .map(|line| line.split_once(' ').unwrap().1.to_owned());
        words.collect()
    }
}

pub(super) fn hooks(trace: &Trace) -> Arc<Hooks> {
    let (copied, failed) = (trace.clone(), trace.clone());
    let config = HooksConfig::new(
        OWN_NODE.into(),
        Driver::Tasks,
        TestHost::new(
            move |revision| copied.add(&format!("copied {revision}")),
            move |failure| failed.add(&failure.to_string()),
        ),
    );
    Arc::new(Hooks::new(config))
}

#[tokio::test]
async fn a_retried_copy_gets_the_holders_of_that_moment() {
    let received: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let holding = Arc::new(Mutex::new(Holders::Nodes(vec![node("a")])));
    let copied = Arc::new(tokio::sync::Notify::new());
    let (seen, now, heal, done) = (received.clone(), holding.clone(), holding.clone(), copied.clone());
    let host = TestHost::with_holders(
        move |_| done.notify_one(),
        move |failure| {
            if failure.message.starts_with("not called") {
                *heal.lock() = Holders::Nodes(Vec::new());
            }
        },
        move || now.lock().clone(),
    );
    let hooks = Hooks::new(HooksConfig::new(OWN_NODE.into(), Driver::Tasks, host));
    let holders = holding.clone();
    let hook = Hook::blocking(move |event| {
        let EventKind::PartitionChange(change) = &event.kind else {
            return Ok(());
        };
        let ids: Vec<String> = change
            .copy_from_nodes
            .iter()
            .map(|node| node.id.to_string())
            .collect();
        let mut seen = seen.lock();
        seen.push(ids);
        // The first two nodes to copy from are gone when the hook asks them.
        match seen.len() {
            1 => *holders.lock() = Holders::Nodes(vec![node("b")]),
            2 => *holders.lock() = Holders::Nobody,
            _ => return Ok(()),
        }
        Err("gone".to_owned())
    });
    hooks.register(PARTITION_CHANGES, hook).unwrap();
    let mut gain = change(3, OWN_NODE, GainedReplica);
    if let EventKind::PartitionChange(change) = &mut gain {
        change.copy_from_nodes = vec![node("a")];
    }
    hooks.push(event(7, gain));
    copied.notified().await;
    // While no node holds the data there is no call; an empty list means that this node holds it.
    let expected: [&[&str]; 3] = [&["a"], &["b"], &[]];
    assert_eq!(*received.lock(), expected);
}

#[tokio::test]
async fn a_failed_copy_is_retried_and_confirmed_after_the_clean_up_on_tokio() {
    let trace = Trace::new();
    let hooks = hooks(&trace);
    let lines = trace.clone();
    let (sender, mut done) = tokio::sync::mpsc::unbounded_channel();
    let copy = Hook::blocking(move |_| {
        lines.add("copy");
        let failed = lines.words().iter().filter(|word| *word == "copy").count() == 1;
        if failed {
            Err("not yet".into())
        } else {
            sender.send(()).map_err(|error| error.to_string())
        }
    });
    let lines = trace.clone();
    let clean_up = Hook::from_async(move |_| {
        let lines = lines.clone();
        async move {
            tokio::task::yield_now().await;
            lines.add("clean");
            Ok(())
        }
    });
    hooks.register(PARTITION_CHANGES, copy).unwrap();
    hooks
        .register(EventFilter::only(EventType::NodeRejoin), clean_up)
        .unwrap();
    hooks.push_batch([
        event(1, rejoin(OWN_NODE)),
        event(2, change(1, OWN_NODE, GainedReplica)),
    ]);
    done.recv().await.unwrap();
    assert_eq!(hooks.close_async(TEST_TIMEOUT).await, Ok(()));
    let failure = "hook 1 failed on partition_change of revision 2 (partition-1, node-1), attempt 1: not yet; again in 100 ms";
    assert_eq!(trace.words(), ["clean", "copy", failure, "copy", "copied 2"]);
}

#[tokio::test]
async fn removing_or_closing_from_inside_an_async_hook_does_not_wait_for_it() {
    let trace = Trace::new();
    let hooks = hooks(&trace);
    let own = Arc::new(Mutex::new(None));
    let (weak, id, lines) = (Arc::downgrade(&hooks), Arc::clone(&own), trace.clone());
    let hook = Hook::from_async(move |_| {
        let (weak, id, lines) = (weak.clone(), Arc::clone(&id), lines.clone());
        async move {
            let hooks = weak.upgrade().ok_or("gone")?;
            let closed = hooks
                .close_async(TEST_TIMEOUT)
                .await
                .map_err(|error: Error| error.code());
            assert_eq!(closed, Err(ErrorCode::InHook));
            let id = id.lock().ok_or("no id")?;
            assert_eq!(hooks.unregister(id), Unregistered::AfterCall);
            lines.add("removed");
            Ok(())
        }
    });
    let id = hooks.register(LEADER_CHANGES, hook).unwrap();
    *own.lock() = Some(id);
    hooks.push_batch([event(1, leader(1)), event(2, leader(2))]);
    hooks.unregistered(id).await;
    assert_eq!(hooks.unregister(id), Unregistered::Unknown);
    assert_eq!(hooks.close_async(TEST_TIMEOUT).await, Ok(()));
    assert_eq!(trace.words(), ["removed"]);
}

#[tokio::test]
async fn close_async_gives_up_at_its_deadline_and_the_call_goes_on() {
    let trace = Trace::new();
    let hooks = hooks(&trace);
    let (open, door) = tokio::sync::oneshot::channel::<()>();
    let door = Arc::new(Mutex::new(Some(door)));
    let hook = Hook::from_async(move |_| {
        let door = door.lock().take();
        async move {
            if let Some(door) = door {
                door.await.map_err(|error| error.to_string())?;
            }
            Ok(())
        }
    });
    hooks.register(LEADER_CHANGES, hook).unwrap();
    hooks.push_batch([event(1, leader(1)), event(2, leader(2))]);
    let closed = hooks.close_async(Duration::from_millis(1)).await;
    assert_eq!(closed.unwrap_err().code(), ErrorCode::Timeout);
    open.send(()).unwrap();
    assert_eq!(hooks.close_async(TEST_TIMEOUT).await, Ok(()));
    assert!(trace.words().is_empty());
}
