//! The attacks that other systems did not survive, one by one, on a cluster of real nodes. docs/security.md has where each was
//! seen.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clusterkit::http::JoinNode;
use clusterkit::net::{
    Keyring, Lane, LocalIdentity, NetLimits, Role, Security, TcpTransport, Token, Transport,
};
use clusterkit::{ErrorCode, Expect, Options};

use crate::support::{TIMEOUT, TestNode, cluster, founder, join, leader, options, post_join, settle, stop};

const SECRET: &str = "0yxn6Zq3Tk4uVwA9bCdE2fGhIjKlMnOpQrStUvWxYz1";
const CLUSTER: &str = "clusterkit-cluster";

fn with_secret(mut options: Options) -> Options {
    options.cluster_secret = Some(SECRET.into());
    options
}

fn secured() -> Vec<TestNode> {
    let mut nodes = vec![TestNode::start(with_secret(founder("node-1"))).unwrap()];
    for id in ["node-2", "node-3"] {
        nodes.push(join(with_secret(options(id)), &nodes[..1]).unwrap());
    }
    settle(&nodes);
    nodes
}

/// Shows that the cluster is as it was: these members, and writes through each of them.
fn unharmed(nodes: &[TestNode]) {
    for node in nodes {
        node.kit
            .set_custom_data(&format!("after-{}", node.id()), "value", Expect::Any, TIMEOUT)
            .unwrap();
        assert_eq!(node.kit.view().nodes().len(), nodes.len(), "on {}", node.id());
    }
}

/// One HTTP request, written by hand: any header, any body. The status and the whole answer.
fn ask(addr: &str, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let request = format!(
        "{head}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    // A server that refuses the head may close before it has read the body.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or(0), answer)
}

fn head(method: &str, addr: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\n{more}")
}

fn join_body(id: &str, at: &str) -> Vec<u8> {
    format!(r#"{{"node": {{"id": "{id}", "ip": "{at}", "process": 7}}, "raft_addr": "{at}"}}"#).into_bytes()
}

/// What a peer would send, as this node and with this secret.
fn call_as(
    node: &str,
    secret: Option<&str>,
    addr: &str,
    lane: Lane,
    request: &[u8],
) -> Result<Bytes, ErrorCode> {
    let security = match secret {
        Some(secret) => Security::with_keyring(Keyring::new(CLUSTER, secret).unwrap(), false),
        None => Security::none(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let transport = TcpTransport::new(CLUSTER, NetLimits::default(), security);
        transport.identify(Arc::new(LocalIdentity::new(node.into())));
        let request = Bytes::copy_from_slice(request);
        let answer = transport.call(addr, lane, request, Duration::from_secs(5)).await;
        answer.map_err(|error| error.code())
    })
}

#[test]
fn attack_01_join_without_credentials() {
    let nodes = secured();
    let addr = nodes[0].addr();
    let mut stranger = options("stranger");
    stranger.join_addrs = vec![addr.clone()];
    stranger.join_timeout = Duration::from_secs(2);
    let error = TestNode::start(stranger).err().expect("it should be refused");
    assert_eq!(error.code(), ErrorCode::Unauthenticated, "{error}");
    let (status, answer) = ask(
        &addr,
        &head("POST", &addr, "/join", ""),
        &join_body("stranger", "127.0.0.1:1"),
    );
    assert_eq!(status, 401, "{answer}");
    // Every part of the proof is needed: none, an empty one, one without a nonce, without keys, without a node.
    let upgrade = "connection: upgrade\r\nupgrade: clusterkit/1\r\nclusterkit-cluster: clusterkit-cluster\r\n\
                   clusterkit-lane: request\r\n";
    for proof in [
        "",
        "clusterkit-proof: \r\n",
        "clusterkit-node: a\r\nclusterkit-proof: 1\r\n",
        "clusterkit-node: a\r\nclusterkit-proof: 1  \r\n",
        "clusterkit-node: a\r\nclusterkit-proof: 1 , AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
        "clusterkit-node: a\r\nclusterkit-proof: 1 00000000 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
    ] {
        let request = format!("GET /peer HTTP/1.1\r\nhost: {addr}\r\n{upgrade}{proof}");
        let (status, answer) = ask(&addr, &request, b"");
        assert_eq!(status, 401, "{proof}: {answer}");
    }
    unharmed(&nodes);
    stop(nodes);
}

#[test]
fn attack_02_code_in_the_join_message() {
    let nodes = cluster(3);
    let addr = nodes[0].addr();
    let deep = "[".repeat(100_000);
    for body in [
        r#"{"node": {"@class": "javax.script.ScriptEngineManager", "id": "x", "ip": "127.0.0.1:1"}}"#,
        r#"{"node": {"__proto__": {"id": "x"}, "constructor": {"name": "Function"}}}"#,
        r#"{"node": "!!python/object/apply:os.system [id]"}"#,
        r#"{"node": {"id": "$(touch pwned)", "ip": "`id`:1"}}"#,
        &format!(r#"{{"node": {deep}"#),
    ] {
        let (status, answer) = ask(&addr, &head("POST", &addr, "/join", ""), body.as_bytes());
        assert!((400..500).contains(&status), "{status} {answer}");
    }
    // The same between peers: every byte as the kind of message, and types that MessagePack has and no message.
    for first in 0..=255 {
        for rest in [
            &b"\xc7\xff\x01"[..],
            b"\xd8\x00",
            b"\xdf\xff\xff\xff\xff",
            b"\xdd\xff\xff\xff\xff",
            b"\xc1",
        ] {
            let request = [&[first][..], rest].concat();
            let answer = call_as("x", None, &addr, Lane::Request, &request);
            assert!(answer.is_ok() || first != 0, "it is answered, with a refusal");
        }
    }
    unharmed(&nodes);
    stop(nodes);
}

#[test]
fn attack_03_a_clients_credential_used_as_a_members() {
    let nodes = secured();
    let addr = nodes[0].addr();
    let keyring = Keyring::new(CLUSTER, SECRET).unwrap();
    let token = Token::make(&keyring, Role::Operate, "operator", None).unwrap();
    let bearer = format!("authorization: Bearer {token}\r\n");
    // It is a good token, and none of a member.
    let (status, answer) = ask(&addr, &head("GET", &addr, "/cluster", &bearer), b"");
    assert_eq!(status, 200, "{answer}");
    for path in ["/join", "/sync"] {
        let (status, answer) = ask(
            &addr,
            &head("POST", &addr, path, &bearer),
            &join_body("x", "127.0.0.1:1"),
        );
        assert_eq!(status, 403, "{answer}");
    }
    let upgrade = "connection: upgrade\r\nupgrade: clusterkit/1\r\nclusterkit-cluster: clusterkit-cluster\r\n\
                   clusterkit-lane: request\r\nclusterkit-node: x\r\n";
    let request = format!("GET /peer HTTP/1.1\r\nhost: {addr}\r\n{upgrade}{bearer}");
    assert_eq!(ask(&addr, &request, b"").0, 401);
    // As the secret itself it is another secret.
    let answer = call_as("x", Some(&token), &addr, Lane::Request, b"\x03");
    assert_eq!(answer, Err(ErrorCode::Unauthenticated));
    unharmed(&nodes);
    stop(nodes);
}

#[test]
fn attack_04_the_server_is_made_to_dial() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    target.set_nonblocking(true).unwrap();
    let at = target.local_addr().unwrap().to_string();
    // Without a proof nothing is dialled.
    let nodes = secured();
    let addr = nodes[leader(&nodes)].addr();
    let (status, _) = ask(&addr, &head("POST", &addr, "/join", ""), &join_body("x", &at));
    assert_eq!(status, 401);
    assert!(target.accept().is_err(), "somebody was dialled for a stranger");
    stop(nodes);
    // Where everybody may ask, what was found is not told: the answers for an open port and a closed one are alike.
    let nodes = cluster(3);
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let refusal = |at: &str| {
        let node = JoinNode {
            id: "x".to_owned(),
            ip: at.to_owned(),
            ..JoinNode::default()
        };
        let error = post_join(&nodes[leader(&nodes)], node, at).unwrap_err();
        assert_eq!(error.code(), ErrorCode::JoinRefused, "{error}");
        error.message().replace(at, "ADDRESS")
    };
    assert_eq!(refusal(&at), refusal(&closed));
    unharmed(&nodes);
    stop(nodes);
    // And outside allowed_cidrs nothing is dialled for anybody.
    let mut careful = founder("careful");
    careful.allowed_cidrs = vec!["10.0.0.0/8".to_owned(), "127.0.0.2".to_owned()];
    careful.http_addr = "127.0.0.2:0".to_owned();
    let node = TestNode::start(careful).unwrap();
    while target.accept().is_ok() {}
    let joiner = JoinNode {
        id: "x".to_owned(),
        ip: at.clone(),
        ..JoinNode::default()
    };
    post_join(&node, joiner, &at).unwrap_err();
    assert!(
        target.accept().is_err(),
        "an address outside allowed_cidrs was dialled"
    );
    stop(vec![node]);
}

#[test]
fn attack_05_exhaustion_without_credentials() {
    let nodes = secured();
    let addr = nodes[0].addr();
    let mut held = Vec::new();
    for number in 0..600 {
        let Ok(mut stream) = TcpStream::connect(&addr) else {
            continue;
        };
        // Nothing, a part of a head, a head that promises a body, and an upgrade that is never completed.
        let part: &[u8] = match number % 4 {
            0 => b"",
            1 => b"GET /cluster HTT",
            2 => b"POST /join HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n{",
            _ => b"GET /peer HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: clusterkit/1\r\n",
        };
        let _ = stream.write_all(part);
        held.push(stream);
    }
    let began = Instant::now();
    unharmed(&nodes);
    let (status, answer) = ask(&addr, &head("GET", &addr, "/health", ""), b"");
    assert_eq!(status, 200, "{answer}");
    let newcomer = join(with_secret(options("node-4")), &nodes[..1]).unwrap();
    assert!(began.elapsed() < TIMEOUT);
    drop(held);
    let mut nodes = nodes;
    nodes.push(newcomer);
    settle(&nodes);
    stop(nodes);
}

#[test]
fn attack_06_a_crafted_entry_or_snapshot() {
    // By somebody who has the secret: the worst case.
    let nodes = secured();
    let leads = nodes[leader(&nodes)].addr();
    for service in 0..=4 {
        for lane in Lane::ALL {
            for body in [
                &b""[..],
                b"\x00",
                b"\x80",
                b"\x93\x01\x02\x03",
                &[0xff; 64],
                &[0x91; 4096],
                &[0xc6; 70_000],
            ] {
                let request = [&[service][..], body].concat();
                let answer = call_as("turned", Some(SECRET), &leads, lane, &request);
                assert!(
                    !matches!(answer, Err(ErrorCode::Internal)),
                    "service {service}, {lane:?}, {} bytes",
                    body.len()
                );
            }
        }
    }
    unharmed(&nodes);
    // Nothing of it is in the logs: a node that starts again reads what it has.
    stop(nodes);
}

#[test]
fn attack_07_a_browsers_requests_and_a_rebound_name() {
    let nodes = cluster(1);
    let addr = nodes[0].addr();
    for (method, path) in [
        ("POST", "/step-down"),
        ("DELETE", "/nodes/node-1"),
        ("PUT", "/data/k"),
        ("POST", "/join"),
    ] {
        let more = "origin: http://evil.example\r\n";
        let (status, answer) = ask(&addr, &head(method, &addr, path, more), b"{}");
        assert_eq!(status, 403, "{method} {path}: {answer}");
    }
    let rebound = "GET /cluster HTTP/1.1\r\nhost: evil.example\r\nuser-agent: Mozilla/5.0\r\n";
    let (status, answer) = ask(&addr, rebound, b"");
    assert_eq!(status, 403, "{answer}");
    unharmed(&nodes);
    stop(nodes);
}

#[test]
fn attack_08_a_default_secret() {
    let open = Options::new("node-1", "0.0.0.0:0");
    assert!(open.cluster_secret.is_none() && !open.insecure);
    for addr in ["0.0.0.0:0", ":0"] {
        let mut options = founder("node-1");
        options.http_addr = addr.to_owned();
        let error = TestNode::start(options.clone())
            .err()
            .expect("it should be refused");
        assert_eq!(error.code(), ErrorCode::InvalidOption, "{error}");
        for way_out in ["cluster_secret", "insecure"] {
            assert!(error.message().contains(way_out), "{error}");
        }
        stop(vec![TestNode::start(with_secret(options)).unwrap()]);
    }
    let mut own = founder("node-1");
    own.raft_addr = Some("0.0.0.0:0".to_owned());
    let error = TestNode::start(own).err().expect("it should be refused");
    assert!(error.message().contains("raft_addr"), "{error}");
    let mut guessable = founder("node-1");
    for secret in [
        "",
        "clusterkit",
        "changeme-changeme-changeme-changeme-changeme-changeme",
    ] {
        guessable.cluster_secret = Some(secret.into());
        let error = TestNode::start(guessable.clone())
            .err()
            .expect("it should be refused");
        assert_eq!(error.code(), ErrorCode::InvalidOption, "{secret:?}: {error}");
    }
}

#[test]
fn attack_09_one_request_that_freezes_a_node() {
    let nodes = cluster(1);
    let addr = nodes[0].addr();
    for query in [
        "/nodes?offset=-1",
        "/nodes?offset=18446744073709551615",
        "/nodes?limit=0",
        "/nodes?limit=99999999999999999999",
        "/cluster?wait=18446744073709551615&timeout=999h",
        "/route?key=",
        "/partitions/key?key=%00%ff",
    ] {
        let began = Instant::now();
        let (status, answer) = ask(&addr, &head("GET", &addr, query, ""), b"");
        assert!(status != 0 && status < 500, "{query}: {answer}");
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{query} took {:?}",
            began.elapsed()
        );
    }
    unharmed(&nodes);
    stop(nodes);
}

#[test]
fn attack_10_an_address_taken_over_by_joining_under_anothers_id() {
    let nodes = secured();
    let before: Vec<String> = nodes.iter().map(TestNode::addr).collect();
    let mut twin = with_secret(options("node-2"));
    twin.join_addrs = vec![nodes[0].addr()];
    twin.join_timeout = Duration::from_secs(3);
    let error = TestNode::start(twin).err().expect("it should be refused");
    assert_eq!(error.code(), ErrorCode::DuplicateNode, "{error}");
    for node in &nodes {
        let view = node.kit.view();
        let known: Vec<String> = view.nodes().iter().map(|node| node.ip.clone()).collect();
        assert_eq!(known, before);
    }
    unharmed(&nodes);
    stop(nodes);
}

#[test]
fn attack_11_a_quorum_stolen_by_adding_voters() {
    let nodes = cluster(1);
    for number in 0..5 {
        let dead = format!("127.0.0.1:{}", number + 1);
        let node = JoinNode {
            id: format!("ghost-{number}"),
            ip: dead.clone(),
            ..JoinNode::default()
        };
        let error = post_join(&nodes[0], node, &dead).unwrap_err();
        assert_eq!(error.code(), ErrorCode::JoinRefused, "{error}");
    }
    unharmed(&nodes);
    stop(nodes);
}

#[test]
fn attack_12_two_clusters_merged_by_a_wrong_address() {
    let ours = secured();
    // Another name with the same secret, and the same name with the secret of another cluster.
    let mut other_name = with_secret(founder("node-9"));
    other_name.cluster_name = "other".to_owned();
    let other = TestNode::start(other_name).unwrap();
    let mut joiner = with_secret(options("node-8"));
    joiner.join_addrs = vec![other.addr()];
    joiner.join_timeout = Duration::from_secs(2);
    let error = TestNode::start(joiner).err().expect("it should be refused");
    assert_eq!(error.code(), ErrorCode::WrongCluster, "{error}");
    let mut both = with_secret(options("node-8"));
    both.join_addrs = vec![other.addr(), ours[0].addr()];
    let joined = TestNode::start(both).unwrap();
    assert_eq!(
        joined.kit.view().topology().cluster_id,
        ours[0].kit.view().topology().cluster_id
    );
    assert_eq!(other.kit.view().nodes().len(), 1);
    let mut ours = ours;
    ours.push(joined);
    settle(&ours);
    stop(ours);
    stop(vec![other]);
}

#[test]
fn attack_13_calls_of_a_removed_node() {
    let mut nodes = secured();
    let place = (leader(&nodes) + 1) % 3;
    let removed = nodes.remove(place);
    nodes[0].kit.remove_node(removed.id(), TIMEOUT).unwrap();
    let leads = nodes[leader(&nodes)].addr();
    // It knows the secret and its own id, and says that it stops, in the name of the process that it was.
    settle(&nodes);
    let answer = call_as(removed.id(), Some(SECRET), &leads, Lane::Request, b"\x03\x80");
    assert!(answer.is_ok(), "it is answered, with a refusal: {answer:?}");
    let key = "written-by-the-removed";
    let error = removed
        .kit
        .set_custom_data(key, "x", Expect::Any, Duration::from_secs(3))
        .unwrap_err();
    assert!(
        matches!(
            error.code(),
            ErrorCode::Removed | ErrorCode::Stopped | ErrorCode::NotStarted
        ),
        "{error}"
    );
    unharmed(&nodes);
    assert!(nodes.iter().all(|node| node.kit.custom_data(key).is_none()));
    let _ = removed.kit.stop();
    stop(nodes);
}
