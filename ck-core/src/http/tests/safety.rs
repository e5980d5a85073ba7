//! Browsers, panics and deadlines.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Server, error_of, header, parsed};

#[tokio::test]
async fn a_foreign_page_changes_nothing() {
    let server = Server::with_limits(|limits| limits.browser_hosts = vec!["node.example".into()]).await;
    let host = server.addr.to_string();
    let own = format!("http://{host}");
    for (method, path) in [
        ("PUT", "/data/k"),
        ("POST", "/leave"),
        ("DELETE", "/nodes/node-2"),
    ] {
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
            let answer = server.send(method, path, &[("origin", origin)], "v").await;
            assert_eq!(answer.status, 403, "{method} {path} {origin}");
            assert_eq!(error_of(&parsed(&answer)).0, "REFUSED");
        }
    }
    assert_eq!(
        server.json("GET", "/cluster", "").await.1["revision"],
        5,
        "nothing has changed"
    );
    let foreign_read = server
        .send("GET", "/cluster", &[("origin", "http://evil.example")], "")
        .await;
    assert_eq!(foreign_read.status, 200);
    assert_eq!(
        header(&foreign_read, "access-control-allow-origin"),
        "",
        "so the page cannot see it"
    );
    let upgrade = [
        ("origin", "http://evil.example"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
    ];
    assert_eq!(server.send("GET", "/cluster", &upgrade, "").await.status, 403);
    let answer = server.send("PUT", "/data/k", &[("origin", &own)], "v").await;
    assert_eq!(answer.status, 200);
    // Under a rebound name Origin and Host agree, and yet the name is not the node's.
    for (name, status) in [("evil.example", "403"), ("node.example", "200")] {
        let request = format!(
            "PUT /data/k HTTP/1.1\r\nHost: {name}:80\r\nOrigin: http://{name}\r\nContent-Length: 1\r\nConnection: \
             close\r\n\r\nv"
        );
        let answer = server.raw(request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{name}: {answer}"
        );
    }
}

#[tokio::test]
async fn every_answer_carries_the_protective_headers() {
    let server = Server::start().await;
    for path in [
        "/health",
        "/cluster",
        "/nodes?limit=0",
        "/nope",
        "/join",
        "/data/none",
    ] {
        let answer = server.get(path).await;
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");
        let cache = if path == "/cluster" {
            "no-cache"
        } else {
            "no-store"
        };
        assert_eq!(header(&answer, "cache-control"), cache, "{path}");
    }
}

#[tokio::test]
async fn a_panic_in_a_handler_is_an_answer_and_the_connection_goes_on() {
    let server = Server::start().await;
    server.fake.panics.store(true, Ordering::Relaxed);
    let mut answers = server
        .raw(
            b"PUT /data/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nvGET /health HTTP/1.1\r\nHost: \
              x\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert!(answers.starts_with("HTTP/1.1 500 "), "{answers}");
    assert!(answers.contains("INTERNAL"), "{answers}");
    let second = answers.split_off(answers.rfind("HTTP/1.1").unwrap());
    assert!(second.starts_with("HTTP/1.1 200 "), "{second}");
    assert_eq!((server.counters.requests(), server.counters.errors()), (2, 1));
}

#[tokio::test]
async fn a_request_that_is_not_answered_in_time_is_504() {
    let server = Server::with_limits(|limits| {
        limits.request_deadline = Duration::from_millis(50);
        limits.max_wait = Duration::from_millis(50);
    })
    .await;
    server.fake.hangs.store(true, Ordering::Relaxed);
    let (status, body) = server.json("POST", "/leave", "").await;
    assert_eq!((status, error_of(&body).0), (504, "TIMEOUT"));
    // A body that never arrives completely.
    let answer = server
        .raw(b"PUT /data/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        .await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
}
