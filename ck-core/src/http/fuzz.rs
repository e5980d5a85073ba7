//! Fuzz target: any bytes as requests, that is their heads, parameters and bodies, and the answers of a node to them.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::response::IntoResponse;
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use super::conditional::{matches_if_none_match, write_precondition};
use super::error_response::ErrorResponse;
use super::params::{Query, path_tail};
use super::response::ETag;
use super::{JoinRequest, SyncRequest, origin, request_head};
use crate::fuzz::Input;
use crate::options::{format_duration, parse_duration};
use crate::state::Expect;
use std::time::Duration;

/// Flag: the requests are also sent to a node. The other checks always run, because they are cheaper.
const SEND_TO_NODE: u8 = 0;
/// Flag: that node has a secret, which no input knows.
const IS_SECURED: u8 = 1;

/// An input is a sequence of requests, each written as its lines: method and target, headers, an empty line, the body.
/// A refused request must get an error that says why; an accepted value must be within its bounds, and mean the same
/// when it is written and read again.
pub(crate) fn http(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.flags();
    let mut requests = Vec::new();
    while !input.is_empty() {
        if let Some(request) = request(input.part()) {
            requests.push(request);
        }
    }
    for (head, body) in &requests {
        check_head(head);
        check_parameters(head.uri());
        check_conditions(head.headers());
        check_body(body);
    }
    #[cfg(feature = "sim")]
    if flags.has(SEND_TO_NODE) && !requests.is_empty() {
        crate::fuzz::node::ask(requests, flags.has(IS_SECURED));
    }
    #[cfg(not(feature = "sim"))]
    let _ = (flags.has(SEND_TO_NODE), flags.has(IS_SECURED));
}

/// Parses a request. `None` for bytes that are none: hyper would refuse them, and they would never reach the node.
fn request(bytes: &[u8]) -> Option<(Request, Vec<u8>)> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = match end {
        Some(end) => (bytes.get(..end)?, bytes.get(end + 2..)?),
        None => (bytes, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.split(|byte| *byte == b' ');
    let mut request = Request::new(Body::from(body.to_vec()));
    *request.method_mut() = Method::from_bytes(first.next()?).ok()?;
    *request.uri_mut() = Uri::try_from(first.next()?).ok()?;
    if first.next() == Some(b"HTTP/1.0") {
        *request.version_mut() = Version::HTTP_10;
    }
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(line.get(..colon)?).ok()?;
        let value = HeaderValue::from_bytes(line.get(colon + 1..)?.trim_ascii()).ok()?;
        request.headers_mut().append(name, value);
    }
    Some((request, body.to_vec()))
}

/// A refusal must be a client error, or 501.
fn check_refusal(refused: ErrorResponse) {
    let response = refused.into_response();
    let status = response.status();
    assert!(
        status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED,
        "{status}"
    );
}

fn check_head(request: &Request) {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    match request_head::check(request) {
        Ok(()) => assert!(hosts <= 1),
        Err(refused) => check_refusal(refused),
    }
    let names = ["node.example".to_owned()];
    let shows_origin = request.headers().contains_key(header::ORIGIN);
    match origin::check(request, &names) {
        // A page of another origin must not change anything.
        Ok(()) => {
            let only_reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
            assert!(
                !shows_origin || only_reads || hosts == 1,
                "{:?}",
                request.headers()
            );
        }
        Err(refused) => check_refusal(refused),
    }
}

fn check_parameters(uri: &Uri) {
    let query = Query::of(uri);
    for name in ["key", "n", "wait", "timeout", "dry_run", "a b"] {
        match query.text(name) {
            Ok(Some(text)) => {
                let again = format!("/?{}={}", encode(name), encode(&text));
                let again = Uri::try_from(again).map(|uri| Query::of(&uri).text(name).ok());
                // A text that is too long for a URI is skipped.
                assert!(again.is_err() || again.is_ok_and(|again| again == Some(Some(text))));
            }
            Ok(None) => {}
            Err(refused) => check_refusal(refused),
        }
        match query.number(name, 3, 99) {
            Ok(number) => assert!(number.is_none_or(|number| (3..=99).contains(&number))),
            Err(refused) => check_refusal(refused),
        }
        match query.size(name, 1, 1000, 50) {
            Ok(size) => assert!((1..=1000).contains(&size)),
            Err(refused) => check_refusal(refused),
        }
        let (min, max) = (Duration::from_millis(5), Duration::from_secs(60));
        match query.duration_from(name, min, max) {
            Ok(Some(duration)) => {
                assert!((min..=max).contains(&duration));
                assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
            }
            Ok(None) => {}
            Err(refused) => check_refusal(refused),
        }
        if let Err(refused) = query.flag(name) {
            check_refusal(refused);
        }
    }
    for prefix in ["/data/", "/nodes/", "/partitions/"] {
        match path_tail(uri, prefix) {
            Ok(tail) => {
                let again = Uri::try_from(format!("{prefix}{}", encode(&tail)));
                let again = again.map(|uri| path_tail(&uri, prefix).ok());
                assert!(again.is_err() || again.is_ok_and(|again| again == Some(tail)));
            }
            Err(refused) => check_refusal(refused),
        }
    }
}

fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

fn check_conditions(headers: &HeaderMap) {
    let tag = ETag::of(42);
    if matches_if_none_match(headers, &tag) {
        assert!(headers.contains_key(header::IF_NONE_MATCH));
    }
    match write_precondition(headers) {
        Ok(Expect::Revision(revision)) => {
            let mut again = HeaderMap::new();
            again.insert(header::IF_MATCH, ETag::of(revision).header_value());
            assert!(matches!(write_precondition(&again), Ok(Expect::Revision(same)) if same == revision));
        }
        Ok(Expect::Absent) => assert!(headers.contains_key(header::IF_NONE_MATCH)),
        Ok(Expect::Any) => assert!(!headers.contains_key(header::IF_MATCH)),
        Err(refused) => check_refusal(refused),
    }
}

fn check_body(body: &[u8]) {
    if let Ok(join) = serde_json::from_slice::<JoinRequest>(body) {
        match join.spec() {
            Ok(spec) => {
                let again =
                    serde_json::to_vec(&join).map(|json| serde_json::from_slice::<JoinRequest>(&json));
                let again = again.ok().and_then(Result::ok).map(|join| join.spec());
                assert!(matches!(again, Some(Ok(again)) if again == spec));
                assert!(spec.port != 0 && !spec.id.is_empty() && !spec.name.is_empty());
            }
            Err(error) => {
                // The message must show the bad value shortened.
                assert!(error.message().len() < 2048, "{error}");
                check_refusal(error.into());
            }
        }
    }
    let _ = serde_json::from_slice::<SyncRequest>(body);
}

/// Seed inputs: requests as people, programs, browsers and nodes send them.
#[cfg(test)]
pub(crate) fn examples() -> Vec<crate::fuzz::Example> {
    use crate::fuzz::put_part;

    let join = r#"{"node":{"id":"node-9","ip":"10.0.0.9:8080","services":{"kv":":9080"},"labels":{"rack":"r1"},"zone":"z","weight":50,"process":5},"raft_addr":"10.0.0.9:7000","cluster_name":"c","partition_count":1}"#;
    let sync = r#"{"node":"node-1","incarnation":1,"revision":3,"health":"degraded","health_reason":"r"}"#;
    let inputs: [(&str, &[&str]); 9] = [
        (
            "reads",
            &[
                "GET /cluster?include=data&wait=1&timeout=5ms HTTP/1.1\nHost: 127.0.0.1:8080\nIf-None-Match: W/\"42\", *",
                "GET /partitions?limit=2&offset=1 HTTP/1.0\nHost: localhost",
                "GET /partitions/key?key=a%2Fb+c\nHost: [::1]",
                "HEAD /nodes\nHost: a",
                "GET /route?key=%C3%A9\nHost: a",
            ],
        ),
        (
            "writes",
            &[
                "PUT /data/a%20b?timeout=1s\nHost: a\nIf-None-Match: *\nContent-Type: application/octet-stream\n\nvalue",
                "GET /data/a%20b?revision=3&consistency=linearizable\nHost: a",
                "DELETE /data/a%20b\nHost: a\nIf-Match: \"42\"",
                "GET /data?prefix=a&after=b&limit=1\nHost: a",
            ],
        ),
        (
            "browser",
            &[
                "POST /rebalance?dry_run=1\nHost: node.example:8080\nOrigin: https://node.example:8080\nUser-Agent: Mozilla/5.0",
                "GET /health\nHost: evil.example\nSec-Fetch-Site: cross-site\nAccept-Language: en",
            ],
        ),
        (
            "join",
            &[&format!(
                "POST /join\nHost: a\nContent-Type: application/json\n\n{join}"
            )],
        ),
        ("sync", &[&format!("POST /sync\nHost: a\n\n{sync}")]),
        ("routes", &["POST /route\nHost: a\n\n{\"keys\":[\"a\",\"b\"]}"]),
        (
            "orders",
            &[
                "POST /maintenance?reason=disk\nHost: a",
                "DELETE /maintenance\nHost: a",
                "POST /step-down?to=node-2&cooldown=5s\nHost: a",
                "POST /partitions/0/recover?from=node-1&force\nHost: a",
                "POST /partitions\nHost: a",
            ],
        ),
        (
            "leave",
            &["DELETE /nodes/node-9?force=true\nHost: a", "POST /leave\nHost: a"],
        ),
        (
            "forms",
            &[
                "PUT /data/k\nHost: a\nHost: b\nTransfer-Encoding: chunked",
                "GET /metrics\nTransfer-Encoding: gzip",
            ],
        ),
    ];
    let input = |flags: u8, (name, requests): &(&'static str, &[&str])| {
        let mut input = vec![flags];
        for request in *requests {
            put_part(&mut input, request.as_bytes());
        }
        (*name, input)
    };
    let stranger: (&str, &[&str]) = (
        "stranger",
        &[
            "GET /cluster\nHost: a",
            "PUT /data/k\nHost: a\nAuthorization: Bearer ck1.operate.00000000.0.name.AAAA\n\nvalue",
            "PUT /data/k\nHost: a\nAuthorization: Basic AAAA\nAuthorization: Bearer a\n\nvalue",
            "PUT //data/k\nHost: a\n\nvalue",
            "POST /join\nHost: a\nConnection: upgrade\nUpgrade: clusterkit/1\n\n{}",
            "GET /health\nHost: a",
        ],
    );
    let to_open = inputs.iter().map(|one| input(1 << SEND_TO_NODE, one));
    let to_secured = [input(1 << SEND_TO_NODE | 1 << IS_SECURED, &stranger)];
    to_open.chain(to_secured).collect()
}
