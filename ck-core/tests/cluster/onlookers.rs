//! Whoever looks on, and does not read: a log callback and an observer that stand still hold up nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use clusterkit::ClusterKit;
use clusterkit::Expect;
use clusterkit::hooks::EventType;

use crate::support::{TIMEOUT, cluster, options, settle, until};

/// A door that is closed.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
}

impl Gate {
    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let is_open = self.is_open.lock().unwrap();
        drop(self.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

#[test]
fn a_log_and_observers_that_stand_still_hold_up_no_start_no_copy_no_election_and_no_stop() {
    let mut nodes = cluster(2);
    let (observing, logging) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
    let mut options = options("node-3");
    options.join_addrs = nodes.iter().map(|node| node.addr()).collect();
    // The hook that copies has one place, and the observers must not take it.
    options.hook_concurrency = 1;
    let copied = Arc::new(AtomicUsize::new(0));
    let prepare = |kit: &ClusterKit| {
        for _ in 0..2 {
            let gate = observing.clone();
            kit.on_event(move |_| {
                gate.pass();
                Ok(())
            })?;
        }
        let gate = logging.clone();
        kit.on_log(Some(Arc::new(move |_, _| gate.pass())));
        let copied = copied.clone();
        kit.on(EventType::PartitionChange, move |_| {
            copied.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })?;
        Ok(())
    };
    let third = crate::support::TestNode::start_with(options, prepare).unwrap();
    nodes.push(third);
    let third = &nodes[2];
    until("all of them to stand still", || {
        observing.waiting() == 2 && logging.waiting() == 1
    });
    // It gets its copies and its primaries, which its hook confirms, and leads.
    settle(&nodes);
    assert!(copied.load(Ordering::SeqCst) > 0);
    until("it to lead", || {
        third.kit.is_leader() || nodes[0].kit.promote("node-3").is_ok()
    });
    third.kit.set_custom_data("k", "v", Expect::Any, TIMEOUT).unwrap();
    assert_eq!((observing.waiting(), logging.waiting()), (2, 1));
    // A hook that runs is waited for; the log is not.
    observing.open();
    third.kit.stop().unwrap();
    let others = &nodes[..2];
    until("another one to lead", || {
        others.iter().any(|node| node.kit.is_leader())
    });
    assert_eq!(logging.waiting(), 1);
    logging.open();
    nodes.iter().for_each(|node| node.kit.stop().unwrap());
}
