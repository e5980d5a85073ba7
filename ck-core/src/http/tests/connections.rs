//! Connections: limits, deadlines, upgrades and their end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::pending;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fake_node::FakeNode;
use super::{Client, HttpLimits, Server, TEST_TIMEOUT, read_to_end};

#[tokio::test]
async fn a_client_that_sends_its_head_slowly_is_cut_off() {
    let server = Server::with_limits(|limits| limits.header_deadline = Duration::from_millis(50)).await;
    // A head that never ends, and a connection that sends nothing.
    for start in ["GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ", ""] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut stream).await;
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    let server = Server::with_limits(|limits| {
        limits.write_deadline = Duration::from_millis(50);
        limits.max_connections = 1;
        limits.reserved_connections = 0;
    })
    .await;
    let value = "v".repeat(1024 * 1024);
    server.send("PUT", "/data/k", &[], &value).await;
    drop(server.client);
    let mut reader = loop {
        // The client's connection counts until the server has noticed its end.
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let asked = stream
            .write_all("GET /data/k HTTP/1.1\r\nHost: x\r\n\r\n".repeat(64).as_bytes())
            .await;
        let mut first = [0; 1];
        if asked.is_ok() && matches!(stream.read(&mut first).await, Ok(1)) {
            break stream;
        }
    };
    // The client reads no more, so 64 MiB cannot be sent. The only place becomes free when the server gives the
    // connection up.
    tokio::time::timeout(TEST_TIMEOUT, async {
        loop {
            if Client::new(server.addr).is_served().await {
                break;
            }
        }
    })
    .await
    .expect("the stalled connection is given up");
    let mut rest = Vec::new();
    let _ = reader.read_to_end(&mut rest).await;
    assert!(rest.len() < 64 * value.len());
}

/// A stand-in for the peers' routes: `/peer` takes the connection over and echoes.
fn peers() -> Router {
    async fn upgrade(request: Request) -> Response {
        let upgrade = hyper::upgrade::on(request);
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        let switch = [
            (header::CONNECTION, HeaderValue::from_static("upgrade")),
            (header::UPGRADE, HeaderValue::from_static("clusterkit-peer")),
        ];
        (StatusCode::SWITCHING_PROTOCOLS, switch).into_response()
    }
    /// An answer that never ends.
    async fn hold() -> Body {
        Body::from_stream(pending::<Result<Bytes, Infallible>>().into_stream())
    }
    Router::new()
        .route("/peer", get(upgrade))
        .route("/hold", get(hold))
}

async fn upgraded(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let request = b"GET /peer HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: clusterkit-peer\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream
}

async fn echoes(stream: &mut TcpStream) {
    stream.write_all(b"ping").await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ping");
}

#[tokio::test]
async fn a_full_node_serves_its_peers_and_answers_others_with_busy() {
    let limits = HttpLimits {
        max_connections: 2,
        reserved_connections: 2,
        ..HttpLimits::default()
    };
    let server = Server::with(FakeNode::new(), limits, Some(peers())).await;
    let busy = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    // An answer without an end: its connection cannot be evicted.
    let hold = b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut places = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(hold).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'H', "it has its place");
        places.push(stream);
    }
    let third = server.raw(busy.as_bytes()).await;
    assert!(third.starts_with("HTTP/1.1 503 "), "{third}");
    assert!(
        third.contains("BUSY") && third.contains("connection: close"),
        "{third}"
    );
    echoes(&mut upgraded(&server).await).await;

    // The reserve is bounded too: two connections fill it, and the next is closed without an answer.
    let mut reserve = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(hold).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'H', "it is served");
        reserve.push(stream);
    }
    assert_eq!(server.raw(busy.as_bytes()).await, "");
    drop((places, reserve));
    // Places become free when their connections close.
    let after = tokio::time::timeout(TEST_TIMEOUT, async { while !server.client.is_served().await {} });
    after.await.expect("places become free");
}

/// Client requests, whatever they are and however many, run on other threads than communication between members.
#[test]
fn clients_and_peers_have_threads_of_their_own() {
    let runtime = |name| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name(name).enable_all();
        builder.build().unwrap()
    };
    let (members, clients) = (runtime("members"), runtime("clients"));
    let handle = clients.handle().clone();
    members.block_on(async {
        tokio::spawn(async {
            let here = async || std::thread::current().name().unwrap_or_default().to_owned();
            let extra = Router::new().route("/peer", get(here)).route("/who", get(here));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let limits = HttpLimits::default();
            let router = crate::http::router(
                FakeNode::new(),
                limits.clone(),
                Arc::default(),
                Arc::default(),
                Some(extra),
            );
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let serving = crate::http::serve(
                listener,
                router,
                limits,
                crate::net::Security::none(),
                Some(handle),
                async {
                    drop(stopped.await);
                },
            );
            let serving = tokio::spawn(serving);
            let ask = async |pieces: &[&str]| {
                let mut stream = TcpStream::connect(addr).await.unwrap();
                for piece in pieces {
                    stream.write_all(piece.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                }
                let answer = read_to_end(&mut stream).await;
                answer.rsplit("\r\n").next().unwrap_or_default().to_owned()
            };
            let rest = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            assert_eq!(ask(&[&format!("GET /peer {rest}")]).await, "members");
            assert_eq!(ask(&[&format!("GET /who {rest}")]).await, "clients");
            assert_eq!(ask(&["G", "ET ", "/who ", rest]).await, "clients");
            drop(stop);
            serving.await.unwrap();
        })
        .await
        .unwrap();
    });
    clients.shutdown_background();
}

/// A thousand connections without a request kept members out for as long as a client held them.
#[tokio::test]
async fn connections_without_a_request_are_evicted_for_new_ones() {
    let server = Server::with_limits(|limits| {
        limits.max_connections = 8;
        limits.reserved_connections = 2;
    })
    .await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(server.addr).await.unwrap());
    }
    let ask = async || {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let request = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut stream).await
    };
    for _ in 0..20 {
        let answer = ask().await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        idle.push(TcpStream::connect(server.addr).await.unwrap());
    }
    // The oldest connection was evicted first, long before its deadline for sending a head.
    let gone = tokio::time::timeout(TEST_TIMEOUT, read_to_end(&mut idle[0])).await;
    assert_eq!(gone.as_deref(), Ok(""));
}

/// An idle connection that has carried a request is evicted last.
#[tokio::test]
async fn connections_that_carried_a_request_are_evicted_last() {
    let server = Server::with_limits(|limits| {
        limits.max_connections = 8;
        limits.reserved_connections = 2;
    })
    .await;
    let mut useful = TcpStream::connect(server.addr).await.unwrap();
    let first = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
    useful.write_all(first.as_bytes()).await.unwrap();
    let mut answer = [0; 16];
    useful.read_exact(&mut answer).await.unwrap();
    let mut strangers = Vec::new();
    for _ in 0..30 {
        strangers.push(TcpStream::connect(server.addr).await.unwrap());
    }
    let gone = tokio::time::timeout(TEST_TIMEOUT, read_to_end(&mut strangers[0])).await;
    assert_eq!(gone.as_deref(), Ok(""));
    let last = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    useful.write_all(last.as_bytes()).await.unwrap();
    let answers = read_to_end(&mut useful).await;
    assert!(answers.contains("HTTP/1.1 200 "), "{answers}");
}

#[tokio::test]
async fn upgraded_connections_do_not_count_as_connections() {
    let limits = HttpLimits {
        max_connections: 1,
        reserved_connections: 0,
        ..HttpLimits::default()
    };
    let server = Server::with(FakeNode::new(), limits, Some(peers())).await;
    let mut first = upgraded(&server).await;
    echoes(&mut first).await;
    let mut second = upgraded(&server).await;
    echoes(&mut second).await;
    echoes(&mut first).await;
}

#[tokio::test]
async fn shutdown_lets_requests_finish_and_closes_idle_connections() {
    // The shutdown must not wait for any deadline.
    let mut server = Server::with_limits(|limits| {
        limits.shutdown_grace = 100 * TEST_TIMEOUT;
        limits.header_deadline = 100 * TEST_TIMEOUT;
    })
    .await;
    // A connection that has sent nothing yet, an idle one, and a request that waits.
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    assert_eq!(server.get("/health").await.status, 200);
    let mut waiting = TcpStream::connect(server.addr).await.unwrap();
    waiting
        .write_all(b"GET /cluster?wait=5&timeout=60s HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    server.fake.waiting(1).await;
    server.shutdown.take().unwrap().send(()).unwrap();
    server.fake.add("node-3", 3);
    tokio::time::timeout(TEST_TIMEOUT, &mut server.task)
        .await
        .expect("serve returns")
        .unwrap();
    assert!(TcpStream::connect(server.addr).await.is_err(), "nobody listens");
    let answer = read_to_end(&mut waiting).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(read_to_end(&mut silent).await, "");
}

#[tokio::test]
async fn shutdown_does_not_wait_longer_than_its_grace() {
    let mut server = Server::with_limits(|limits| limits.shutdown_grace = Duration::from_millis(50)).await;
    let mut waiting = TcpStream::connect(server.addr).await.unwrap();
    waiting
        .write_all(b"GET /cluster?wait=5&timeout=60s HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    server.fake.waiting(1).await;
    server.shutdown.take().unwrap().send(()).unwrap();
    tokio::time::timeout(TEST_TIMEOUT, &mut server.task)
        .await
        .expect("serve returns")
        .unwrap();
    assert_eq!(read_to_end(&mut waiting).await, "");
}

/// A proxy in front of the node and the node must not read different messages, or one message as two.
#[tokio::test]
async fn a_request_has_one_host_and_one_coding_that_is_known() {
    let server = Server::start().await;
    let body = "Transfer-Encoding: chunked\r\n\r\n1\r\nv\r\n0\r\n\r\n";
    for (request, status) in [
        (
            "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n".to_owned(),
            "400",
        ),
        ("GET /health HTTP/1.0\r\n\r\n".to_owned(), "200"),
        (
            "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(),
            "200",
        ),
        (
            format!("PUT /data/k HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{body}"),
            "200",
        ),
        (
            format!(
                "PUT /data/k HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}",
                body.replace("chunked", "gzip, chunked")
            ),
            "501",
        ),
        (
            format!(
                "PUT /data/k HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: gzip\r\n{body}"
            ),
            "501",
        ),
    ] {
        let answer = server.raw(request.as_bytes()).await;
        assert_eq!(answer.get(9..12), Some(status), "{request:?}: {answer:?}");
    }
}

#[tokio::test]
async fn an_http_2_client_is_answered_with_an_http_1_error() {
    let server = Server::start().await;
    for preface in [
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ] {
        let answer = server.raw(preface.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    }
}

#[tokio::test]
async fn a_long_poll_is_answered_though_the_client_has_closed_its_sending_side() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let request = b"GET /cluster?wait=5&timeout=60s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let reading = async { stream.read_to_end(&mut answer).await.unwrap() };
    let changing = async {
        // The poll is waiting before anything changes.
        server.fake.waiting(1).await;
        assert_eq!(server.send("PUT", "/data/k", &[], "v").await.status, 200);
    };
    tokio::time::timeout(TEST_TIMEOUT, async { tokio::join!(reading, changing) })
        .await
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
}
