//! Calls that wait, made inside tasks of the application's own tokio runtime. They block a thread of that runtime, as any
//! blocking call does, and come to their end all the same.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clusterkit::Expect;
use clusterkit::hooks::{EventFilter, EventType, Hook};
use clusterkit::{ClusterKit, ErrorCode, Options};
use tokio::runtime::{Builder, Runtime};

/// How long one call may take, and how long all calls of a test may take.
const CALL: Duration = Duration::from_secs(10);
const ALL: Duration = Duration::from_secs(120);
/// More than the cooperative budget of a task by far.
const WRITES: u64 = 2_000;

fn node() -> ClusterKit {
    let mut options = Options::new("node-1", "127.0.0.1:0");
    options.data_dir = String::new();
    let node = ClusterKit::new(options).unwrap();
    node.start().unwrap();
    node
}

/// Writes, reads and waits, each many times more often than the budget of one poll allows.
fn calls(node: &ClusterKit) {
    let mut last = 0;
    for number in 0..WRITES {
        let key = format!("key-{}", number % 10);
        let revision = node
            .set_custom_data(&key, number.to_string(), Expect::Any, CALL)
            .unwrap();
        assert!(revision > last, "revisions grow");
        last = revision;
    }
    for _ in 0..WRITES / 10 {
        node.wait_for_revision(last, CALL).unwrap();
        assert!(node.read_barrier(CALL).unwrap() >= last);
        node.wait_for_leader(CALL).unwrap();
        node.rebalance_status(CALL).unwrap();
    }
    // A timeout is kept to as well.
    let never = node.wait_for_revision(u64::MAX, Duration::from_millis(20));
    assert_eq!(never.unwrap_err().code(), ErrorCode::Timeout);
}

/// Runs `work` on a thread of its own, so that a call that never returns fails the test and not the whole run.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = channel();
    let thread = std::thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    let ended = is_done.recv_timeout(ALL);
    assert!(
        ended != Err(std::sync::mpsc::RecvTimeoutError::Timeout),
        "a call inside a task never returned"
    );
    thread.join().unwrap();
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Makes the calls in a task, and in the future that the runtime itself blocks on.
fn in_tasks_of(host: &Runtime) {
    let node = node();
    let task = node.clone();
    host.block_on(async {
        tokio::spawn(async move { calls(&task) }).await.unwrap();
        calls(&node);
    });
    node.stop().unwrap();
}

#[test]
fn calls_inside_a_task_of_a_multi_thread_runtime_return() {
    in_time(|| in_tasks_of(&multi_thread()));
}

#[test]
fn calls_inside_a_task_of_a_current_thread_runtime_return() {
    in_time(|| in_tasks_of(&current_thread()));
}

#[test]
fn calls_where_tokio_lets_tasks_block_return() {
    in_time(|| {
        let node = node();
        let (blocking, in_place) = (node.clone(), node.clone());
        multi_thread().block_on(async {
            tokio::task::spawn_blocking(move || calls(&blocking))
                .await
                .unwrap();
            tokio::spawn(async move { tokio::task::block_in_place(|| calls(&in_place)) })
                .await
                .unwrap();
        });
        node.stop().unwrap();
    });
}

#[test]
fn a_whole_life_inside_a_task_comes_to_its_end() {
    in_time(|| {
        current_thread().block_on(async {
            let node = node();
            let busy = node.clone();
            // The budget of this task is spent before the node stops.
            calls(&busy);
            drop(busy);
            node.stop_within(CALL).unwrap();
            node.close().unwrap();
        });
    });
}

#[test]
fn calls_inside_an_async_hook_return() {
    in_time(|| {
        let mut options = Options::new("node-1", "127.0.0.1:0");
        options.data_dir = String::new();
        let node = ClusterKit::new(options).unwrap();
        let (done, is_done) = channel();
        let (hooked, done) = (node.clone(), Arc::new(Mutex::new(Some(done))));
        let hook = move |_event: Arc<clusterkit::model::Event>| {
            let (hooked, done) = (hooked.clone(), done.clone());
            async move {
                let Some(done) = done.lock().unwrap().take() else {
                    return Ok(());
                };
                // The hook's own waiting shares the thread with the calls that block in it.
                tokio::time::sleep(Duration::from_millis(1)).await;
                calls(&hooked);
                tokio::time::sleep(Duration::from_millis(1)).await;
                done.send(()).map_err(|error| error.to_string())
            }
        };
        node.register_hook(EventFilter::only(EventType::BecomeLeader), Hook::from_async(hook))
            .unwrap();
        node.start().unwrap();
        is_done.recv_timeout(ALL).unwrap();
        node.stop().unwrap();
    });
}
