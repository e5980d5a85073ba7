//! Strangers: many connections, long frames that never end, answers that nobody reads. Members get through.

use tokio::sync::watch;

use super::*;
use crate::error::ErrorCode;
use crate::net::budget::{Budget, SHORT};
use crate::net::frame::{HEADER_LEN, Kind, header};
use crate::net::serve::{Stage, serve as serve_stream};

/// Takes "member" for the call of a member.
fn gate() -> Handler {
    handler(|request, info: PeerInfo| async move {
        if request.starts_with(b"member") {
            info.connection.prove();
        }
        request
    })
}

/// One end of a connection that is served; the other end is in this test, and nothing of it is in a kernel.
fn connect(limits: &NetLimits, budget: &Budget, stage: &watch::Sender<Stage>) -> tokio::io::DuplexStream {
    let (near, far) = tokio::io::duplex(1 << 10);
    let (limits, budget, stage) = (limits.clone(), budget.clone(), stage.subscribe());
    let info = PeerInfo {
        remote: "a test".to_owned(),
        lane: Lane::Bulk,
        connection: Arc::default(),
    };
    tokio::spawn(async move {
        let never = std::future::pending();
        serve_stream(Box::new(far), info, gate(), &limits, &budget, stage, never).await;
    });
    near
}

/// Writes until nothing more is taken for a while in which everybody has had a turn; gives how much was.
async fn stuff(stream: &mut tokio::io::DuplexStream, bytes: &[u8]) -> usize {
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
    [&header(Kind::Request, 1, body)[..], body].concat()
}

async fn answer(stream: &mut tokio::io::DuplexStream, length: usize) -> Vec<u8> {
    let mut answer = vec![0; HEADER_LEN + length];
    stream.read_exact(&mut answer).await.unwrap();
    answer.split_off(HEADER_LEN)
}

#[tokio::test]
async fn frames_of_strangers_share_one_small_budget_and_members_get_through() {
    let limits = NetLimits {
        max_buffered_unproven: 512 << 10,
        ..NetLimits::default()
    };
    let (budget, stage) = (Budget::new(&limits), watch::Sender::new(Stage::Serving));
    let long = frame(&vec![7; 300 << 10]);
    let mut held = Vec::new();
    let mut taken = 0;
    for _ in 0..20 {
        let mut stream = connect(&limits, &budget, &stage);
        // Never the last byte.
        taken += stuff(&mut stream, &long[..long.len() - 1]).await;
        held.push(stream);
    }
    let each = SHORT as usize + (1 << 10);
    let most = limits.max_buffered_unproven as usize + held.len() * each;
    assert!(taken <= most, "{taken} bytes were taken, {most} are allowed");
    assert!(
        taken > limits.max_buffered_unproven as usize / 2,
        "{taken}: somebody is served"
    );

    let mut member = connect(&limits, &budget, &stage);
    member.write_all(&frame(b"member")).await.unwrap();
    assert_eq!(answer(&mut member, 6).await, b"member");
    let (mut reading, mut writing) = tokio::io::split(member);
    let long = frame(&vec![7; 2 << 20]);
    let writing = tokio::spawn(async move { writing.write_all(&long).await });
    let mut head = [0; HEADER_LEN];
    reading.read_exact(&mut head).await.unwrap();
    let mut body = vec![0; 2 << 20];
    reading.read_exact(&mut body).await.unwrap();
    writing.await.unwrap().unwrap();

    // When they are gone nothing of what they took is left.
    drop(held);
    eventually("the budget is whole again", async || {
        budget.left()
            == [
                limits.max_buffered as usize,
                limits.max_buffered_unproven as usize,
            ]
    })
    .await;
}

#[tokio::test]
async fn a_frame_that_does_not_end_ends_its_connection() {
    let limits = NetLimits {
        frame_deadline: Duration::from_millis(20),
        ..NetLimits::default()
    };
    let (budget, stage) = (Budget::new(&limits), watch::Sender::new(Stage::Serving));
    let whole = frame(&[7; 2000]);
    for part in [1, HEADER_LEN - 1, HEADER_LEN, HEADER_LEN + 1000] {
        let mut stream = connect(&limits, &budget, &stage);
        stream.write_all(&whole[..part]).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "after {part} bytes");
    }
    // Between frames there is as much time as one likes.
    let mut stream = connect(&limits, &budget, &stage);
    for _ in 0..3 {
        stream.write_all(&whole).await.unwrap();
        assert_eq!(answer(&mut stream, 2000).await, [7; 2000]);
        tokio::time::sleep(limits.frame_deadline * 2).await;
    }
}

/// Who asks and does not read the answers is read no further: 160 of them could have made a node keep gigabytes.
#[tokio::test]
async fn answers_that_nobody_reads_are_few() {
    let limits = NetLimits {
        max_answers: 64 << 10,
        ..NetLimits::default()
    };
    let (budget, stage) = (Budget::new(&limits), watch::Sender::new(Stage::Serving));
    let mut stream = connect(&limits, &budget, &stage);
    let many = frame(&[7; 1000]).repeat(40_000);
    let taken = stuff(&mut stream, &many).await;
    // The answers, as many requests as may be under way, and what is read ahead.
    let most = (64 << 10) + 1024 * 1100 + (128 << 10);
    assert!(taken < most, "{taken}");
}

/// A call that takes its time, and many of them at once.
#[tokio::test]
async fn a_stranger_has_few_calls_under_way_and_a_member_as_many_as_it_likes() {
    let running = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let under_way = running.clone();
    let slow = handler(move |request, info: PeerInfo| {
        let under_way = under_way.clone();
        async move {
            if request.starts_with(b"member") {
                info.connection.prove();
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
            tokio::spawn(async move { client.call(&addr, Lane::Request, "slow".into(), LONG).await });
        }
    };
    let member = Arc::new(client());
    member
        .call(&addr, Lane::Request, "member".into(), LONG)
        .await
        .unwrap();
    calls(member);
    eventually("a member's calls run", async || count() == 20).await;
    calls(Arc::new(client()));
    eventually("a stranger's begin", async || count() == 24).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(count(), 24);
}

#[tokio::test]
async fn idle_strangers_make_room_and_members_stay() {
    let limits = NetLimits {
        max_unproven: 4,
        max_connections: 8,
        ..NetLimits::default()
    };
    let (server, addr) = serve_at("127.0.0.1:0", gate(), limits).await;
    let member = client();
    let asked = |text: &'static [u8]| member.call(&addr, Lane::Control, text.into(), LONG);
    asked(b"member").await.unwrap();
    let mut strangers = Vec::new();
    for _ in 0..40 {
        strangers.push(raw_peer(&addr, "bulk").await);
    }
    // One that was there before has its connection, and one that comes now gets one.
    asked(b"again").await.unwrap();
    let another = client();
    another
        .call(&addr, Lane::Log, "member".into(), LONG)
        .await
        .unwrap();
    for stranger in &mut strangers[..30] {
        read_to_close(stranger).await;
    }
    asked(b"and again").await.unwrap();
    eventually("few are left", async || server.connections() <= 6).await;
    drop(strangers);
}

#[tokio::test]
async fn a_stranger_that_asks_for_nothing_is_told_to_go() {
    let limits = NetLimits {
        unproven_timeout: Duration::from_millis(50),
        ..NetLimits::default()
    };
    let (_server, addr) = serve_at("127.0.0.1:0", gate(), limits).await;
    let mut stranger = raw_peer(&addr, "bulk").await;
    read_to_close(&mut stranger).await;
    // A client notices, and dials again.
    let client = client();
    client
        .call(&addr, Lane::Control, "hello".into(), LONG)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    client
        .call(&addr, Lane::Control, "hello".into(), LONG)
        .await
        .unwrap();
    let refused = client
        .call("127.0.0.1:1", Lane::Control, "hello".into(), LONG)
        .await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::Unreachable);
}

/// Connections that never finish their handshake do not keep the listener from accepting.
#[tokio::test]
async fn strangers_in_their_handshake_make_room() {
    let (_server, addr) = serve(gate()).await;
    let mut strangers = Vec::new();
    for _ in 0..300 {
        strangers.push(TcpStream::connect(&addr).await.unwrap());
    }
    let quick = client().call(&addr, Lane::Control, "member".into(), LONG).await;
    quick.unwrap();
    // The first had to go before its time was over.
    read_to_close(&mut strangers[0]).await;
}
