//! Unproven connections: many of them, long frames that never end, answers that are not read. Members are still served.

use tokio::sync::watch;

use super::*;
use crate::error::ErrorCode;
use crate::net::byte_budget::{ByteBudget, MAX_UNCOUNTED_BODY};
use crate::net::frame::{FrameKind, plain_frame};
use crate::net::frame_check::FrameCheck;
use crate::net::incoming_connection::{IncomingConnection, ServerStage};

/// Marks a connection as proven when it carries a request that begins with "member".
fn prove_on_member_call() -> Handler {
    handler(|request, connection: Arc<PeerConnection>| async move {
        if request.starts_with(b"member") {
            connection.mark_proven();
        }
        request
    })
}

/// The client end of a served connection that exists in memory only, without buffers of a kernel.
fn connect(
    limits: &NetLimits,
    budget: &ByteBudget,
    stage: &watch::Sender<ServerStage>,
) -> tokio::io::DuplexStream {
    let (near, far) = tokio::io::duplex(1 << 10);
    let (limits, budget, stage) = (limits.clone(), budget.clone(), stage.subscribe());
    let incoming = IncomingConnection {
        stream: Box::new(far),
        reading: FrameCheck::Checksum,
        writing: FrameCheck::Checksum,
        lane: Lane::Bulk,
        connection: Arc::default(),
        handler: prove_on_member_call(),
    };
    tokio::spawn(async move {
        let never_evicted = std::future::pending();
        incoming.serve(&limits, &budget, stage, never_evicted).await;
    });
    near
}

/// Writes until the other end accepts nothing more although every task has run; returns how much was accepted.
async fn write_until_blocked(stream: &mut tokio::io::DuplexStream, bytes: &[u8]) -> usize {
    let mut taken = 0;
    let mut idle = 0;
    while taken < bytes.len() && idle < 1000 {
        match stream.write(&bytes[taken..]).now_or_never() {
            Some(Ok(count)) => {
                taken += count;
                idle = 0;
            }
            Some(Err(_)) => break,
            None => {
                idle += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    taken
}

fn frame(body: &[u8]) -> Vec<u8> {
    plain_frame(FrameKind::Request, 1, body)
}

async fn answer(stream: &mut tokio::io::DuplexStream, length: usize) -> Vec<u8> {
    let mut answer = vec![0; PLAIN_HEADER_LEN + length];
    stream.read_exact(&mut answer).await.unwrap();
    answer.split_off(PLAIN_HEADER_LEN)
}

#[tokio::test]
async fn frames_of_unproven_connections_share_one_small_budget_and_members_are_served() {
    let limits = NetLimits {
        max_buffered_unproven: 512 << 10,
        ..NetLimits::default()
    };
    let (budget, stage) = (ByteBudget::new(&limits), watch::Sender::new(ServerStage::Serving));
    let long = frame(&vec![7; 300 << 10]);
    let mut held = Vec::new();
    let mut taken = 0;
    for _ in 0..20 {
        let mut stream = connect(&limits, &budget, &stage);
        // Never the last byte.
        taken += write_until_blocked(&mut stream, &long[..long.len() - 1]).await;
        held.push(stream);
    }
    let each = MAX_UNCOUNTED_BODY as usize + (1 << 10);
    let most = limits.max_buffered_unproven as usize + held.len() * each;
    assert!(taken <= most, "{taken} bytes were taken, {most} are allowed");
    assert!(
        taken > limits.max_buffered_unproven as usize / 2,
        "{taken}: the budget is used"
    );

    let mut member = connect(&limits, &budget, &stage);
    member.write_all(&frame(b"member")).await.unwrap();
    assert_eq!(answer(&mut member, 6).await, b"member");
    let (mut reading, mut writing) = tokio::io::split(member);
    let long = frame(&vec![7; 2 << 20]);
    let writing = tokio::spawn(async move { writing.write_all(&long).await });
    let mut head = [0; PLAIN_HEADER_LEN];
    reading.read_exact(&mut head).await.unwrap();
    let mut body = vec![0; 2 << 20];
    reading.read_exact(&mut body).await.unwrap();
    writing.await.unwrap().unwrap();

    // Connections that end give back their part of the budget.
    drop(held);
    eventually("the budget is whole again", async || {
        budget.available()
            == [
                limits.max_buffered as usize,
                limits.max_buffered_unproven as usize,
            ]
    })
    .await;
}

#[tokio::test]
async fn a_frame_that_does_not_end_in_time_closes_its_connection() {
    let limits = NetLimits {
        frame_deadline: Duration::from_millis(20),
        ..NetLimits::default()
    };
    let (budget, stage) = (ByteBudget::new(&limits), watch::Sender::new(ServerStage::Serving));
    let whole = frame(&[7; 2000]);
    for part in [1, PLAIN_HEADER_LEN - 1, PLAIN_HEADER_LEN, PLAIN_HEADER_LEN + 1000] {
        let mut stream = connect(&limits, &budget, &stage);
        stream.write_all(&whole[..part]).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "after {part} bytes");
    }
    // There is no deadline between two frames.
    let mut stream = connect(&limits, &budget, &stage);
    for _ in 0..3 {
        stream.write_all(&whole).await.unwrap();
        assert_eq!(answer(&mut stream, 2000).await, [7; 2000]);
        tokio::time::sleep(limits.frame_deadline * 2).await;
    }
}

/// A caller that does not read its answers is not read either. Without that, 160 connections made a node keep gigabytes.
#[tokio::test]
async fn a_caller_that_reads_no_answers_is_not_read() {
    let limits = NetLimits {
        max_answers: 64 << 10,
        ..NetLimits::default()
    };
    let (budget, stage) = (ByteBudget::new(&limits), watch::Sender::new(ServerStage::Serving));
    let mut stream = connect(&limits, &budget, &stage);
    let many = frame(&[7; 1000]).repeat(40_000);
    let taken = write_until_blocked(&mut stream, &many).await;
    // The answers, the requests that may be in flight, and what is read ahead.
    let most = (64 << 10) + 1024 * 1100 + (128 << 10);
    assert!(taken < most, "{taken}");
}

/// Many calls at once that take long.
#[tokio::test]
async fn an_unproven_connection_has_few_calls_in_flight_and_a_proven_one_many() {
    let running = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let under_way = running.clone();
    let slow = handler(move |request, connection: Arc<PeerConnection>| {
        let under_way = under_way.clone();
        async move {
            if request.starts_with(b"member") {
                connection.mark_proven();
                return request;
            }
            under_way.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            std::future::pending().await
        }
    });
    let (_server, addr) = serve_at("127.0.0.1:0", slow, NetLimits::default()).await;
    let count = || running.load(std::sync::atomic::Ordering::SeqCst);
    let calls = |client: Arc<TcpTransport>| {
        for _ in 0..20 {
            let (client, addr) = (client.clone(), addr.clone());
            tokio::spawn(async move {
                client
                    .call(&addr, Lane::Request, "slow".into(), TEST_TIMEOUT)
                    .await
            });
        }
    };
    let member = Arc::new(client());
    member
        .call(&addr, Lane::Request, "member".into(), TEST_TIMEOUT)
        .await
        .unwrap();
    calls(member);
    eventually("a member's calls run", async || count() == 20).await;
    calls(Arc::new(client()));
    eventually("calls of an unproven connection run", async || count() == 24).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(count(), 24);
}

#[tokio::test]
async fn idle_unproven_connections_are_evicted_and_proven_ones_are_kept() {
    let limits = NetLimits {
        max_unproven: 4,
        max_connections: 8,
        ..NetLimits::default()
    };
    let (server, addr) = serve_at("127.0.0.1:0", prove_on_member_call(), limits).await;
    let member = client();
    let asked = |text: &'static [u8]| member.call(&addr, Lane::Control, text.into(), TEST_TIMEOUT);
    asked(b"member").await.unwrap();
    let mut unproven_streams = Vec::new();
    for _ in 0..40 {
        unproven_streams.push(raw_peer(&addr, "bulk").await);
    }
    // The old member keeps its connection, and a new member gets one.
    asked(b"again").await.unwrap();
    let another = client();
    another
        .call(&addr, Lane::Log, "member".into(), TEST_TIMEOUT)
        .await
        .unwrap();
    for stream in &mut unproven_streams[..30] {
        read_to_close(stream).await;
    }
    asked(b"and again").await.unwrap();
    eventually("few are left", async || server.connections() <= 6).await;
    drop(unproven_streams);
}

#[tokio::test]
async fn an_unproven_connection_without_a_request_is_closed() {
    let limits = NetLimits {
        unproven_timeout: Duration::from_millis(50),
        ..NetLimits::default()
    };
    let (_server, addr) = serve_at("127.0.0.1:0", prove_on_member_call(), limits).await;
    let mut unproven = raw_peer(&addr, "bulk").await;
    read_to_close(&mut unproven).await;
    // A client detects that, and dials again.
    let client = client();
    client
        .call(&addr, Lane::Control, "hello".into(), TEST_TIMEOUT)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    client
        .call(&addr, Lane::Control, "hello".into(), TEST_TIMEOUT)
        .await
        .unwrap();
    let refused = client
        .call("127.0.0.1:1", Lane::Control, "hello".into(), TEST_TIMEOUT)
        .await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::Unreachable);
}

/// Connections that never complete their handshake do not stop the listener from accepting others.
#[tokio::test]
async fn connections_in_their_handshake_are_evicted() {
    let (_server, addr) = serve(prove_on_member_call()).await;
    let mut unproven_streams = Vec::new();
    for _ in 0..300 {
        unproven_streams.push(TcpStream::connect(&addr).await.unwrap());
    }
    let quick = client()
        .call(&addr, Lane::Control, "member".into(), TEST_TIMEOUT)
        .await;
    quick.unwrap();
    // The first was evicted before its handshake timed out.
    read_to_close(&mut unproven_streams[0]).await;
}
