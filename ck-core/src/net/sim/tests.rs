use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use openraft_rt::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use tokio::sync::Notify;

use super::*;
use crate::env::{sleep, spawn};
use crate::error::{ErrorCode, Result};

const SECOND: Duration = Duration::from_secs(1);

fn simulate<T>(seed: u64, future: impl Future<Output = T>) -> T {
    SimRuntime::with_seed(seed).block_on(future)
}

fn echo() -> Handler {
    Arc::new(|request, _| std::future::ready(request).boxed())
}

/// A handler that records the requests.
fn recorder() -> (Arc<Mutex<Vec<u8>>>, Handler) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let written = seen.clone();
    let handler: Handler = Arc::new(move |request: Bytes, _| {
        written.lock().push(request[0]);
        std::future::ready(request).boxed()
    });
    (seen, handler)
}

async fn ask(network: &SimNetwork, from: &str, to: &str) -> Result<Bytes> {
    let transport = network.transport(from);
    transport
        .call(to, Lane::Control, Bytes::from_static(b"?"), SECOND)
        .await
}

async fn outcome(network: &SimNetwork, from: &str, to: &str) -> Option<ErrorCode> {
    ask(network, from, to).await.err().map(|error| error.code())
}

fn lossy() -> LinkConditions {
    LinkConditions {
        slow: 0.2,
        loss: 0.2,
        duplicate: 0.2,
        ..LinkConditions::default()
    }
}

/// Three nodes that call one another under all kinds of faults.
fn storm(seed: u64) -> (Vec<String>, SimStats) {
    simulate(seed, async {
        let network = SimNetwork::new(seed);
        network.record_trace(true);
        network.set_conditions(lossy());
        let nodes = ["a:1", "b:1", "c:1"];
        for node in nodes {
            network.serve(node, echo());
        }
        let mut callers = Vec::new();
        for from in nodes {
            let network = network.clone();
            callers.push(spawn(async move {
                let transport = network.transport(from);
                for i in 0..200u8 {
                    let to = nodes[usize::from(i) % 3];
                    let lane = Lane::ALL[usize::from(i) % 4];
                    let _ = transport.call(to, lane, Bytes::from(vec![i]), SECOND / 50).await;
                }
            }));
        }
        for step in 0..20 {
            sleep(Duration::from_millis(37)).await;
            match step % 5 {
                0 => network.cut_one_way("a:1", "b:1"),
                1 => network.clog("c:1"),
                2 => network.unserve("b:1"),
                3 => network.serve("b:1", echo()),
                _ => network.heal(),
            }
        }
        join_all(callers).await;
        (network.take_trace(), network.stats())
    })
}

#[test]
fn one_seed_gives_one_history() {
    let (trace, stats) = storm(7);
    assert_eq!((trace.clone(), stats), storm(7));
    assert_ne!(trace, storm(8).0);
    // Every kind of fault has happened.
    assert!(
        stats.delivered > 0 && stats.lost > 0 && stats.duplicated > 0,
        "{stats:?}"
    );
    assert!(stats.held > 0 && stats.refused > 0, "{stats:?}");
}

#[test]
fn an_answer_takes_two_delays_and_a_dead_address_as_long() {
    simulate(1, async {
        let network = SimNetwork::new(1);
        let slow = LinkConditions {
            min_delay: SECOND / 10,
            max_delay: SECOND / 10,
            ..LinkConditions::default()
        };
        network.set_link("a:1", "b:1", slow.clone());
        network.set_link(
            "b:1",
            "a:1",
            LinkConditions {
                min_delay: SECOND / 5,
                max_delay: SECOND / 5,
                ..slow
            },
        );
        for (serving, expected) in [(true, None), (false, Some(ErrorCode::Unreachable))] {
            if serving {
                network.serve("b:1", echo());
            } else {
                network.unserve("b:1");
            }
            let since = Instant::now();
            assert_eq!(outcome(&network, "a:1", "b:1").await, expected);
            let took = since.elapsed().as_millis();
            assert!((300..305).contains(&took), "{took} ms");
        }
    });
}

#[test]
fn a_lost_message_is_a_timeout_and_messages_are_lost_with_the_given_probability() {
    simulate(2, async {
        let network = SimNetwork::new(2);
        network.serve("b:1", echo());
        network.set_conditions(LinkConditions {
            loss: 0.5,
            ..LinkConditions::default()
        });
        let mut lost = 0;
        for _ in 0..400 {
            let since = Instant::now();
            if let Err(error) = ask(&network, "a:1", "b:1").await {
                assert_eq!(error.code(), ErrorCode::Timeout);
                assert!(since.elapsed() >= SECOND);
                lost += 1;
            }
        }
        // Both ways have to succeed: three of four are lost.
        assert!((250..350).contains(&lost), "{lost} of 400");
        network.calm();
        assert_eq!(outcome(&network, "a:1", "b:1").await, None);
    });
}

#[test]
fn a_one_way_cut_lets_requests_arrive_and_loses_their_answers() {
    simulate(3, async {
        let network = SimNetwork::new(3);
        let (seen, handler) = recorder();
        network.serve("b:1", handler);
        network.serve("a:1", echo());
        network.cut_one_way("b:1", "a:1");
        assert_eq!(outcome(&network, "a:1", "b:1").await, Some(ErrorCode::Timeout));
        assert_eq!(seen.lock().len(), 1);
        network.cut("a:1", "b:1");
        assert_eq!(outcome(&network, "a:1", "b:1").await, Some(ErrorCode::Timeout));
        assert_eq!(seen.lock().len(), 1);
        assert_eq!(
            outcome(&network, "c:1", "b:1").await,
            None,
            "others are not concerned"
        );
        assert_eq!(
            outcome(&network, "a:1", "a:1").await,
            None,
            "a node reaches itself"
        );
        network.heal();
        assert_eq!(outcome(&network, "a:1", "b:1").await, None);
        assert_eq!(outcome(&network, "b:1", "a:1").await, None);
    });
}

#[test]
fn a_bridge_reaches_both_sides_and_the_sides_not_one_another() {
    simulate(4, async {
        let network = SimNetwork::new(4);
        let nodes = ["a:1", "b:1", "c:1", "d:1"];
        for node in nodes {
            network.serve(node, echo());
        }
        let reached = async || {
            let mut reached = BTreeMap::new();
            for from in nodes {
                for to in nodes {
                    if from != to && outcome(&network, from, to).await.is_none() {
                        reached.entry(from).or_insert_with(Vec::new).push(to);
                    }
                }
            }
            reached
        };
        network.partition(&[&["a:1", "b:1"], &["b:1", "c:1"]]);
        let bridged = BTreeMap::from([
            ("a:1", vec!["b:1"]),
            ("b:1", vec!["a:1", "c:1"]),
            ("c:1", vec!["b:1"]),
        ]);
        assert_eq!(reached().await, bridged);
        network.partition(&[]);
        network.isolate("d:1");
        assert_eq!(reached().await.len(), 3);
        network.reconnect("d:1");
        assert!(reached().await.values().all(|to| to.len() == 3));
    });
}

#[test]
fn a_clogged_link_holds_everything_and_loses_nothing() {
    simulate(5, async {
        let network = SimNetwork::new(5);
        let (seen, handler) = recorder();
        network.serve("b:1", handler);
        network.clog("b:1");
        let transport = network.transport("a:1");
        let calls = (0..5u8).map(|i| transport.call("b:1", Lane::Log, Bytes::from(vec![i]), SECOND));
        for answer in join_all(calls).await {
            assert_eq!(answer.unwrap_err().code(), ErrorCode::Timeout);
        }
        assert!(seen.lock().is_empty());
        assert_eq!(network.stats().held, 5);
        network.unclog("b:1");
        sleep(SECOND).await;
        assert_eq!(*seen.lock(), [0, 1, 2, 3, 4], "late, and in order");
        assert_eq!(outcome(&network, "a:1", "b:1").await, None);
    });
}

#[test]
fn a_clogged_log_lane_holds_entries_and_nothing_else() {
    simulate(5, async {
        let network = SimNetwork::new(5);
        let (seen, handler) = recorder();
        network.serve("b:1", handler);
        network.clog_log("a:1", "b:1");
        let transport = network.transport("a:1");
        let entries = transport.call("b:1", Lane::Log, Bytes::from_static(&[1]), SECOND);
        assert_eq!(entries.await.unwrap_err().code(), ErrorCode::Timeout);
        let call = transport.call("b:1", Lane::Request, Bytes::from_static(&[2]), SECOND);
        call.await.unwrap();
        assert_eq!(*seen.lock(), [2]);
        network.unclog_log("a:1", "b:1");
        sleep(SECOND).await;
        assert_eq!(*seen.lock(), [2, 1], "late, and not lost");
    });
}

#[test]
fn the_log_lane_keeps_its_order_where_others_do_not() {
    simulate(6, async {
        let network = SimNetwork::new(6);
        network.set_conditions(LinkConditions {
            slow: 0.3,
            ..LinkConditions::default()
        });
        let transport = network.transport("a:1");
        for (lane, ordered) in [(Lane::Log, true), (Lane::Request, false)] {
            let (seen, handler) = recorder();
            network.serve("b:1", handler);
            let calls = (0..100u8).map(|i| transport.call("b:1", lane, Bytes::from(vec![i]), SECOND));
            for answer in join_all(calls).await {
                answer.unwrap();
            }
            assert_eq!(seen.lock().is_sorted(), ordered, "{lane:?}");
        }
    });
}

#[test]
fn the_log_lane_begins_requests_in_order_and_handles_them_together() {
    simulate(7, async {
        let network = SimNetwork::new(7);
        let begun = Arc::new(Mutex::new(Vec::new()));
        let (seen, all) = (begun.clone(), Arc::new(tokio::sync::Barrier::new(20)));
        let handler: Handler = Arc::new(move |request, _| {
            let (seen, all) = (seen.clone(), all.clone());
            async move {
                seen.lock().push(request[0]);
                // Answered only when all have begun.
                all.wait().await;
                request
            }
            .boxed()
        });
        network.serve("b:1", handler);
        let transport = network.transport("a:1");
        let calls = (0..20u8).map(|i| transport.call("b:1", Lane::Log, Bytes::from(vec![i]), SECOND));
        for (i, answer) in (0..).zip(join_all(calls).await) {
            assert_eq!(answer.unwrap(), vec![i]);
        }
        assert_eq!(*begun.lock(), (0..20).collect::<Vec<u8>>());
    });
}

#[test]
fn a_duplicate_is_handled_twice_and_answered_once() {
    simulate(8, async {
        let network = SimNetwork::new(8);
        let (seen, handler) = recorder();
        network.serve("b:1", handler);
        network.set_conditions(LinkConditions {
            duplicate: 1.0,
            ..LinkConditions::default()
        });
        assert_eq!(outcome(&network, "a:1", "b:1").await, None);
        sleep(SECOND).await;
        assert_eq!(seen.lock().len(), 2);
    });
}

#[test]
fn a_crash_drops_requests_in_progress_and_fails_their_callers() {
    simulate(9, async {
        let network = SimNetwork::new(9);
        let (began, after) = (Arc::new(Notify::new()), Arc::new(Mutex::new(false)));
        let (started, survived) = (began.clone(), after.clone());
        let handler: Handler = Arc::new(move |request, _| {
            let (started, survived) = (started.clone(), survived.clone());
            async move {
                started.notify_one();
                sleep(SECOND / 2).await;
                *survived.lock() = true;
                request
            }
            .boxed()
        });
        network.serve("b:1", handler);
        let crash = async {
            began.notified().await;
            network.unserve("b:1");
        };
        let (result, ()) = futures_util::future::join(ask(&network, "a:1", "b:1"), crash).await;
        assert_eq!(result.unwrap_err().code(), ErrorCode::Unreachable);
        sleep(SECOND).await;
        assert!(!*after.lock());
        network.serve("b:1", echo());
        assert_eq!(outcome(&network, "a:1", "b:1").await, None);
    });
}

#[test]
fn a_closed_transport_answers_stopped_and_no_other_is_closed() {
    simulate(10, async {
        let network = SimNetwork::new(10);
        network.serve("b:1", echo());
        network.clog("b:1");
        let transport = network.transport("a:1");
        let call = transport.call("b:1", Lane::Control, Bytes::new(), SECOND);
        let close = async {
            sleep(SECOND / 10).await;
            transport.close();
        };
        let (result, ()) = futures_util::future::join(call, close).await;
        assert_eq!(result.unwrap_err().code(), ErrorCode::Stopped);
        network.heal();
        let result = transport.call("b:1", Lane::Control, Bytes::new(), SECOND).await;
        assert_eq!(result.unwrap_err().code(), ErrorCode::Stopped);
        assert_eq!(outcome(&network, "a:1", "b:1").await, None);
    });
}

#[test]
fn dropped_and_timed_out_calls_leave_nothing_behind() {
    simulate(11, async {
        let network = SimNetwork::new(11);
        network.serve("b:1", echo());
        network.cut("a:1", "b:1");
        let transport = SimTransport::new(network.shared.clone(), "a:1");
        let _ = transport.call("b:1", Lane::Bulk, Bytes::new(), SECOND).await;
        assert!(
            transport
                .call("b:1", Lane::Bulk, Bytes::new(), SECOND)
                .now_or_never()
                .is_none()
        );
        assert_eq!(transport.in_flight(), 0);
    });
}

/// Without a connection nothing is sent; over an open one a request may have arrived.
#[test]
fn over_connections_a_call_says_whether_anything_was_sent() {
    simulate(12, async {
        let network = SimNetwork::new(12);
        network.use_connections();
        let transport = network.transport("a:1");
        let ask = async |size: usize| {
            let outcome = transport
                .call("b:1", Lane::Request, vec![0; size].into(), SECOND)
                .await;
            outcome
                .map(drop)
                .map_err(|error| (error.code(), error.is_unsent()))
        };
        assert_eq!(ask(1).await, Err((ErrorCode::Unreachable, true)));
        network.serve("b:1", echo());
        network.cut("a:1", "b:1");
        // The backoff after a failure.
        sleep(SECOND).await;
        assert_eq!(ask(1).await, Err((ErrorCode::Timeout, true)));
        network.heal();
        sleep(SECOND).await;
        assert_eq!(ask(1).await, Ok(()));
        assert_eq!(ask(17 << 20).await, Err((ErrorCode::TooLarge, true)));
        network.forget_flows("a:1", "b:1");
        assert_eq!(ask(1).await, Err((ErrorCode::Timeout, false)));
        transport.close();
        assert_eq!(ask(1).await, Err((ErrorCode::Stopped, true)));
    });
}
