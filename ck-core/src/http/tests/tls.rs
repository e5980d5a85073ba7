//! HTTP over TLS: who is told to be at the other end, and what becomes of connections that never get that far.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use axum::{Extension, Router};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fake_node::FakeNode;
use super::{HttpLimits, Server, TEST_TIMEOUT, read_to_end};
use crate::error::ErrorCode;
use crate::net::test_certificates::{TestCa, TestCertificate};
use crate::net::{
    ClientTls, ClientTlsPem, ConnectionIdentity, PeerStream, Security, Socket, Tls, TlsOwner, TlsPem,
};

fn security(ca: &TestCa, is_rollout: bool) -> Security {
    let owner = TlsOwner {
        cluster: "test".to_owned(),
        node: "node-1".to_owned(),
        has_secret: false,
    };
    let pem = ca.issue_peer("test", "node-1");
    Security::new(None, Some(Tls::new(owner, &pem).unwrap()), is_rollout)
}

/// Says who the server takes the client for.
fn who() -> Router {
    let who = async |Extension(identity): Extension<ConnectionIdentity>| {
        let certificate = identity.certificate();
        let name = certificate.and_then(|certificate| certificate.highest_in("test"));
        let name = name.map_or_else(|| "nobody".to_owned(), ToString::to_string);
        format!("encrypted: {}, {name}", identity.is_encrypted())
    };
    Router::new().route("/who", get(who)).route("/peer", get(who))
}

async fn server(security: Security, limits: HttpLimits) -> Server {
    Server::secured(FakeNode::new(), limits, Some(who()), security).await
}

/// A client that knows the authority.
fn client(ca: &TestCa, own: Option<&TlsPem>) -> ClientTls {
    ClientTls::new(ClientTlsPem {
        cluster: Some("test"),
        ca: Some(ca.pem()),
        own: own.map(|pem| (&*pem.cert, &*pem.key)),
    })
    .unwrap()
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut answer)).await;
    let _ = reading.expect("the server answers or closes");
    String::from_utf8(answer).unwrap()
}

async fn connect(server: &Server, tls: &ClientTls) -> crate::Result<Box<dyn PeerStream>> {
    let socket = Socket::new(TcpStream::connect(server.addr).await.unwrap());
    Ok(Box::new(tls.connect(socket, &server.addr.to_string()).await?))
}

#[tokio::test]
async fn a_request_tells_what_the_clients_certificate_says() {
    let ca = TestCa::new("ca");
    let server = server(security(&ca, false), HttpLimits::default()).await;
    let nobody = ca.issue(TestCertificate::default());
    let several = ca.issue(TestCertificate {
        uris: &["clusterkit://test/read/ada", "clusterkit://test/operate/ada"],
        ..TestCertificate::default()
    });
    let reader = ca.issue_uri("clusterkit://test/read/grafana");
    let stranger = ca.issue_uri("clusterkit://production/operate/ada");
    for (own, expected) in [
        (None, "encrypted: true, nobody"),
        (Some(&nobody), "encrypted: true, nobody"),
        (Some(&stranger), "encrypted: true, nobody"),
        (Some(&reader), "encrypted: true, clusterkit://test/read/grafana"),
        (Some(&several), "encrypted: true, clusterkit://test/operate/ada"),
    ] {
        let mut stream = connect(&server, &client(&ca, own)).await.unwrap();
        let answer = ask(&mut stream, "/who").await;
        assert!(answer.ends_with(expected), "{expected}: {answer}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_shown_has_to_be_valid() {
    let (ca, other) = (TestCa::new("ca"), TestCa::new("ca"));
    let server = server(security(&ca, false), HttpLimits::default()).await;
    let expired = ca.issue(TestCertificate {
        uris: &["clusterkit://test/operate/ada"],
        valid: (-7200, -3600),
        ..TestCertificate::default()
    });
    for own in [other.issue_uri("clusterkit://test/operate/ada"), expired] {
        let mut stream = connect(&server, &client(&ca, Some(&own))).await.unwrap();
        assert_eq!(
            ask(&mut stream, "/who").await,
            "",
            "the server ends the connection"
        );
    }
}

#[tokio::test]
async fn a_client_accepts_members_of_its_cluster_and_hosts_that_it_has_dialled() {
    let (ca, other) = (TestCa::new("ca"), TestCa::new("ca"));
    let server = server(security(&ca, false), HttpLimits::default()).await;
    let named = |cluster, ca: &TestCa| {
        let ca = Some(ca.pem());
        ClientTls::new(ClientTlsPem {
            cluster,
            ca,
            own: None,
        })
        .unwrap()
    };
    for (what, tls, is_accepted) in [
        ("its cluster", named(Some("test"), &ca), true),
        ("another cluster", named(Some("production"), &ca), false),
        (
            "no cluster, and no name of the host in the certificate",
            named(None, &ca),
            false,
        ),
        ("another CA", named(Some("test"), &other), false),
        ("insecure", ClientTls::new(ClientTlsPem::default()).unwrap(), true),
    ] {
        let outcome = connect(&server, &tls).await.map(drop);
        assert_eq!(outcome.is_ok(), is_accepted, "{what}: {outcome:?}");
        if let Err(error) = outcome {
            assert_eq!(error.code(), ErrorCode::Unauthenticated, "{what}: {error}");
        }
    }
}

/// What happened to Consul (CVE-2021-37219): a certificate of the same authority that is for something else.
#[tokio::test]
async fn a_certificate_of_an_operator_is_no_servers_though_it_names_the_host() {
    let ca = TestCa::new("ca");
    for (uri, is_accepted_by_host) in [
        ("clusterkit://test/operate/ada", false),
        ("clusterkit://test/read/ada", false),
        ("clusterkit://test/admin/ada", false),
        // A member of some cluster, at its host: right for a client that names no cluster.
        ("clusterkit://production/peer/node-1", true),
    ] {
        let owner = TlsOwner {
            cluster: "test".to_owned(),
            node: "node-1".to_owned(),
            has_secret: false,
        };
        let pem = ca.issue(TestCertificate {
            uris: &[uri],
            hosts: &["127.0.0.1"],
            ..TestCertificate::default()
        });
        let security = Security::new(None, Some(Tls::unchecked(owner, &pem)), false);
        let server = server(security, HttpLimits::default()).await;
        for (cluster, is_accepted) in [(Some("test"), false), (None, is_accepted_by_host)] {
            let ca = Some(ca.pem());
            let tls = ClientTls::new(ClientTlsPem {
                cluster,
                ca,
                own: None,
            })
            .unwrap();
            let outcome = connect(&server, &tls).await.map(drop);
            assert_eq!(outcome.is_ok(), is_accepted, "{uri}, {cluster:?}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_plain_client_is_told_that_tls_is_spoken() {
    let ca = TestCa::new("ca");
    let server = server(security(&ca, false), HttpLimits::default()).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let answer = ask(&mut stream, "/who").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("https"), "{answer}");
    // The size of a body does not matter.
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let head = "PUT /data/k HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[b'x'; 20_000]).await.unwrap();
    assert!(read_to_end(&mut stream).await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn while_tls_is_introduced_plain_clients_are_served_too() {
    let ca = TestCa::new("ca");
    let server = server(security(&ca, true), HttpLimits::default()).await;
    let mut plain = TcpStream::connect(server.addr).await.unwrap();
    assert!(
        ask(&mut plain, "/who")
            .await
            .ends_with("encrypted: false, nobody")
    );
    let mut stream = connect(&server, &client(&ca, None)).await.unwrap();
    assert!(
        ask(&mut stream, "/who")
            .await
            .ends_with("encrypted: true, nobody")
    );
}

#[tokio::test]
async fn the_protocol_of_peers_gives_nothing_but_the_path_of_peers() {
    let ca = TestCa::new("ca");
    let server = server(security(&ca, false), HttpLimits::default()).await;
    let peer = client(&ca, None).offering(b"clusterkit/1");
    for (path, status) in [("/peer", 200), ("/who", 404), ("/cluster", 404), ("/health", 404)] {
        let mut stream = connect(&server, &peer).await.unwrap();
        let answer = ask(&mut stream, path).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
    }
    let unknown = client(&ca, None).offering(b"h2");
    assert!(connect(&server, &unknown).await.is_err());
}

#[tokio::test]
async fn an_answer_arrives_although_the_body_was_not_read() {
    let ca = TestCa::new("ca");
    let server = server(security(&ca, false), HttpLimits::default()).await;
    let mut stream = connect(&server, &client(&ca, None)).await.unwrap();
    let head = "PUT /data/k HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..8 {
        let _ = stream.write_all(&[b'x'; 16 << 10]).await;
    }
    let mut first = [0; 12];
    tokio::time::timeout(TEST_TIMEOUT, stream.read_exact(&mut first))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&first, b"HTTP/1.1 413");
}

/// The beginning of a handshake.
const PART_OF_HELLO: &[u8] = &[0x16, 3, 1, 1, 0, 1, 0, 0];

#[tokio::test]
async fn silent_and_slow_handshakes_crowd_out_nobody() {
    let ca = TestCa::new("ca");
    let limits = HttpLimits {
        max_connections: 8,
        reserved_connections: 4,
        header_deadline: TEST_TIMEOUT,
        ..HttpLimits::default()
    };
    let crowded = server(security(&ca, false), limits).await;
    let mut strangers = Vec::new();
    for number in 0..40 {
        let mut stream = TcpStream::connect(crowded.addr).await.unwrap();
        let _ = stream.write_all(&PART_OF_HELLO[..[0, 1, 8][number % 3]]).await;
        strangers.push(stream);
        // They wait for long, so a client is served only by taking the place of one of them.
        let mut stream = connect(&crowded, &client(&ca, None)).await.unwrap();
        assert!(ask(&mut stream, "/health").await.starts_with("HTTP/1.1 200 "));
    }
    // And none of them waits for ever.
    let limits = HttpLimits {
        header_deadline: Duration::from_millis(50),
        ..HttpLimits::default()
    };
    let short = server(security(&ca, false), limits).await;
    for length in [0, 1, 8] {
        let mut stream = TcpStream::connect(short.addr).await.unwrap();
        stream.write_all(&PART_OF_HELLO[..length]).await.unwrap();
        read_to_end(&mut stream).await;
    }
}

/// Handshakes of clients burden the threads of clients only.
#[test]
fn clients_and_peers_have_threads_of_their_own_with_tls() {
    let runtime = |name| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name(name).enable_all();
        builder.build().unwrap()
    };
    let (members, clients) = (runtime("members"), runtime("clients"));
    let handle = clients.handle().clone();
    members.block_on(async {
        tokio::spawn(async {
            let ca = TestCa::new("ca");
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
            let secured = security(&ca, false);
            let serving = crate::http::serve(listener, router, limits, secured, Some(handle), async {
                drop(stopped.await);
            });
            let serving = tokio::spawn(serving);
            for (protocol, path, expected) in [
                (&b"clusterkit/1"[..], "/peer", "members"),
                (b"http/1.1", "/who", "clients"),
                (b"http/1.1", "/peer", "clients"),
            ] {
                let tls = client(&ca, None).offering(protocol);
                let socket = Socket::new(TcpStream::connect(addr).await.unwrap());
                let mut stream = tls.connect(socket, &addr.to_string()).await.unwrap();
                let answer = ask(&mut stream, path).await;
                assert!(answer.ends_with(expected), "{path}: {answer}");
            }
            drop(stop);
            serving.await.unwrap();
        })
        .await
        .unwrap();
    });
    clients.shutdown_background();
}
