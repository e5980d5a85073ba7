//! Limits on numbers, paths, methods, bodies and heads.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Server, TEST_TIMEOUT, error_of, header, parsed};
use crate::http::ROUTES;

/// An earlier system failed here: one GET froze its node forever.
#[tokio::test]
async fn offset_minus_one_is_refused_and_the_node_goes_on() {
    let server = Server::start().await;
    let (status, body) = server.json("GET", "/nodes?offset=-1", "").await;
    let message = "parameter offset is \"-1\"; it has to be a whole number from 0 to 1000000";
    assert_eq!((status, error_of(&body)), (400, ("INVALID_ARGUMENT", message)));
    server.fake.add("node-3", 3);
    assert_eq!(server.json("GET", "/nodes", "").await.1["total"], 3);
}

#[tokio::test]
async fn bad_parameters_are_refused_by_name_value_and_bounds() {
    let server = Server::start().await;
    for (path, name, bounds) in [
        ("/nodes?limit=0", "limit", "1 to 1000"),
        ("/nodes?limit=1001", "limit", "1 to 1000"),
        ("/nodes?limit=99999999999999999999999", "limit", "1 to 1000"),
        ("/nodes?limit=ten", "limit", "1 to 1000"),
        ("/nodes?limit=", "limit", "1 to 1000"),
        ("/nodes?limit=%2B5", "limit", "1 to 1000"),
        ("/nodes?limit=1e2", "limit", "1 to 1000"),
        ("/nodes?limit=5&limit=5", "limit", "twice"),
        ("/nodes?offset=1000001", "offset", "0 to 1000000"),
        ("/nodes?offset=18446744073709551616", "offset", "0 to 1000000"),
        ("/nodes?revision=-1", "revision", "0 to 18446744073709551615"),
        ("/nodes?revision=1&timeout=61s", "timeout", "0 to 1m"),
        ("/nodes?revision=1&timeout=soon", "timeout", "0 to 1m"),
        ("/cluster?wait=x", "wait", "0 to 18446744073709551615"),
        ("/cluster?wait=1&timeout=-1s", "timeout", "0 to 1m"),
        ("/data?limit=0", "limit", "1 to 1000"),
        ("/data?prefix=%FF", "prefix", "UTF-8"),
        (
            "/data/k?consistency=eventual",
            "consistency",
            "local or linearizable",
        ),
        ("/partitions/key", "key", "missing"),
        ("/partitions/key?key=", "key", "empty"),
        ("/partitions/key?key=a&key=b", "key", "twice"),
    ] {
        let (status, body) = server.json("GET", path, "").await;
        let (code, message) = error_of(&body);
        assert_eq!((status, code), (400, "INVALID_ARGUMENT"), "{path}");
        assert!(
            message.contains(&format!("parameter {name}")) && message.contains(bounds),
            "{path}: {message}"
        );
    }
    let (status, _) = server.json("POST", "/rebalance?dry_run=maybe", "").await;
    assert_eq!(status, 400);
    // Parameters that a route does not know are ignored.
    let (status, _) = server.json("GET", "/nodes?color=red&color=blue&%FF=1", "").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn nodes_come_in_pages() {
    let server = Server::start().await;
    for number in 3..=7 {
        server.fake.add(&format!("node-{number}"), number);
    }
    let page = async |query: &str| {
        let (status, body) = server.json("GET", &format!("/nodes?{query}"), "").await;
        assert_eq!(status, 200, "{query}");
        let ids: Vec<_> = body["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["id"].clone())
            .collect();
        json!([
            ids,
            body["total"],
            body["offset"],
            body["limit"],
            body["has_more"],
            body["next_offset"]
        ])
    };
    let first = json!([["node-1", "node-2", "node-3"], 7, 0, 3, true, 3]);
    assert_eq!(page("limit=3").await, first);
    let second = json!([["node-4", "node-5", "node-6"], 7, 3, 3, true, 6]);
    assert_eq!(page("limit=3&offset=3").await, second);
    assert_eq!(
        page("limit=3&offset=6").await,
        json!([["node-7"], 7, 6, 3, false, null])
    );
    assert_eq!(page("offset=7").await, json!([[], 7, 7, 50, false, null]));
    assert_eq!(
        page("offset=1000000&limit=1000").await,
        json!([[], 7, 1_000_000, 1000, false, null])
    );
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods() {
    let server = Server::start().await;
    for path in [
        "/",
        "/nope",
        "/cluster/",
        "/nodes/a/b",
        "/data/",
        "/Health",
        "/peer",
        "/%2e%2e",
    ] {
        let (status, body) = server.json("GET", path, "").await;
        assert_eq!((status, error_of(&body).0), (404, "NOT_FOUND"), "{path}");
    }
    for (method, path, allow) in [
        ("POST", "/health", "GET,HEAD"),
        ("GET", "/join", "POST"),
        ("GET", "/nodes/node-1", "DELETE"),
        ("PATCH", "/partitions", "GET,HEAD,POST"),
        ("POST", "/data/k", "GET,HEAD,PUT,DELETE"),
        ("OPTIONS", "/cluster", "GET,HEAD"),
    ] {
        let (status, body) = server.json(method, path, "").await;
        assert_eq!(
            (status, error_of(&body).0),
            (405, "INVALID_ARGUMENT"),
            "{method} {path}"
        );
        let answer = server.send(method, path, &[], "").await;
        let mut found: Vec<_> = header(&answer, "allow").split(',').collect();
        let mut expected: Vec<_> = allow.split(',').collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn bad_json_is_refused_with_its_position() {
    let server = Server::start().await;
    for (body, hint) in [
        ("{\"node\": \n  nope}", "line 2 column"),
        ("", "line 1 column 0"),
        ("{\"node\":{\"id\":\"n\"}}", "missing field `ip`"),
        ("[]", "line 1 column"),
        ("\u{feff}{}", "line 1 column"),
    ] {
        let answer = server
            .send("POST", "/join", &[("content-type", "application/json")], body)
            .await;
        let parsed = parsed(&answer);
        let (code, message) = error_of(&parsed);
        assert_eq!(
            (answer.status.as_u16(), code),
            (400, "INVALID_ARGUMENT"),
            "{body}"
        );
        assert!(message.contains(hint), "{body}: {message}");
    }
    let deep = "[".repeat(100_000);
    let answer = server.send("POST", "/join", &[], &deep).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_content_type_that_is_not_json_is_refused_and_a_missing_one_is_not() {
    let server = Server::start().await;
    let body = r#"{"node":"node-2","incarnation":3,"revision":5}"#;
    for (content_type, status) in [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/problem+json", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        ("text/json+json", 415),
    ] {
        let answer = server
            .send("POST", "/sync", &[("content-type", content_type)], body)
            .await;
        assert_eq!(answer.status.as_u16(), status, "{content_type}");
    }
    assert_eq!(server.send("POST", "/sync", &[], body).await.status, 200);
}

#[tokio::test]
async fn a_joiner_that_describes_itself_badly_is_refused_and_nothing_changes() {
    let server = Server::start().await;
    let long = "x".repeat(2000);
    for (node, raft_addr, field) in [
        (json!({ "id": "", "ip": "10.0.0.3:80" }), "", "node.id"),
        (json!({ "id": "a b", "ip": "10.0.0.3:80" }), "", "node.id"),
        (json!({ "id": long, "ip": "10.0.0.3:80" }), "", "node.id"),
        (json!({ "id": "n", "ip": "" }), "", "node.ip"),
        (json!({ "id": "n", "ip": ":80" }), "", "node.ip"),
        (json!({ "id": "n", "ip": "10.0.0.3" }), "", "node.ip"),
        (json!({ "id": "n", "ip": "10.0.0.3:0" }), "", "node.ip"),
        (
            json!({ "id": "n", "ip": "10.0.0.3:80,10.0.0.4:80" }),
            "",
            "node.ip",
        ),
        (json!({ "id": "n", "ip": "http://10.0.0.3:80" }), "", "node.ip"),
        (json!({ "id": "n", "ip": "0.0.0.0:80" }), "", "node.ip"),
        (json!({ "id": "n", "ip": "10.0.0.3:80" }), "nowhere", "raft_addr"),
        (
            json!({ "id": "n", "ip": "10.0.0.3:80", "weight": 10_001 }),
            "",
            "node.weight",
        ),
        (
            json!({ "id": "n", "ip": "10.0.0.3:80", "name": long }),
            "",
            "node.name",
        ),
        (
            json!({ "id": "n", "ip": "10.0.0.3:80", "services": { "kv": "9080" } }),
            "",
            "node.services.kv",
        ),
    ] {
        let request = json!({ "node": node, "raft_addr": raft_addr });
        let (status, body) = server.json("POST", "/join", &request.to_string()).await;
        let (code, message) = error_of(&body);
        assert_eq!((status, code), (400, "INVALID_ARGUMENT"), "{request}");
        assert!(message.starts_with(&format!("{field}: ")), "{request}: {message}");
    }
    assert_eq!(server.json("GET", "/nodes", "").await.1["total"], 2);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_in_every_encoding() {
    let server = Server::with_limits(|limits| limits.max_body = 1000).await;
    let announced = server
        .raw(b"PUT /data/k HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        .await;
    assert!(announced.starts_with("HTTP/1.1 413 "), "{announced}");
    assert!(announced.contains("TOO_LARGE"), "{announced}");
    let mut chunked =
        b"PUT /data/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n".to_vec();
    chunked.extend([b'v'; 1001]);
    let chunked = server.raw(&chunked).await;
    assert!(chunked.starts_with("HTTP/1.1 413 "), "{chunked}");
    let answer = server.send("PUT", "/data/k", &[], &"v".repeat(1000)).await;
    assert_eq!(answer.status, 200);
}

/// Sends a head and then `bytes` of body, whatever the server answers meanwhile, then reads. An error is what a client
/// sees whose connection is reset.
async fn send_all_then_read(server: &Server, head: &str, bytes: usize) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(server.addr).await?;
    stream.write_all(head.as_bytes()).await?;
    let chunk = vec![b'v'; 64 * 1024];
    for _ in 0..bytes / chunk.len() {
        stream.write_all(&chunk).await?;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn a_client_that_sends_far_too_much_gets_the_refusal_and_not_a_reset() {
    const OVERSIZED_BODY_BYTES: usize = 32 * 1024 * 1024;
    let server = Server::start().await;
    let length = format!("Content-Length: {OVERSIZED_BODY_BYTES}");
    for (head, status) in [
        (format!("PUT /data/k HTTP/1.1\r\nHost: x\r\n{length}"), "413"),
        (
            "PUT /data/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2000000".to_owned(),
            "413",
        ),
        // Refused before the body is read.
        (
            format!("POST /join HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n{length}"),
            "415",
        ),
        (format!("POST /nowhere HTTP/1.1\r\nHost: x\r\n{length}"), "404"),
    ] {
        let end = if head.contains("chunked") {
            "\r\n"
        } else {
            "\r\n\r\n"
        };
        let answer = send_all_then_read(&server, &(head.clone() + end), OVERSIZED_BODY_BYTES).await;
        let answer = answer.unwrap_or_else(|error| panic!("{head}: {error}"));
        assert_eq!(answer.get(9..12), Some(status), "{head}: {answer}");
    }
}

#[tokio::test]
async fn a_client_that_never_stops_sending_is_cut_off_by_bytes_and_by_time() {
    let head = "PUT /data/k HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n";
    let server = Server::with_limits(|limits| {
        limits.max_linger_bytes = 1024 * 1024;
        limits.linger_deadline = 100 * TEST_TIMEOUT;
    })
    .await;
    let sends = send_all_then_read(&server, head, 99_999_999_999);
    tokio::time::timeout(TEST_TIMEOUT, sends)
        .await
        .expect("it is cut off by bytes")
        .unwrap_err();

    let mut server = Server::with_limits(|limits| {
        limits.linger_deadline = Duration::from_millis(50);
        limits.shutdown_grace = 100 * TEST_TIMEOUT;
    })
    .await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(super::read_to_end(&mut stream).await.starts_with("HTTP/1.1 413 "));
    // The client neither sends nor closes, and yet its connection must end: otherwise the server could not end.
    server.shutdown.take().unwrap().send(()).unwrap();
    tokio::time::timeout(TEST_TIMEOUT, &mut server.task)
        .await
        .expect("it is cut off by time")
        .unwrap();
    drop(stream);
}

#[tokio::test]
async fn all_bodies_together_are_bounded() {
    let server = Server::with_limits(|limits| limits.max_buffered_bytes = 1000).await;
    let answer = server.send("PUT", "/data/k", &[], &"v".repeat(1001)).await;
    assert_eq!(
        (answer.status.as_u16(), error_of(&parsed(&answer)).0),
        (503, "BUSY")
    );
    // A finished request gives back its part of the budget.
    for _ in 0..3 {
        let answer = server.send("PUT", "/data/k", &[], &"v".repeat(1000)).await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn malformed_requests_are_answered_and_closed() {
    let server = Server::start().await;
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    let many_headers = format!("GET /health HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
    for (request, statuses) in [
        ("nonsense\r\n\r\n", ["400"].as_slice()),
        ("GET /health HTTP/9.9\r\n\r\n", &["400", "505"]),
        ("GET /health HTTP/1.1\r\nbad header\r\n\r\n", &["400"]),
        ("POST /join HTTP/1.1\r\nContent-Length: -5\r\n\r\n", &["400"]),
        (long_path.as_str(), &["414", "431"]),
        (many_headers.as_str(), &["431"]),
    ] {
        let answer = server.raw(request.as_bytes()).await;
        let status = answer.get(9..12).unwrap_or_default();
        assert!(statuses.contains(&status), "{:?}: {answer:?}", request.get(..60));
    }
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn no_path_or_query_breaks_any_route() {
    let server = Server::start().await;
    let malformed = [
        "%00",
        "%ff",
        "%",
        "..",
        "a%2fb",
        "'\"",
        "{}",
        "%F0%9F%98%80",
        "-1",
        "18446744073709551616",
    ];
    for route in ROUTES {
        for text in malformed {
            let text = text.replace('"', "%22");
            let path = route
                .path
                .replace("{id}", &text)
                .replace("{*key}", &text)
                .replace(['{', '}'], "%7B");
            let path = format!("{path}?key={text}&limit={text}&wait={text}&timeout=1ms&{text}={text}");
            let path = path.replace(['{', '}'], "%7B");
            let answer = server.send(route.method, &path, &[], &text).await;
            let status = answer.status.as_u16();
            assert!(
                status < 500 || answer.body.starts_with(b"{\"error\""),
                "{} {path}: {status}",
                route.method
            );
        }
    }
    assert_eq!(server.get("/health").await.status, 200);
}
