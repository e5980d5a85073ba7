use super::*;
use crate::error::ErrorCode;

const REQUEST: Bytes = Bytes::from_static(b"ask");

#[tokio::test]
async fn another_cluster_is_refused_with_both_names() {
    let (server, addr) = serve(echo()).await;
    for name in ["production", "tést %2F\u{1F980}", " test"] {
        let stranger = TcpTransport::plaintext(name);
        let error = stranger
            .call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::WrongCluster);
        assert!(error.message().contains(&format!("{name:?}")), "{error}");
        assert!(error.message().contains("\"test\""), "{error}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn any_legal_cluster_name_passes_the_handshake() {
    for name in [
        "clusterkit-cluster",
        "tést %2F\u{1F980}",
        " spaced ",
        "a,b;c=d:e\"f",
    ] {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        plain_server(name, echo(), NetLimits::default()).listen(listener);
        let client = TcpTransport::plaintext(name);
        assert_eq!(
            client
                .call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
                .await
                .unwrap(),
            REQUEST
        );
    }
}

#[tokio::test]
async fn garbage_closes_its_connection_and_the_server_goes_on() {
    let (server, addr) = serve(echo()).await;
    let good = frame::plain_frame(frame::FrameKind::Request, 1, b"");
    let mut flipped = good.clone();
    flipped[17] ^= 1;
    let mut oversize = good.clone();
    oversize[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut future = good.clone();
    future[2] = 2;
    let answer = frame::plain_frame(frame::FrameKind::Response, 1, b"");
    let zeros = [0; 64];
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &flipped,
        &oversize,
        &future,
        &answer,
        &zeros,
    ] {
        let mut stream = raw_peer(&addr, "request").await;
        stream.write_all(bytes).await.unwrap();
        assert!(read_to_close(&mut stream).await.is_empty());
    }
    for bytes in [
        &b"\0\x01\x02\xff\xfe garbage \r\n\r\n"[..],
        &good,
        b"GET /peer HTTP/9.9\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = read_to_close(&mut stream).await;
        assert!(
            !answer.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    eventually("every connection is given back", async || {
        server.connections() == 0
    })
    .await;
    assert_eq!(
        client()
            .call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
            .await
            .unwrap(),
        REQUEST
    );
}

#[tokio::test]
async fn requests_that_are_no_upgrade_are_refused_in_http() {
    let (_server, addr) = serve(echo()).await;
    let head = format!("host: {addr}\r\n");
    let upgrade = "connection: upgrade\r\nupgrade: clusterkit/1\r\n";
    let cluster = "clusterkit-cluster: test\r\n";
    for (request, status, code) in [
        (format!("GET /nodes HTTP/1.1\r\n{head}\r\n"), 404, "NOT_FOUND"),
        (
            format!("GET /peer HTTP/1.1\r\n{head}\r\n"),
            400,
            "INVALID_ARGUMENT",
        ),
        (
            format!("POST /peer HTTP/1.1\r\n{head}{upgrade}{cluster}\r\n"),
            400,
            "INVALID_ARGUMENT",
        ),
        (
            format!("GET /peer HTTP/1.1\r\n{head}{upgrade}clusterkit-lane: log\r\n\r\n"),
            400,
            "INVALID_ARGUMENT",
        ),
        (
            format!("GET /peer HTTP/1.1\r\n{head}{upgrade}{cluster}clusterkit-lane: x\r\n\r\n"),
            426,
            "VERSION",
        ),
        (
            format!("GET /peer HTTP/1.1\r\n{head}connection: upgrade\r\nupgrade: clusterkit/9\r\n\r\n"),
            426,
            "VERSION",
        ),
    ] {
        let mut stream = TcpStream::connect(&addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = String::from_utf8(read_to_close(&mut stream).await).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}\n{answer}"
        );
        assert!(
            answer.contains(&format!("{{\"error\":{{\"code\":\"{code}\"")),
            "{request}\n{answer}"
        );
    }
}

#[tokio::test]
async fn a_port_that_speaks_something_else_is_unreachable() {
    // An HTTP server without /peer, one that closes, and one that answers no HTTP.
    for answer in [
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        "",
        "SSH-2.0-OpenSSH_9.9\r\n",
    ] {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 16];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        let error = client()
            .call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unreachable, "{error}");
        assert!(error.message().contains(&addr), "{error}");
    }
}

#[tokio::test]
async fn a_silent_port_fails_after_the_handshake_timeout() {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let limits = NetLimits {
        handshake_timeout: Duration::from_millis(40),
        ..NetLimits::default()
    };
    let error = client_with(limits.clone())
        .call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::Busy, "{error}");

    // The server does not wait longer for a silent caller either.
    let (_server, addr) = serve_at("127.0.0.1:0", echo(), limits).await;
    let mut silent = TcpStream::connect(&addr).await.unwrap();
    assert!(read_to_close(&mut silent).await.is_empty());
}

#[tokio::test]
async fn a_name_whose_first_record_is_dead_is_reached_by_its_second() {
    // "localhost" has ::1 and 127.0.0.1 on most machines; the listener is on one of them only.
    let (_server, addr) = serve(echo()).await;
    let port = addr.rsplit(':').next().unwrap();
    let answer = client()
        .call(&format!("localhost:{port}"), Lane::Request, REQUEST, TEST_TIMEOUT)
        .await;
    assert_eq!(answer.unwrap(), REQUEST);
}

#[tokio::test]
async fn addresses_without_a_listener_are_unreachable() {
    let client = client();
    for addr in [
        "no-such-host.invalid:80",
        "127.0.0.1",
        "",
        ":",
        "127.0.0.1:99999",
        "[::1:80",
    ] {
        let error = client
            .call(addr, Lane::Request, REQUEST, TEST_TIMEOUT)
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unreachable, "{addr}: {error}");
    }
}

#[tokio::test]
async fn ipv6_works_where_the_machine_has_it() {
    let Ok(listener) = bind("[::1]:0").await else {
        // No IPv6 here: nothing to test.
        return;
    };
    let addr = listener.local_addr().unwrap().to_string();
    plain_server("test", echo(), NetLimits::default()).listen(listener);
    assert_eq!(
        client()
            .call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT)
            .await
            .unwrap(),
        REQUEST
    );
}

#[tokio::test]
async fn an_axum_server_mounts_peers_beside_its_own_routes() {
    let server = plain_server("test", echo(), NetLimits::default());
    let peers = server.clone();
    let upgrade = move |mut request: axum::extract::Request| {
        let peers = peers.clone();
        async move {
            let remote = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
            let response = peers.upgrade(&mut request, remote).await;
            response.map(axum::body::Body::new)
        }
    };
    let routes = axum::Router::new()
        .route(PEER_PATH, axum::routing::get(upgrade))
        .route("/health", axum::routing::get(|| std::future::ready("alive")));
    let listener = bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let client = client();
    for lane in Lane::ALL {
        assert_eq!(
            client.call(&addr, lane, REQUEST, TEST_TIMEOUT).await.unwrap(),
            REQUEST
        );
    }
    let mut stream = TcpStream::connect(&addr).await.unwrap();
    let request = format!("GET /health HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(read_to_close(&mut stream).await.ends_with(b"alive"));
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    assert_ne!(addr.port(), 0);
    let error = bind(&addr.to_string()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::AddressInUse);
    assert!(error.message().contains(&addr.to_string()), "{error}");
    // 192.0.2.0/24 is for documentation: no machine has it.
    assert_eq!(
        bind("192.0.2.1:0").await.unwrap_err().code(),
        ErrorCode::AddressInUse
    );
    assert_eq!(
        bind("127.0.0.1").await.unwrap_err().code(),
        ErrorCode::InvalidOption
    );
}
