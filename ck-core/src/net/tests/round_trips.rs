use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::sync::{Notify, Semaphore, mpsc};

use super::*;
use crate::error::ErrorCode;

#[tokio::test]
async fn every_lane_carries_calls_over_a_connection_of_its_own() {
    let connections = Arc::new(Mutex::new(Vec::new()));
    let seen = connections.clone();
    let (_server, addr) = serve(handler(move |request, connection| {
        seen.lock().push(connection);
        async move { request }
    }))
    .await;
    let client = client();
    for lane in Lane::ALL {
        let answer = client
            .call(&addr, lane, Bytes::from_static(b"four"), TEST_TIMEOUT)
            .await
            .unwrap();
        assert_eq!(answer, "four");
    }
    assert_eq!(client.connections(), 4);
    let connections = connections.lock();
    for (index, connection) in connections.iter().enumerate() {
        let others = &connections[index + 1..];
        assert!(!others.iter().any(|other| Arc::ptr_eq(other, connection)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_concurrent_calls_get_each_its_own_answer_over_one_connection() {
    let (server, addr) = serve(echo()).await;
    let client = client();
    let calls = (0..1000u32).map(|i| {
        let (client, addr) = (&client, &addr);
        async move {
            let body = Bytes::from(i.to_string().repeat(50));
            assert_eq!(
                client
                    .call(addr, Lane::Request, body.clone(), TEST_TIMEOUT)
                    .await
                    .unwrap(),
                body
            );
        }
    });
    join_all(calls).await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn bodies_up_to_the_limit_pass_and_a_larger_one_is_not_sent() {
    let (_server, addr) = serve(echo()).await;
    let client = client();
    for length in [0, 1, 16 << 10, (16 << 10) + 1, 1 << 20, 16 << 20] {
        let body: Bytes = (0..length).map(|i: u32| i as u8).collect();
        let answer = client
            .call(&addr, Lane::Bulk, body.clone(), TEST_TIMEOUT)
            .await
            .unwrap();
        assert_eq!(answer.len(), body.len());
        assert!(answer == body, "a body of {length} bytes came back changed");
    }
    let body = Bytes::from(vec![0; (16 << 20) + 1]);
    let error = client
        .call(&addr, Lane::Bulk, body, TEST_TIMEOUT)
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge);
    assert!(
        error.message().contains("16777217") && error.message().contains("16777216"),
        "{error}"
    );
}

#[tokio::test]
async fn a_body_over_the_servers_limit_ends_that_connection_and_no_other() {
    let small = NetLimits {
        max_body: 1000,
        ..NetLimits::default()
    };
    let (_server, addr) = serve_at("127.0.0.1:0", echo(), small).await;
    let client = client();
    let request = |length| Bytes::from(vec![1; length]);
    client
        .call(&addr, Lane::Control, request(1000), TEST_TIMEOUT)
        .await
        .unwrap();
    let error = client
        .call(&addr, Lane::Request, request(1001), TEST_TIMEOUT)
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unreachable);
    client
        .call(&addr, Lane::Control, request(1), TEST_TIMEOUT)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_answer_over_the_limit_is_an_error_of_that_call_only() {
    let small = NetLimits {
        max_body: 1000,
        ..NetLimits::default()
    };
    let answer = handler(|request, _| async move { Bytes::from(vec![0; 500 * request.len()]) });
    let (server, addr) = serve_at("127.0.0.1:0", answer, small).await;
    let client = client();
    let error = client
        .call(&addr, Lane::Request, Bytes::from_static(b"abc"), TEST_TIMEOUT)
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge);
    client
        .call(&addr, Lane::Request, Bytes::from_static(b"ab"), TEST_TIMEOUT)
        .await
        .unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_call_and_nothing_else() {
    let (server, addr) = serve(handler(|request, _| async move {
        assert!(request != "panic", "on request");
        request
    }))
    .await;
    let client = client();
    for lane in [Lane::Log, Lane::Request] {
        let error = client
            .call(&addr, lane, Bytes::from_static(b"panic"), TEST_TIMEOUT)
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::Internal);
        client
            .call(&addr, lane, Bytes::from_static(b"fine"), TEST_TIMEOUT)
            .await
            .unwrap();
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_handler_that_hangs_delays_neither_other_lanes_nor_other_requests_of_its_own() {
    let release = Arc::new(Notify::new());
    let held = release.clone();
    let (_server, addr) = serve(handler(move |request, _| {
        let held = held.clone();
        async move {
            if request == "hang" {
                held.notified().await;
            }
            request
        }
    }))
    .await;
    let client = Arc::new(client());
    let (slow, to) = (client.clone(), addr.clone());
    let hanging = tokio::spawn(async move {
        slow.call(&to, Lane::Request, Bytes::from_static(b"hang"), TEST_TIMEOUT)
            .await
    });
    for lane in [Lane::Control, Lane::Log, Lane::Bulk, Lane::Request] {
        client
            .call(&addr, lane, Bytes::from_static(b"pass"), TEST_TIMEOUT)
            .await
            .unwrap();
    }
    assert!(!hanging.is_finished());
    release.notify_one();
    assert_eq!(hanging.await.unwrap().unwrap(), "hang");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_lane_begins_requests_in_order_and_handles_them_together() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, all) = (seen.clone(), Arc::new(tokio::sync::Barrier::new(200)));
    let (_server, addr) = serve(handler(move |request, _| {
        let (log, all) = (log.clone(), all.clone());
        async move {
            log.lock().push(request[0]);
            if request[0] > 0 {
                // Answered only when all have begun.
                all.wait().await;
            }
            request
        }
    }))
    .await;
    let client = client();
    // The first makes the connection; from then on the order of polling is the order of sending.
    client
        .call(&addr, Lane::Log, Bytes::from_static(&[0]), TEST_TIMEOUT)
        .await
        .unwrap();
    let calls = (1..=200u8).map(|i| client.call(&addr, Lane::Log, Bytes::from(vec![i]), TEST_TIMEOUT));
    for (i, answer) in (1..).zip(join_all(calls).await) {
        assert_eq!(answer.unwrap(), vec![i]);
    }
    assert_eq!(*seen.lock(), (0..=200).collect::<Vec<u8>>());
}

#[tokio::test]
async fn a_call_without_an_answer_times_out_and_its_late_answer_is_dropped() {
    let gate = Arc::new(Semaphore::new(0));
    let closed = gate.clone();
    let (_server, addr) = serve(handler(move |request, _| {
        let closed = closed.clone();
        async move {
            let _ = closed.acquire().await;
            request
        }
    }))
    .await;
    let client = client();
    let short = Duration::from_millis(30);
    let error = client
        .call(&addr, Lane::Control, Bytes::from_static(b"late"), short)
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(error.message().contains(&addr), "{error}");
    gate.add_permits(10);
    let answer = client
        .call(&addr, Lane::Control, Bytes::from_static(b"next"), TEST_TIMEOUT)
        .await
        .unwrap();
    assert_eq!(answer, "next");
    assert_eq!(client.connections(), 1, "a timeout costs no connection");
}

#[tokio::test]
async fn a_dropped_call_leaves_the_connection_usable() {
    let (began, mut begun) = mpsc::unbounded_channel();
    let (_server, addr) = serve(handler(move |request, _| {
        let began = began.clone();
        async move {
            if request == "forget" {
                began.send(()).unwrap();
                tokio::task::yield_now().await;
            }
            request
        }
    }))
    .await;
    let client = client();
    for _ in 0..50 {
        let call = client.call(&addr, Lane::Request, Bytes::from_static(b"forget"), TEST_TIMEOUT);
        tokio::select! {
            biased;
            _ = begun.recv() => {}
            answer = call => assert_eq!(answer.unwrap(), "forget"),
        }
        let answer = client
            .call(&addr, Lane::Request, Bytes::from_static(b"keep"), TEST_TIMEOUT)
            .await
            .unwrap();
        assert_eq!(answer, "keep");
    }
    assert_eq!(client.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_are_bounded_by_not_reading() {
    let limits = NetLimits {
        max_requests: 3,
        ..NetLimits::default()
    };
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (busy, peak) = (running.clone(), most.clone());
    let answer = handler(move |request, _| {
        let (busy, peak) = (busy.clone(), peak.clone());
        async move {
            peak.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            busy.fetch_sub(1, Ordering::SeqCst);
            request
        }
    });
    let (_server, addr) = serve_at("127.0.0.1:0", answer, limits).await;
    let client = client();
    let calls = (0..100u8).map(|i| client.call(&addr, Lane::Request, Bytes::from(vec![i]), TEST_TIMEOUT));
    let answers: BTreeSet<_> = join_all(calls)
        .await
        .into_iter()
        .map(|answer| answer.unwrap())
        .collect();
    assert_eq!(answers.len(), 100);
    let most = most.load(Ordering::SeqCst);
    assert!((1..=3).contains(&most), "{most} at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_flow_both_ways_through_small_queues() {
    let limits = NetLimits {
        max_queued: 64 << 10,
        ..NetLimits::default()
    };
    let (_server, addr) = serve_at("127.0.0.1:0", echo(), limits.clone()).await;
    let client = client_with(limits);
    let calls = (0..40u8).map(|i| {
        let body = Bytes::from(vec![i; 300 << 10]);
        let call = client.call(&addr, Lane::Bulk, body.clone(), TEST_TIMEOUT);
        async move { assert!(call.await.unwrap() == body) }
    });
    join_all(calls).await;
}
