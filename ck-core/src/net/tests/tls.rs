//! TLS between peers, on the listener for peers: who is accepted, at either end.

use super::*;
use crate::error::{Error, ErrorCode};
use crate::net::test_certificates::{TestCa, TestCertificate};

const REQUEST: Bytes = Bytes::from_static(b"ask");
const SECRET: &str = "9f1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff0";

/// TLS of a node, whether or not the certificate is its own.
fn tls(node: &str, pem: &TlsPem, has_secret: bool) -> Tls {
    let owner = TlsOwner {
        cluster: "test".to_owned(),
        node: node.to_owned(),
        has_secret,
    };
    Tls::unchecked(owner, pem)
}

fn keyring() -> Option<Keyring> {
    Some(Keyring::new("test", SECRET).unwrap())
}

/// With certificates alone.
fn mutual(node: &str, pem: &TlsPem) -> Security {
    Security::new(None, Some(tls(node, pem, false)), false)
}

/// With certificates and the secret.
fn both(node: &str, pem: &TlsPem) -> Security {
    Security::new(keyring(), Some(tls(node, pem, true)), false)
}

fn identity(node: &str) -> Arc<LocalIdentity> {
    Arc::new(LocalIdentity::new(node.into()))
}

/// A server of peers, as node "node-1".
async fn serve_as(security: Security, limits: NetLimits) -> (PeerServer, String) {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let server = PeerServer::new("test", echo_to_members(), limits, security, identity("node-1"));
    server.listen(listener);
    (server, addr)
}

/// A call by a node with this id.
async fn call_as(node: &str, security: Security, addr: &str) -> Result<Bytes> {
    let client = TcpTransport::new("test", NetLimits::default(), security);
    client.identify(identity(node));
    client.call(addr, Lane::Request, REQUEST, TEST_TIMEOUT).await
}

/// The code of a refusal.
fn code(outcome: Result<Bytes>) -> Option<ErrorCode> {
    outcome.err().map(|error| {
        assert!(!error.message().is_empty());
        error.code()
    })
}

#[tokio::test]
async fn members_call_one_another_with_certificates_alone_with_the_secret_and_with_both() {
    let ca = TestCa::new("ca");
    let pem = ["node-1", "node-2"].map(|node| ca.issue_peer("test", node));
    for (server, client) in [
        (mutual("node-1", &pem[0]), mutual("node-2", &pem[1])),
        (both("node-1", &pem[0]), both("node-2", &pem[1])),
    ] {
        let (_server, addr) = serve_as(server, NetLimits::default()).await;
        let localhost = addr.replace("127.0.0.1", "localhost");
        // The certificates name no host: a member is known by its id, at whatever address.
        for addr in [&addr, &localhost] {
            assert_eq!(call_as("node-2", client.clone(), addr).await.unwrap(), REQUEST);
        }
    }
}

#[tokio::test]
async fn a_large_message_passes() {
    let ca = TestCa::new("ca");
    let (_server, addr) = serve_as(
        both("node-1", &ca.issue_peer("test", "node-1")),
        NetLimits::default(),
    )
    .await;
    let client = TcpTransport::new(
        "test",
        NetLimits::default(),
        both("node-2", &ca.issue_peer("test", "node-2")),
    );
    client.identify(identity("node-2"));
    let request = Bytes::from(vec![7; 4 << 20]);
    // The first call proves the connection.
    for request in [REQUEST, request] {
        let answer = client
            .call(&addr, Lane::Bulk, request.clone(), TEST_TIMEOUT)
            .await;
        assert_eq!(answer.unwrap(), request);
    }
}

/// Certificates with which nobody is node "node-2" of cluster "test", whatever their holder says, and what is wrong.
fn wrong_certificates(ca: &TestCa) -> Vec<(&'static str, TlsPem)> {
    let other = TestCa::new("ca");
    // The stranger trusts the right authority, and nothing else is wrong on its side.
    let of_other = |pem: TlsPem| TlsPem {
        ca: ca.pem().to_vec(),
        ..pem
    };
    let valid = |uri: &str, valid: (i64, i64)| {
        ca.issue(TestCertificate {
            uris: &[uri],
            valid,
            ..TestCertificate::default()
        })
    };
    let peer = "clusterkit://test/peer/node-2";
    vec![
        ("expired", valid(peer, (-7200, -3600))),
        ("not yet valid", valid(peer, (3600, 7200))),
        ("other CA", of_other(other.issue_peer("test", "node-2"))),
        ("role operate", ca.issue_uri("clusterkit://test/operate/node-2")),
        ("role read", ca.issue_uri("clusterkit://test/read/node-2")),
        ("unknown role", ca.issue_uri("clusterkit://test/admin/node-2")),
        ("other cluster", ca.issue_peer("production", "node-2")),
    ]
}

#[tokio::test]
async fn a_caller_without_the_certificate_of_the_node_that_it_says_is_refused() {
    let ca = TestCa::new("ca");
    let server_pem = ca.issue_peer("test", "node-1");
    let mut wrong = wrong_certificates(&ca);
    wrong.push(("other node", ca.issue_peer("test", "node-3")));
    for has_secret in [false, true] {
        let security = if has_secret { both } else { mutual };
        let (server, addr) = serve_as(security("node-1", &server_pem), NetLimits::default()).await;
        for (what, pem) in &wrong {
            let outcome = call_as("node-2", security("node-2", pem), &addr).await;
            assert_eq!(
                code(outcome),
                Some(ErrorCode::Unauthenticated),
                "{what}, secret: {has_secret}"
            );
        }
        // One that is nobody's in ClusterKit is enough only where the secret is proved.
        let host = ca.issue(TestCertificate::default());
        let outcome = call_as("node-2", security("node-2", &host), &addr).await;
        let expected = (!has_secret).then_some(ErrorCode::Unauthenticated);
        assert_eq!(code(outcome), expected, "no URI, secret: {has_secret}");
        drop(server);
    }
}

#[tokio::test]
async fn a_server_without_the_certificate_of_a_member_is_refused() {
    let ca = TestCa::new("ca");
    let client_pem = ca.issue_peer("test", "node-2");
    let mut wrong = wrong_certificates(&ca);
    wrong.push((
        "no URI, other host",
        ca.issue(TestCertificate {
            hosts: &["10.9.9.9", "other.example"],
            ..TestCertificate::default()
        }),
    ));
    // For the right host, and not for a server.
    let host_of = |uri| {
        ca.issue(TestCertificate {
            uris: &[uri],
            hosts: &["127.0.0.1"],
            ..TestCertificate::default()
        })
    };
    wrong.push((
        "role operate, right host",
        host_of("clusterkit://test/operate/ada"),
    ));
    wrong.push(("role read, right host", host_of("clusterkit://test/read/ada")));
    wrong.push((
        "other cluster, right host",
        host_of("clusterkit://other/peer/node-1"),
    ));
    // It is a member, and says that it is another one.
    wrong.push(("other node", ca.issue_peer("test", "node-3")));
    for has_secret in [false, true] {
        let security = if has_secret { both } else { mutual };
        for (what, pem) in &wrong {
            let (_server, addr) = serve_as(security("node-1", pem), NetLimits::default()).await;
            let outcome = call_as("node-2", security("node-2", &client_pem), &addr).await;
            assert_eq!(
                code(outcome),
                Some(ErrorCode::Unauthenticated),
                "{what}, secret: {has_secret}"
            );
        }
        let host = ca.issue(TestCertificate {
            hosts: &["127.0.0.1"],
            ..TestCertificate::default()
        });
        let (_server, addr) = serve_as(security("node-1", &host), NetLimits::default()).await;
        let outcome = call_as("node-2", security("node-2", &client_pem), &addr).await;
        let expected = (!has_secret).then_some(ErrorCode::Unauthenticated);
        assert_eq!(code(outcome), expected, "by its host name, secret: {has_secret}");
    }
}

#[tokio::test]
async fn a_caller_without_a_certificate_or_without_tls_is_refused() {
    let ca = TestCa::new("ca");
    let pem = ca.issue_peer("test", "node-1");
    let (_server, addr) = serve_as(mutual("node-1", &pem), NetLimits::default()).await;
    // Plain.
    let error = call_as("node-2", Security::none(), &addr).await.unwrap_err();
    assert!(
        error.message().contains("TLS") || error.code() == ErrorCode::Unreachable,
        "{error}"
    );
    // With TLS, without a certificate.
    let tls = ClientTls::new(ClientTlsPem {
        cluster: Some("test"),
        ca: Some(ca.pem()),
        own: None,
    });
    let socket = Socket::between_peers(TcpStream::connect(&addr).await.unwrap());
    let stream: Box<dyn PeerStream> = Box::new(tls.unwrap().connect(socket, &addr).await.unwrap());
    let hello = Hello::new("test", Lane::Control, &identity("node-2"));
    let connection = ConnectionIdentity::default();
    let upgraded = handshake::upgrade(stream, &addr, &hello, &Security::none(), &connection).await;
    let error = upgraded.err().unwrap();
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
    assert!(error.message().contains("tls.cert"), "{error}");
}

#[tokio::test]
async fn a_man_in_the_middle_with_a_certificate_for_the_host_relays_no_proof() {
    let ca = TestCa::new("ca");
    let host = || {
        ca.issue(TestCertificate {
            hosts: &["127.0.0.1"],
            ..TestCertificate::default()
        })
    };
    let (_server, addr) = serve_as(both("node-1", &host()), NetLimits::default()).await;
    // Everything that is decrypted at one side is sent on at the other.
    let middle = both("middle", &host());
    let listener = bind("127.0.0.1:0").await.unwrap();
    let middle_addr = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (accepted, _) = listener.accept().await.unwrap();
            let Opening::Tls(opening) = middle.open(Socket::between_peers(accepted)).await.unwrap() else {
                panic!("TLS is spoken");
            };
            let (mut caller, _) = opening.finish().await.unwrap();
            let onward = Socket::between_peers(TcpStream::connect(&addr).await.unwrap());
            let (mut server, _) = middle.tls().unwrap().connect(onward, &addr).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut caller, &mut server).await;
        }
    });
    let outcome = call_as("node-2", both("node-2", &host()), &middle_addr).await;
    assert_eq!(code(outcome), Some(ErrorCode::Unauthenticated));
}

#[tokio::test]
async fn while_tls_is_introduced_members_with_and_without_it_reach_one_another() {
    let ca = TestCa::new("ca");
    let pem = ["node-1", "node-2"].map(|node| ca.issue_peer("test", node));
    let introducing = |node: &str, pem: &TlsPem| Security::new(None, Some(tls(node, pem, false)), true);
    let expected = [
        // The server, the caller, and whether the caller is accepted.
        (Security::none(), introducing("node-2", &pem[1]), true),
        (introducing("node-1", &pem[0]), Security::none(), true),
        (
            introducing("node-1", &pem[0]),
            introducing("node-2", &pem[1]),
            true,
        ),
        (introducing("node-1", &pem[0]), mutual("node-2", &pem[1]), true),
        (mutual("node-1", &pem[0]), introducing("node-2", &pem[1]), true),
        (mutual("node-1", &pem[0]), Security::none(), false),
        (Security::none(), mutual("node-2", &pem[1]), false),
    ];
    for (number, (server, caller, is_accepted)) in expected.into_iter().enumerate() {
        let (_server, addr) = serve_as(server, NetLimits::default()).await;
        let outcome = call_as("node-2", caller, &addr).await;
        assert_eq!(outcome.is_ok(), is_accepted, "{number}: {outcome:?}");
    }
    // A wrong certificate is no reason to do without.
    let (_server, addr) = serve_as(
        introducing("node-1", &ca.issue_peer("test", "node-3")),
        NetLimits::default(),
    )
    .await;
    let outcome = call_as("node-2", introducing("node-2", &pem[1]), &addr).await;
    assert_eq!(code(outcome), Some(ErrorCode::Unauthenticated));
}

#[tokio::test]
async fn new_files_count_for_new_connections_and_wrong_ones_for_none() {
    let (old, new) = (TestCa::new("ca"), TestCa::new("ca"));
    let owner = |node: &str| TlsOwner {
        cluster: "test".to_owned(),
        node: node.to_owned(),
        has_secret: false,
    };
    let pem = |ca: &TestCa, node: &str| ca.issue_peer("test", node);
    let with_ca = |pem: TlsPem, cas: &[&TestCa]| TlsPem {
        ca: cas.iter().flat_map(|ca| ca.pem().to_vec()).collect(),
        ..pem
    };
    let first = pem(&old, "node-1");
    let tls = Tls::new(owner("node-1"), &first).unwrap();
    let (_server, addr) = serve_as(
        Security::new(None, Some(tls.clone()), false),
        NetLimits::default(),
    )
    .await;
    let caller = |pem: &TlsPem| Security::new(None, Some(Tls::new(owner("node-2"), pem).unwrap()), false);
    let kept = TcpTransport::new("test", NetLimits::default(), caller(&pem(&old, "node-2")));
    kept.identify(identity("node-2"));
    let call = async || kept.call(&addr, Lane::Request, REQUEST, TEST_TIMEOUT).await;
    call().await.unwrap();

    assert!(!tls.replace(&first).unwrap(), "nothing has changed");
    for wrong in [
        TlsPem {
            key: pem(&old, "node-1").key,
            ..first.clone()
        },
        TlsPem {
            ca: new.pem().to_vec(),
            ..first.clone()
        },
        TlsPem {
            cert: Vec::new(),
            ..first.clone()
        },
        TlsPem {
            cert: b"-----BEGIN CERTIFICATE-----\nno".to_vec(),
            ..first.clone()
        },
        TlsPem {
            key: first.cert.clone(),
            ..first.clone()
        },
        pem(&old, "node-2"),
        old.issue_uri("clusterkit://test/operate/node-1"),
        old.issue(TestCertificate::default()),
    ] {
        let error: Error = tls.replace(&wrong).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidOption, "{error}");
        assert!(!error.message().contains("BEGIN"), "{error}");
    }
    let fresh = call_as("node-2", caller(&pem(&old, "node-2")), &addr).await;
    fresh.unwrap();

    // Both authorities, then the new certificate, then the new authority alone.
    let next = pem(&new, "node-1");
    for (server, expected) in [
        (with_ca(first.clone(), &[&old, &new]), [true, false]),
        (with_ca(next.clone(), &[&old, &new]), [false, true]),
        (next, [false, true]),
    ] {
        assert!(tls.replace(&server).unwrap());
        for (ca, is_accepted) in [&old, &new].into_iter().zip(expected) {
            let outcome = call_as("node-2", caller(&pem(ca, "node-2")), &addr).await;
            assert_eq!(outcome.is_ok(), is_accepted, "{outcome:?}");
        }
        call().await.expect("a connection that was made before lives on");
    }
}

/// The first message of a client that speaks TLS 1.2 and nothing newer.
fn tls_1_2_hello() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    // No session; ECDHE with AES-128-GCM; no compression.
    body.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    // The groups x25519 and P-256, uncompressed points, two signature schemes.
    let extensions = [
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23][..],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 6, 0, 4, 4, 3, 8, 4],
    ]
    .concat();
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    message.extend(body);
    let mut record = vec![0x16, 3, 1];
    record.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    record.extend(message);
    record
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let ca = TestCa::new("ca");
    let (_server, addr) = serve_as(
        both("node-1", &ca.issue_peer("test", "node-1")),
        NetLimits::default(),
    )
    .await;
    let mut stream = TcpStream::connect(&addr).await.unwrap();
    stream.write_all(&tls_1_2_hello()).await.unwrap();
    let answer = read_to_close(&mut stream).await;
    // A fatal alert: protocol_version (RFC 8446, 6.2).
    assert_eq!(answer.get(..1), Some(&[0x15][..]), "{answer:?}");
    assert_eq!(answer.get(5..7), Some(&[2, 70][..]), "{answer:?}");
}

#[tokio::test]
async fn silent_and_slow_handshakes_end_and_crowd_out_no_member() {
    let ca = TestCa::new("ca");
    let limits = NetLimits {
        handshake_timeout: Duration::from_secs(1),
        ..NetLimits::default()
    };
    let (_server, addr) = serve_as(both("node-1", &ca.issue_peer("test", "node-1")), limits).await;
    let hello = tls_1_2_hello();
    let mut strangers = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(&addr).await.unwrap();
        // Nothing at all, a byte, or all but the last one.
        let part = [0, 1, hello.len() - 1][number % 3];
        let _ = stream.write_all(&hello[..part]).await;
        strangers.push(stream);
    }
    let member = both("node-2", &ca.issue_peer("test", "node-2"));
    assert_eq!(call_as("node-2", member, &addr).await.unwrap(), REQUEST);
    for mut stranger in strangers {
        read_to_close(&mut stranger).await;
    }
}
