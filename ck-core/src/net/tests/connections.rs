use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use super::*;
use crate::error::ErrorCode;
use crate::net::frame::{FrameKind, FrameReader, plain_frame};
use crate::net::frame_check::FrameCheck;
use crate::net::outgoing_connection::{OutgoingConnection, ReadyStream};

const REQUEST: Bytes = Bytes::from_static(b"ask");

/// A handler that answers nothing before its gate opens.
fn gated() -> (Arc<Semaphore>, Handler) {
    let gate = Arc::new(Semaphore::new(0));
    let closed = gate.clone();
    let answer = handler(move |request, _| {
        let closed = closed.clone();
        async move {
            let _ = closed.acquire().await;
            request
        }
    });
    (gate, answer)
}

#[tokio::test]
async fn a_peer_that_restarts_on_its_port_is_found_again() {
    let (mut server, addr) = serve(echo()).await;
    let client = client();
    for _ in 0..3 {
        client
            .call(&addr, Lane::Control, REQUEST, TEST_TIMEOUT)
            .await
            .unwrap();
        server.close(Duration::ZERO).await;
        let mut why = None;
        eventually("the peer is gone", async || {
            why = client
                .call(&addr, Lane::Control, REQUEST, TEST_TIMEOUT)
                .await
                .err();
            why.is_some()
        })
        .await;
        assert_eq!(why.unwrap().code(), ErrorCode::Unreachable);
        (server, _) = serve_at(&addr, echo(), NetLimits::default()).await;
        let since = Instant::now();
        eventually("the peer is back", async || {
            client
                .call(&addr, Lane::Control, REQUEST, TEST_TIMEOUT)
                .await
                .is_ok()
        })
        .await;
        let took = since.elapsed();
        assert!(took < Duration::from_secs(2), "found only after {took:?}");
    }
}

#[tokio::test]
async fn after_a_failed_dial_calls_fail_at_once_until_the_backoff_is_over() {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let an_hour = Duration::from_secs(3600);
    let patient = client_with(NetLimits {
        min_backoff: an_hour,
        max_backoff: an_hour,
        ..NetLimits::default()
    });
    let hasty = client();
    let first = patient
        .call(&addr, Lane::Control, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap_err();
    assert_eq!(first.code(), ErrorCode::Unreachable);
    hasty
        .call(&addr, Lane::Control, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap_err();

    let (_server, _) = serve_at(&addr, echo(), NetLimits::default()).await;
    assert_eq!(
        patient
            .call(&addr, Lane::Control, REQUEST, TEST_TIMEOUT)
            .await
            .unwrap_err(),
        first
    );
    // Another lane has a connection and a backoff of its own.
    patient
        .call(&addr, Lane::Log, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap();
    eventually("the short backoff is over", async || {
        hasty
            .call(&addr, Lane::Control, REQUEST, TEST_TIMEOUT)
            .await
            .is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_lost_connection_fails_every_call_in_flight_at_once() {
    let (_gate, answer) = gated();
    let (server, addr) = serve(answer).await;
    let client = client();
    let calls = (0..20).map(|_| client.call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT));
    let (results, ()) = futures_util::future::join(join_all(calls), async {
        eventually("connected", async || server.connections() == 1).await;
        server.close(Duration::ZERO).await;
    })
    .await;
    for result in results {
        assert_eq!(result.unwrap_err().code(), ErrorCode::Unreachable);
    }
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_refused_until_another_ends() {
    let limits = NetLimits {
        max_connections: 2,
        ..NetLimits::default()
    };
    let (server, addr) = serve_at("127.0.0.1:0", echo_to_members(), limits).await;
    let (first, second, third) = (client(), client(), client());
    first
        .call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap();
    second
        .call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap();
    let error = third
        .call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Busy);
    assert!(error.message().contains('2'), "{error}");
    assert_eq!(server.connections(), 2);
    first.close();
    eventually("there is room", async || {
        third
            .call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
            .await
            .is_ok()
    })
    .await;
    second
        .call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap();
}

#[tokio::test]
async fn closing_with_grace_answers_requests_in_flight() {
    for lane in Lane::ALL {
        let (gate, began) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (closed, started) = (gate.clone(), began.clone());
        let answer = handler(move |request, _| {
            let (closed, started) = (closed.clone(), started.clone());
            async move {
                started.fetch_add(1, Ordering::SeqCst);
                let _ = closed.acquire().await;
                request
            }
        });
        let (server, addr) = serve(answer).await;
        let client = Arc::new(client());
        // Large answers, so that they are still being written when the handler has returned.
        let bodies = (0..10u8).map(|i| Bytes::from(vec![i; 1 << 20]));
        let calls: Vec<_> = bodies
            .map(|body| {
                let (client, addr) = (client.clone(), addr.clone());
                tokio::spawn(
                    async move { (client.call(&addr, lane, body.clone(), TEST_TIMEOUT).await, body) },
                )
            })
            .collect();
        let at_once = calls.len();
        eventually("they are under way", async || {
            began.load(Ordering::SeqCst) == at_once
        })
        .await;
        let closing = server.clone();
        let closing = tokio::spawn(async move { closing.close(TEST_TIMEOUT).await });
        eventually("the port is closed", async || {
            TcpStream::connect(&addr).await.is_err()
        })
        .await;
        gate.add_permits(1);
        closing.await.unwrap();
        assert_eq!(server.connections(), 0);
        let mut answered = 0;
        for call in calls {
            match call.await.unwrap() {
                (Ok(answer), body) => {
                    assert!(answer == body);
                    answered += 1;
                }
                (Err(error), _) => assert_eq!(error.code(), ErrorCode::Unreachable, "{error}"),
            }
        }
        assert!(answered >= at_once, "{lane:?}: {answered} answers");
        let error = client.call(&addr, lane, REQUEST, TEST_TIMEOUT).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unreachable);
    }
}

#[tokio::test]
async fn a_closed_transport_fails_calls_with_stopped() {
    let (_gate, answer) = gated();
    let (server, addr) = serve(answer).await;
    let client = client();
    let call = client.call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT);
    let (result, ()) = futures_util::future::join(call, async {
        eventually("connected", async || client.connections() == 1).await;
        client.close();
    })
    .await;
    assert_eq!(result.unwrap_err().code(), ErrorCode::Stopped);
    assert_eq!(
        client
            .call(&addr, Lane::Log, REQUEST, TEST_TIMEOUT)
            .await
            .unwrap_err()
            .code(),
        ErrorCode::Stopped
    );
    eventually("the server sees it", async || server.connections() == 0).await;
}

#[tokio::test]
async fn idle_connections_are_closed_by_either_end() {
    let short = NetLimits {
        idle_timeout: Duration::from_millis(30),
        max_silence: Duration::from_millis(40),
        ..NetLimits::default()
    };
    let (server, addr) = serve(echo()).await;
    let tidy = client_with(short.clone());
    tidy.call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap();
    eventually("the client closes", async || tidy.connections() == 0).await;
    eventually("the server sees it", async || server.connections() == 0).await;
    tidy.call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap();

    let (server, addr) = serve_at("127.0.0.1:0", echo(), short).await;
    let lazy = client();
    lazy.call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap();
    eventually("the server closes", async || server.connections() == 0).await;
    eventually("the client sees it", async || lazy.connections() == 0).await;
    lazy.call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_silent_peer_is_given_up_long_before_the_timeout_of_the_call() {
    let limits = NetLimits {
        max_silence: Duration::from_millis(60),
        ..NetLimits::default()
    };
    // The far end accepts every byte and sends none, like a kernel whose process or network is gone.
    let (near, mut far) = tokio::io::duplex(1 << 20);
    let connection = OutgoingConnection::start(ReadyStream::plain(Box::new(near)), Lane::Control, &limits);
    let heartbeats = (0..5).map(|_| connection.call(REQUEST, || {}));
    for result in join_all(heartbeats).await {
        let error = result.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unreachable);
        assert!(error.message().contains("has been silent for"), "{error}");
    }
    assert!(!connection.is_open());
    let mut sent = Vec::new();
    far.read_to_end(&mut sent).await.unwrap();
    let ping = plain_frame(FrameKind::Ping, 0, b"");
    assert!(
        sent.windows(ping.len()).any(|bytes| bytes == ping),
        "no ping was sent"
    );
}

#[tokio::test]
async fn a_peer_that_is_slow_but_alive_is_waited_for() {
    let limits = NetLimits {
        // Long enough that a busy machine does not look like a dead peer.
        max_silence: Duration::from_millis(400),
        ..NetLimits::default()
    };
    for lane in Lane::ALL {
        let slow = handler(|request, _| async move {
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            request
        });
        let (_server, addr) = serve(slow).await;
        let client = client_with(limits.clone());
        assert_eq!(
            client.call(&addr, lane, REQUEST, TEST_TIMEOUT).await.unwrap(),
            REQUEST
        );
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_is_removed() {
    let (near, far) = tokio::io::duplex(1 << 20);
    let connection = OutgoingConnection::start(
        ReadyStream::plain(Box::new(near)),
        Lane::Control,
        &NetLimits::default(),
    );
    let mut far = FrameReader::new(far, FrameCheck::Checksum, 1000);
    {
        let call = connection.call(REQUEST, || {});
        tokio::select! {
            biased;
            _ = call => panic!("nobody answers"),
            frame = far.next() => assert_eq!(frame.unwrap().unwrap().body, REQUEST),
        }
        assert_eq!(connection.in_flight(), 0);
    }
    assert!(connection.is_open());
}

#[tokio::test]
async fn a_caller_that_reads_no_answers_is_not_read() {
    let limits = NetLimits {
        max_queued: 64 << 10,
        max_body: 32 << 10,
        ..NetLimits::default()
    };
    let (server, addr) = serve_at("127.0.0.1:0", echo(), limits).await;
    let mut greedy = raw_peer(&addr, "request").await;
    let body = vec![0; 32 << 10];
    let request = plain_frame(FrameKind::Request, 1, &body);
    // Far more than all buffers between here and the handler hold: at some point no more is taken.
    let writing = async {
        for _ in 0..4096 {
            greedy.write_all(&request).await.unwrap();
        }
    };
    let stuck = tokio::time::timeout(Duration::from_millis(500), writing).await;
    assert!(
        stuck.is_err(),
        "128 MiB of requests were read, and their answers queued"
    );
    // Other connections are still served.
    let modest = client();
    assert_eq!(
        modest
            .call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
            .await
            .unwrap(),
        REQUEST
    );
    drop(greedy);
    eventually("the greedy connection is gone", async || {
        server.connections() == 1
    })
    .await;
}
