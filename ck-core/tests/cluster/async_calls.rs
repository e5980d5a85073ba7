//! The asynchronous handle: awaited on an executor that is not tokio's, cancelled, and inside a hook.

use std::pin::pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use clusterkit::Expect;
use clusterkit::hooks::{EventFilter, EventType, Hook};
use clusterkit::model::EventKind;
use clusterkit::{AsyncClusterKit, ErrorCode};
use futures_util::{Stream, StreamExt};

use crate::support::{TIMEOUT, founder, options, until};

/// The smallest executor there is: no reactor, no timers, one thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Polls a future once and drops it. On a busy machine it may be done by then, which is as good.
fn begin_and_give_up<F: Future>(future: F) {
    let mut future = Box::pin(future);
    let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

fn is_a_send_stream(_: &(impl Stream + Send)) {}

#[test]
fn every_kind_of_call_is_awaited_on_any_executor() {
    block_on(async {
        let first = AsyncClusterKit::new(founder("node-1")).unwrap();
        let mut events = first.events().unwrap();
        is_a_send_stream(&events);
        first.start().await.unwrap();
        let mut joining = options("node-2");
        joining.join_addrs = vec![first.http_addr().unwrap()];
        let second = AsyncClusterKit::new(joining).unwrap();
        second.start().await.unwrap();
        second.wait_for_leader(TIMEOUT).await.unwrap();

        let revision = second
            .set_custom_data("k", "v", Expect::Absent, TIMEOUT)
            .await
            .unwrap();
        first.wait_for_revision(revision, TIMEOUT).await.unwrap();
        assert_eq!(first.custom_data("k").unwrap().value, "v");
        let conflict = first.set_custom_data("k", "w", Expect::Absent, TIMEOUT).await;
        assert_eq!(conflict.unwrap_err().code(), ErrorCode::Conflict);
        assert!(second.read_barrier(TIMEOUT).await.unwrap() >= revision);
        let (_, existed) = second
            .delete_custom_data("k", Expect::Any, TIMEOUT)
            .await
            .unwrap();
        assert!(existed);

        first.maintenance(Some("a test"), TIMEOUT).await.unwrap();
        first.maintenance(None, TIMEOUT).await.unwrap();
        let status = second.rebalance_status(TIMEOUT).await.unwrap();
        assert!(status.from_leader, "{status:?}");
        // What is under way may have moved on since.
        let migrations = second.migrations(TIMEOUT).await.unwrap();
        assert!(
            migrations.iter().all(|migration| migration.to == "node-2".into()),
            "{migrations:?}"
        );
        second.stop().await.unwrap();
        first.stop().await.unwrap();

        let mut joined = Vec::new();
        while let Some(event) = events.next().await {
            if let EventKind::NodeJoin(join) = &event.unwrap().kind {
                joined.push(join.node.id.to_string());
            }
        }
        assert!(joined.contains(&"node-2".to_owned()), "{joined:?}");
        assert_eq!(second.start().await.unwrap_err().code(), ErrorCode::Stopped);
        second.close().await.unwrap();
    });
}

/// What was begun goes on to its end: a start that is given up starts, a stop stops.
#[test]
fn giving_up_a_call_stops_the_waiting_and_not_the_call() {
    let node = AsyncClusterKit::new(founder("node-1")).unwrap();
    begin_and_give_up(node.start());
    until("started", || {
        node.waiting_for().is_ok_and(|waits| waits.is_none())
    });
    let again = block_on(node.start()).unwrap_err();
    assert_eq!(again.code(), ErrorCode::AlreadyStarted);

    begin_and_give_up(node.set_custom_data("k", "v", Expect::Any, TIMEOUT));
    until("written", || node.custom_data("k").is_some());
    // A call that was never polled never began.
    drop(node.delete_custom_data("k", Expect::Any, TIMEOUT));

    begin_and_give_up(node.stop());
    until("stopped", || {
        node.waiting_for()
            .is_err_and(|error| error.code() == ErrorCode::Stopped)
    });
    assert!(node.custom_data("k").is_some());
    // The stop that goes on is the one that this waits for.
    block_on(node.stop()).unwrap();
}

/// The last handle goes while a start is under way: the node ends all the same, and its directory is free after that.
#[test]
fn a_handle_that_is_dropped_during_a_start_leaves_a_directory_that_another_can_use() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = founder("node-1");
    options.data_dir = folder.path().to_str().unwrap().to_owned();
    for listens in [false, true] {
        let node = AsyncClusterKit::new(options.clone()).unwrap();
        begin_and_give_up(node.start());
        until("as far as it is to be", || !listens || node.http_addr().is_some());
        drop(node);
        until("started by another", || {
            let again = AsyncClusterKit::new(options.clone()).unwrap();
            match block_on(again.start()) {
                Ok(()) => block_on(again.stop()).is_ok(),
                Err(error) => {
                    assert_eq!(error.code(), ErrorCode::DataDirInUse, "{error}");
                    false
                }
            }
        });
    }
}

#[test]
fn both_handles_are_of_one_node() {
    let node = AsyncClusterKit::new(founder("node-1")).unwrap();
    let blocking = node.clone().into_blocking();
    blocking.start().unwrap();
    block_on(node.set_custom_data("k", "v", Expect::Any, TIMEOUT)).unwrap();
    assert_eq!(blocking.custom_data("k").unwrap().value, "v");
    blocking.stop().unwrap();
    assert!(block_on(blocking.into_async().stop()).is_ok());
}

/// A hook may await what does not wait for hooks, and is told where it may not.
#[test]
fn inside_a_hook_a_stop_is_refused_and_a_write_is_not() {
    let node = AsyncClusterKit::new(founder("node-1")).unwrap();
    let (sender, told) = channel();
    let own = Arc::new(OnceLock::new());
    let myself = own.clone();
    let hook = Hook::from_async(move |_| {
        let (sender, myself) = (sender.clone(), myself.clone());
        async move {
            let node: &AsyncClusterKit = myself.wait();
            let stopped = node.stop().await.map_err(|error| error.code());
            let written = node.set_custom_data("k", "v", Expect::Any, TIMEOUT).await;
            sender
                .send((stopped, written.is_ok()))
                .map_err(|error| error.to_string())
        }
    });
    let id = node
        .register_hook(EventFilter::only(EventType::BecomeLeader), hook)
        .unwrap();
    own.set(node.clone()).unwrap();
    block_on(node.start()).unwrap();
    assert_eq!(
        told.recv_timeout(TIMEOUT).unwrap(),
        (Err(ErrorCode::InHook), true)
    );
    assert!(block_on(node.remove_hook(id)));
    assert!(!block_on(node.remove_hook(id)));
    block_on(node.stop()).unwrap();
}
