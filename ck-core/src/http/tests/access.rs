//! Who may make which call, and what is written down about it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{FakeNode, Server, data_path, error_of, header, parsed, read_to_end};
use crate::client::{AsyncClient, ClientOptions};
use crate::error::ErrorCode;
use crate::http::{Access, HttpLimits, Level, ROUTES, Route};
use crate::logger::Logger;
use crate::net::{Keyring, Role, Security, Token};
use crate::options::{LogLevel, Options};

const CLUSTER: &str = "test";
const SECRET: &str = "hY3kPq8vWz1RtN5cXs7DfGj2LmB9aQeU4oKiT6yHwEn";
const OTHER_SECRET: &str = "b7TnQ2xWv9LkRz4JhYc1MdSgF8pAe3UoKiX5yGwHtCn";

fn keyring(cluster: &str, secret: &str) -> Keyring {
    Keyring::new(cluster, secret).unwrap()
}

fn token(role: Role) -> String {
    Token::make(&keyring(CLUSTER, SECRET), role, "alice", None).unwrap()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// What the log of a node was told.
#[derive(Clone, Default)]
struct Log {
    logger: Arc<Logger>,
    messages: Arc<Mutex<Vec<(LogLevel, String)>>>,
}

impl Log {
    fn new() -> Self {
        let log = Log::default();
        let messages = log.messages.clone();
        log.logger
            .set_callback(Some(Arc::new(move |level, message: &str| {
                messages.lock().push((level, message.to_owned()));
            })));
        log
    }

    /// The messages so far.
    fn lines(&self) -> Vec<(LogLevel, String)> {
        self.logger.flush(super::TEST_TIMEOUT);
        self.messages.lock().clone()
    }

    /// The lines of the audit so far.
    fn audit(&self) -> Vec<Value> {
        let lines = self.lines();
        let audit = lines.iter().filter_map(|(level, line)| {
            let json = line.strip_prefix("audit ")?;
            assert_eq!(*level, LogLevel::Info);
            assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json}");
            Some(serde_json::from_str(json).unwrap())
        });
        audit.collect()
    }
}

struct Secured {
    server: Server,
    log: Log,
}

/// A server of a cluster with a secret.
async fn secured(change: impl FnOnce(&mut Options), accepts_unproven: bool) -> Secured {
    let security = Security::with_keyring(keyring(CLUSTER, SECRET), accepts_unproven);
    with_security(change, security, HttpLimits::default()).await
}

async fn with_security(change: impl FnOnce(&mut Options), security: Security, limits: HttpLimits) -> Secured {
    let mut options = Options::new("node-1", "127.0.0.1:0");
    change(&mut options);
    let log = Log::new();
    let security = security.logging_to(log.logger.clone());
    let access = Arc::new(Access::new(&options, security, log.logger.clone()));
    let server = Server::with_access(FakeNode::new(), limits, access, None).await;
    Secured { server, log }
}

/// A path of the route that exists in the fake node.
fn path_of(route: &Route) -> String {
    match route.path {
        "/nodes/{id}" => "/nodes/node-2".to_owned(),
        "/partitions/{id}/recover" => "/partitions/1/recover".to_owned(),
        "/data/{*key}" => "/data/k".to_owned(),
        "/route" | "/partitions/key" => format!("{}?key=k", route.path),
        path => path.to_owned(),
    }
}

#[test]
fn only_what_reads_has_a_level_below_operate() {
    for route in ROUTES {
        let reads = route.method == "GET" || (route.method, route.path) == ("POST", "/route");
        assert_eq!(route.level.changes(), !reads, "{} {}", route.method, route.path);
    }
    let open: Vec<_> = ROUTES.iter().filter(|route| route.level == Level::None).collect();
    let paths: Vec<_> = open.iter().map(|route| route.path).collect();
    assert_eq!(paths, ["/health", "/ready"]);
}

/// For each route each kind of credentials; what is expected follows from the level alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_nothing_from_any_route() {
    let secured = secured(|_| {}, false).await;
    let server = &secured.server;
    let expired = Token::make(&keyring(CLUSTER, SECRET), Role::Operate, "", Some(1)).unwrap();
    let of_other_cluster = Token::make(&keyring("other", SECRET), Role::Operate, "", None).unwrap();
    let of_other_secret = Token::make(&keyring(CLUSTER, OTHER_SECRET), Role::Operate, "", None).unwrap();
    let (read, operate) = (token(Role::Read), token(Role::Operate));
    let mut flipped = operate.clone();
    flipped.replace_range(4..11, "peerpee");
    let raised = read.replace(".read.", ".operate.");
    let raised_to_peer = operate.replace(".operate.", ".peer.");
    let basic = format!("Basic {operate}");
    let twice = bearer(&operate);
    let strangers: [&[(&str, &str)]; 10] = [
        &[],
        &[("authorization", "")],
        &[("authorization", "Bearer")],
        &[("authorization", &bearer(&flipped))],
        &[("authorization", &bearer(&expired))],
        &[("authorization", &bearer(&of_other_cluster))],
        &[("authorization", &bearer(&of_other_secret))],
        &[("authorization", &bearer(&raised))],
        &[("authorization", &bearer(&raised_to_peer))],
        &[("authorization", &basic)],
    ];
    let refused_twice = [
        ("authorization", twice.as_str()),
        ("authorization", twice.as_str()),
    ];
    // All of it at once, because failures are answered late.
    let mut asked = Vec::new();
    for route in ROUTES {
        for (number, headers) in strangers.iter().copied().chain([&refused_twice[..]]).enumerate() {
            asked.push(async move {
                let answer = server.send(route.method, &path_of(route), headers, "").await;
                let what = format!("{} {} as stranger {number}", route.method, route.path);
                if route.level == Level::None {
                    assert_eq!(answer.status, 200, "{what}");
                    return None;
                }
                assert_eq!(answer.status, 401, "{what}");
                assert_eq!(header(&answer, "www-authenticate"), "Bearer", "{what}");
                assert_eq!(error_of(&parsed(&answer)).0, "UNAUTHENTICATED", "{what}");
                let names = answer.headers.keys();
                assert!(
                    names
                        .into_iter()
                        .all(|name| !name.as_str().starts_with("x-clusterkit")),
                    "{what}"
                );
                Some(answer.body)
            });
        }
    }
    let mut bodies: Vec<_> = futures_util::future::join_all(asked).await;
    bodies.retain(Option::is_some);
    let failures = bodies.len();
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "an answer says more than that there is no proof");
    // Nothing was changed by anybody.
    assert_eq!(server.fake.revision_now(), 5);
    for route in ROUTES {
        for (role, text) in [(Role::Read, &read), (Role::Operate, &operate)] {
            let authorization = bearer(text);
            let headers = [("authorization", authorization.as_str())];
            let answer = server.send(route.method, &path_of(route), &headers, "").await;
            let what = format!("{} {} as {}", route.method, route.path, role.name());
            let is_allowed = route.level.role().is_none_or(|needed| role >= needed);
            if is_allowed {
                assert!(
                    ![401, 403].contains(&answer.status.as_u16()),
                    "{what}: {}",
                    answer.status
                );
                continue;
            }
            assert_eq!(answer.status, 403, "{what}");
            let body = parsed(&answer);
            let (code, message) = error_of(&body);
            assert_eq!(code, "REFUSED", "{what}");
            assert!(
                message.contains(route.level.name()) && message.contains(role.name()),
                "{message}"
            );
        }
    }
    let authorization = bearer(&read);
    let health = server
        .send(
            "GET",
            "/health/detailed",
            &[("authorization", &authorization)],
            "",
        )
        .await;
    let security = &parsed(&health)["security"];
    assert_eq!(security["mode"], "secret");
    // Each route was asked with a right token of role read and with one of role operate, and this is one more.
    let key = &security["keys"][0];
    assert_eq!(key["key_id"], security["key_in_use"]);
    assert!(key["requests"].as_u64().unwrap() > 1, "{key}");
    assert_eq!(security["failed_proofs"], failures);
    let metrics = server
        .send("GET", "/metrics", &[("authorization", &authorization)], "")
        .await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains(&format!("clusterkit_failed_proofs_total {failures}\n")));
    assert!(metrics.contains("clusterkit_security_mode{mode=\"secret\"} 1\n"));
    let lines = secured.log.lines();
    let warnings: Vec<_> = lines
        .iter()
        .filter(|(level, _)| *level == LogLevel::Warn)
        .collect();
    assert!(!warnings.is_empty() && warnings.len() < 30, "{warnings:?}");
    for (_, line) in &lines {
        assert!(!line.contains("ck1."), "a token is in the log: {line}");
    }
}

#[tokio::test]
async fn what_does_not_exist_needs_no_token_to_be_refused() {
    let secured = secured(|_| {}, false).await;
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("PATCH", "/cluster", 405),
        ("OPTIONS", "/data/k", 405),
        ("OPTIONS", "*", 404),
        ("DELETE", "/cluster", 405),
        ("HEAD", "/cluster", 401),
        ("GET", "/data/", 404),
        ("GET", "//cluster", 404),
        ("GET", "/cluster/", 404),
        ("get", "/cluster", 405),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = secured.server.raw(request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{method} {path}: {answer}"
        );
        assert!(!answer.contains("x-clusterkit-revision"), "{answer}");
    }
}

#[tokio::test]
async fn the_scheme_is_compared_without_case() {
    let secured = secured(|_| {}, false).await;
    for scheme in ["Bearer", "bearer", "BEARER", "bEARER "] {
        let authorization = format!("{scheme} {}", token(Role::Read));
        let headers = [("authorization", authorization.as_str())];
        let answer = secured.server.send("GET", "/cluster", &headers, "").await;
        assert_eq!(answer.status, 200, "{scheme}");
    }
}

#[tokio::test]
async fn during_a_rollout_nobody_needs_a_token_and_a_wrong_one_is_refused() {
    let secured = secured(|_| {}, true).await;
    let server = &secured.server;
    assert_eq!(server.send("PUT", "/data/k", &[], "v").await.status, 200);
    let wrong = Token::make(&keyring(CLUSTER, OTHER_SECRET), Role::Operate, "", None).unwrap();
    for (text, status) in [
        (wrong, 401),
        (token(Role::Read), 403),
        (token(Role::Operate), 200),
    ] {
        let authorization = bearer(&text);
        let headers = [("authorization", authorization.as_str())];
        assert_eq!(server.send("PUT", "/data/k", &headers, "v").await.status, status);
    }
    let (_, health) = server.json("GET", "/health/detailed", "").await;
    assert_eq!(health["security"]["mode"], "rollout");
}

#[tokio::test]
async fn without_a_secret_a_token_counts_for_nothing() {
    let secured = with_security(|_| {}, Security::none(), HttpLimits::default()).await;
    let headers = [("authorization", "Bearer x")];
    let answer = secured.server.send("PUT", "/data/k", &headers, "v").await;
    assert_eq!(answer.status, 200);
    let (_, health) = secured.server.json("GET", "/health/detailed", "").await;
    let open = json!({ "mode": "open", "keys": [], "key_in_use": null, "failed_proofs": 0 });
    assert_eq!(health["security"], open);
    let insecure = with_security(|o| o.insecure = true, Security::none(), HttpLimits::default()).await;
    let (_, health) = insecure.server.json("GET", "/health/detailed", "").await;
    assert_eq!(health["security"]["mode"], "insecure");
}

#[tokio::test]
async fn an_http_client_writes_no_reserved_key() {
    let reserve = |options: &mut Options| options.reserved_data_prefix = Some("own/".to_owned());
    let secured = secured(reserve, false).await;
    let authorization = bearer(&token(Role::Operate));
    let headers = [("authorization", authorization.as_str())];
    for (method, path, status) in [
        ("PUT", "/data/own/a", 403),
        ("PUT", "/data/%6fwn%2fa", 403),
        ("DELETE", "/data/own%2F", 403),
        ("PUT", "/data/own", 200),
        ("GET", "/data/own/a", 404),
    ] {
        let answer = secured.server.send(method, path, &headers, "v").await;
        assert_eq!(answer.status, status, "{method} {path}");
        if status == 403 {
            assert_eq!(error_of(&parsed(&answer)).0, "REFUSED");
        }
    }
    let audit = secured.log.audit();
    assert_eq!(
        (&audit[0]["error"], &audit[0]["target"]),
        (&json!("REFUSED"), &json!("own/a"))
    );
}

#[tokio::test]
async fn who_changed_what_is_written_down() {
    let secured = secured(|_| {}, false).await;
    let server = &secured.server;
    let authorization = bearer(&token(Role::Operate));
    let headers = [("authorization", authorization.as_str())];
    let value = "a value that nobody may see";
    assert_eq!(server.send("PUT", "/data/a/b", &headers, value).await.status, 200);
    assert_eq!(server.send("GET", "/data/a/b", &headers, "").await.status, 200);
    assert_eq!(
        server.send("DELETE", "/nodes/absent", &headers, "").await.status,
        404
    );
    assert_eq!(
        server
            .send("POST", "/step-down?to=node-2", &headers, "")
            .await
            .status,
        200
    );
    assert_eq!(server.send("GET", "/cluster?key=k", &[], "").await.status, 401);
    let node = json!({ "node": { "id": "node-9", "ip": "10.0.0.9:80" }, "raft_addr": "" }).to_string();
    assert_eq!(server.send("POST", "/join", &headers, &node).await.status, 403);
    let audit = secured.log.audit();
    let key_id = keyring(CLUSTER, SECRET).ids()[0].to_string();
    let told: Vec<_> = audit
        .iter()
        .map(|line| {
            json!([
                line["call"],
                line["target"],
                line["status"],
                line["error"],
                line["revision"],
                line["role"]
            ])
        })
        .collect();
    assert_eq!(
        told,
        [
            json!(["PUT /data/{*key}", "a/b", 200, null, 6, "operate"]),
            json!(["DELETE /nodes/{id}", "absent", 404, "NOT_FOUND", null, "operate"]),
            json!(["POST /step-down", "node-2", 200, null, null, "operate"]),
            json!(["GET /cluster", null, 401, "UNAUTHENTICATED", null, "none"]),
            json!(["POST /join", null, 403, "REFUSED", null, "operate"]),
        ]
    );
    assert_eq!(
        (&audit[0]["principal"], &audit[0]["key_id"]),
        (&json!("alice"), &json!(key_id))
    );
    assert!(audit[0]["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(audit[0]["time"].as_str().unwrap().ends_with('Z'));
    for (_, line) in secured.log.lines() {
        assert!(!line.contains(value) && !line.contains("ck1."), "{line}");
    }
}

#[tokio::test]
async fn one_address_joins_only_so_often() {
    let server = Server::start().await;
    let node = json!({ "node": { "id": "node-9", "ip": "10.0.0.9:80" }, "raft_addr": "" }).to_string();
    let began = std::time::Instant::now();
    let mut refused = None;
    for number in 0..10_000 {
        let (status, answer) = server.json("POST", "/join", &node).await;
        if status != 200 {
            refused = Some((number, status, answer));
            break;
        }
    }
    let (number, status, answer) = refused.expect("some join should be refused");
    let (code, message) = error_of(&answer);
    assert_eq!((status, code), (503, "BUSY"));
    assert!(
        message.contains("32 joins a second from one address"),
        "{message}"
    );
    let admitted_later = 33 * (began.elapsed().as_secs() + 1);
    assert!((256..=256 + admitted_later).contains(&number), "{number}");
}

#[tokio::test]
async fn a_join_names_the_node_and_its_revision() {
    let secured = with_security(|_| {}, Security::none(), HttpLimits::default()).await;
    let node = json!({ "node": { "id": "node-9", "ip": "10.0.0.9:80" }, "raft_addr": "" }).to_string();
    let (status, answer) = secured.server.json("POST", "/join", &node).await;
    assert_eq!(status, 200, "{answer}");
    let audit = secured.log.audit();
    assert_eq!(audit[0]["target"], "node-9");
    assert_eq!(audit[0]["revision"], answer["data"]["revision"]);
}

#[tokio::test]
async fn hostile_names_do_nothing_to_the_log() {
    let secured = with_security(|_| {}, Security::none(), HttpLimits::default()).await;
    let names = [
        "\"}\naudit {\"principal\":\"root\"",
        "\u{1b}[2J\u{9b}31m",
        "\u{202e}gnp.exe",
        "\\u0000\\",
        "\u{1f600}\u{7f}\r\n",
    ];
    for name in names {
        secured.server.send("PUT", &data_path(name), &[], "v").await;
        let id: String = data_path(name).replacen("/data/", "/nodes/", 1);
        secured.server.send("DELETE", &id, &[], "").await;
    }
    secured.server.send("PUT", "/data/%ff%00", &[], "v").await;
    let audit = secured.log.audit();
    let targets: Vec<_> = audit
        .iter()
        .map(|line| line["target"].as_str().unwrap())
        .collect();
    let mut expected: Vec<_> = names.iter().flat_map(|name| [*name, *name]).collect();
    expected.push("\u{fffd}\0");
    assert_eq!(targets, expected);
    assert!(secured.log.lines().iter().all(|(_, line)| !line.contains('\n')));
}

#[tokio::test]
async fn a_call_without_an_answer_is_written_down() {
    let limits = HttpLimits {
        shutdown_grace: Duration::ZERO,
        ..HttpLimits::default()
    };
    let mut secured = with_security(|_| {}, Security::none(), limits).await;
    secured.server.fake.hangs.store(true, Ordering::Relaxed);
    let mut stream = TcpStream::connect(secured.server.addr).await.unwrap();
    let request = "PUT /data/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nv";
    stream.write_all(request.as_bytes()).await.unwrap();
    while secured.server.fake.timeout.lock().is_zero() {
        tokio::task::yield_now().await;
    }
    drop(secured.server.shutdown.take());
    secured.server.task.await.unwrap();
    let audit = secured.log.audit();
    assert_eq!(
        (&audit[0]["call"], &audit[0]["status"]),
        (&json!("PUT /data/{*key}"), &Value::Null)
    );
}

#[tokio::test]
async fn why_a_node_is_not_ready_is_for_those_who_may_read() {
    let security = Security::with_keyring(keyring(CLUSTER, SECRET), false);
    let options = Options::new("node-1", "127.0.0.1:0");
    let access = Arc::new(Access::new(&options, security, Arc::default()));
    let limits = HttpLimits::default();
    let server = Server::with_access(FakeNode::without_partitions(), limits, access, None).await;
    let authorization = bearer(&token(Role::Read));
    for (headers, tells) in [
        (&[][..], false),
        (&[("authorization", "Bearer wrong")], false),
        (&[("authorization", authorization.as_str())], true),
    ] {
        let answer = server.send("GET", "/ready", headers, "").await;
        assert_eq!(answer.status, 503);
        let message = parsed(&answer)["message"].as_str().unwrap().to_owned();
        assert_eq!(message == "no partitions", tells, "{message}");
    }
}

/// A connection that waits because it has proved nothing gives way to another.
#[tokio::test]
async fn who_fails_keeps_no_place() {
    let limits = HttpLimits {
        max_connections: 1,
        reserved_connections: 0,
        ..HttpLimits::default()
    };
    let security = Security::with_keyring(keyring(CLUSTER, SECRET), false);
    let secured = with_security(|_| {}, security, limits).await;
    let addr = secured.server.addr;
    let request = "GET /cluster HTTP/1.1\r\nHost: x\r\n\r\n";
    // The answers get later with each failure, so the last of these waits for a second.
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.repeat(8).as_bytes()).await.unwrap();
    let served = async {
        while !super::Client::new(addr).is_served().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::TEST_TIMEOUT, served).await.unwrap();
    let answers = read_to_end(&mut stream).await.matches("HTTP/1.1 401").count();
    assert!(answers < 8, "it was evicted while it waited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_shows_its_token() {
    let secured = secured(|_| {}, false).await;
    let addr = secured.server.addr.to_string();
    let options = ClientOptions::builder([&addr])
        .token(token(Role::Read))
        .member_addrs(false);
    let client = AsyncClient::new(options.build().unwrap()).unwrap();
    assert_eq!(client.refresh(super::TEST_TIMEOUT).await.unwrap(), 5);
    let stranger = AsyncClient::new(ClientOptions::new([&addr])).unwrap();
    let error = stranger.refresh(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unauthenticated, "{error}");
}
