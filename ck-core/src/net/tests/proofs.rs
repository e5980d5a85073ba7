//! Strangers and people in the middle, at the port of a cluster that has a secret.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::relay::{Message, Relay, SEALED_HEADER_LEN};
use super::*;
use crate::net::security::CODE_LEN;

const REQUEST: Bytes = Bytes::from_static(b"ask");
pub(super) const OURS: &str = "0yxn6Zq3Tk4uVwA9bCdE2fGhIjKlMnOpQrStUvWxYz1";
pub(super) const NEXT: &str = "9LmNoPqRsTuVwXyZ0aBcDeFgHiJkL1mNoPqRsTuVwX8";
pub(super) const THEIRS: &str = "3456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ";

pub(super) fn keyring(secrets: &str) -> Keyring {
    Keyring::new("test", secrets).unwrap()
}

pub(super) fn secured(secrets: &str) -> Security {
    Security::with_keyring(keyring(secrets), false)
}

fn identity(node: &str) -> Arc<LocalIdentity> {
    Arc::new(LocalIdentity::new(node.into()))
}

/// A node of the cluster "test" that echoes, and what it has been asked so far.
pub(super) struct Peer {
    server: PeerServer,
    pub(super) addr: String,
    asked: Arc<AtomicUsize>,
}

pub(super) async fn peer(security: Security) -> Peer {
    peer_of("test", security).await
}

async fn peer_of(cluster: &str, security: Security) -> Peer {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let asked = Arc::<AtomicUsize>::default();
    let counted = asked.clone();
    let handler = handler(move |request, connection| {
        counted.fetch_add(1, Ordering::SeqCst);
        connection.mark_proven();
        async move { request }
    });
    let server = PeerServer::new(
        cluster,
        handler,
        NetLimits::default(),
        security,
        identity("server"),
    );
    server.listen(listener);
    Peer { server, addr, asked }
}

pub(super) fn caller(security: Security) -> TcpTransport {
    caller_as("caller", security)
}

fn caller_as(node: &str, security: Security) -> TcpTransport {
    let transport = TcpTransport::new("test", NetLimits::default(), security);
    transport.identify(identity(node));
    transport
}

pub(super) async fn ask(transport: &TcpTransport, addr: &str) -> Result<Bytes> {
    transport.call(addr, Lane::Request, REQUEST, TEST_TIMEOUT).await
}

pub(super) async fn refused(transport: &TcpTransport, addr: &str) -> Error {
    let error = ask(transport, addr).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unauthenticated, "{error}");
    assert!(error.is_unsent(), "nothing was sent: {error}");
    for secret in [OURS, NEXT, THEIRS] {
        assert!(!error.to_string().contains(secret), "{error}");
    }
    error
}

/// Passes everything on.
fn unchanged(_: Message, bytes: Vec<u8>) -> Vec<Vec<u8>> {
    vec![bytes]
}

#[tokio::test]
async fn two_ends_with_the_same_secret_talk_on_every_lane() {
    let peer = peer(secured(OURS)).await;
    let caller = caller(secured(OURS));
    for lane in Lane::ALL {
        for length in [0, 1, 100_000, 3 << 20] {
            let request = Bytes::from(vec![7; length]);
            let answer = caller.call(&peer.addr, lane, request.clone(), TEST_TIMEOUT).await;
            assert_eq!(answer.unwrap(), request);
        }
    }
}

#[tokio::test]
async fn no_secret_and_another_secret_are_refused_at_both_ends() {
    let (with, without) = (peer(secured(OURS)).await, peer(Security::none()).await);
    let error = refused(&caller(Security::none()), &with.addr).await;
    assert!(error.message().contains("set cluster_secret"), "{error}");
    let error = refused(&caller(secured(THEIRS)), &with.addr).await;
    assert!(error.message().contains("do not agree"), "{error}");
    let error = refused(&caller(secured(OURS)), &without.addr).await;
    assert!(error.message().contains("the peer proves nothing"), "{error}");
    for peer in [with, without] {
        assert_eq!(peer.asked.load(Ordering::SeqCst), 0);
        eventually("every connection is given back", async || {
            peer.server.connections() == 0
        })
        .await;
    }
}

#[tokio::test]
async fn the_same_secret_in_a_cluster_of_another_name_proves_nothing() {
    // The other cluster's node lies about its name: it has the secret, and takes over the request as it is.
    let liar = Security::with_keyring(Keyring::new("other", OURS).unwrap(), false);
    let peer = peer_of("test", liar).await;
    refused(&caller(secured(OURS)), &peer.addr).await;
    assert_eq!(peer.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_node_is_who_it_says_and_a_program_that_is_none_gets_no_answer() {
    let listener = bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let handler = handler(|_, connection| async move {
        let principal = connection.principal().cloned().unwrap();
        assert!(connection.check_node(&principal.node).is_ok());
        let error = connection.check_node("somebody").unwrap_err();
        assert_eq!(error.code(), ErrorCode::Refused);
        assert!(connection.is_from(principal.raft_id) && !connection.is_from(principal.raft_id + 1));
        Bytes::from(format!(
            "{} {} {:?}",
            principal.node, principal.raft_id, principal.key_id
        ))
    });
    let (limits, security) = (NetLimits::default(), secured(OURS));
    PeerServer::new("test", handler, limits, security, identity("server")).listen(listener);
    let transport = TcpTransport::new("test", NetLimits::default(), secured(OURS));
    let who = identity("node-7");
    transport.identify(who.clone());
    let id = &keyring(OURS).ids()[0];
    assert_eq!(
        ask(&transport, &addr).await.unwrap(),
        format!("node-7 0 Some({id})")
    );
    // A Raft id that it gets later: what it had said before does not count any more.
    who.set_raft_id(12);
    assert_eq!(
        ask(&transport, &addr).await.unwrap(),
        format!("node-7 12 Some({id})")
    );

    let nobody = TcpTransport::new("test", NetLimits::default(), secured(OURS));
    refused(&nobody, &addr).await;
}

#[tokio::test]
async fn during_a_change_of_the_secret_either_order_of_nodes_works() {
    let rings = [
        OURS.to_owned(),
        format!("{NEXT},{OURS}"),
        format!("{OURS}\n{NEXT}\n"),
        NEXT.to_owned(),
    ];
    for (one, server) in rings.iter().enumerate() {
        for (other, client) in rings.iter().enumerate() {
            let share = !matches!((one, other), (0, 3) | (3, 0));
            let peer = peer(secured(server)).await;
            let answer = ask(&caller(secured(client)), &peer.addr).await;
            assert_eq!(answer.is_ok(), share, "{one} {other}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn the_secret_changes_while_calls_go_on_and_none_fails() {
    let (of_server, of_caller) = (keyring(OURS), keyring(OURS));
    let peer = peer(Security::with_keyring(of_server.clone(), false)).await;
    let caller = Arc::new(caller(Security::with_keyring(of_caller.clone(), false)));
    let done = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load = {
        let (caller, addr, done, stop) = (caller.clone(), peer.addr.clone(), done.clone(), stop.clone());
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                // A connection that closes takes no further request, so a call that found it closed is made anew.
                match ask(&caller, &addr).await {
                    Ok(_) => drop(done.fetch_add(1, Ordering::SeqCst)),
                    Err(error) => assert!(
                        error.is_unsent() && error.code() != ErrorCode::Unauthenticated,
                        "{error}"
                    ),
                }
            }
        })
    };
    let more = async |what: &str| {
        let before = done.load(Ordering::SeqCst);
        eventually(what, async || done.load(Ordering::SeqCst) > before + 20).await;
    };
    more("calls under the first secret").await;
    let both = format!("{NEXT},{OURS}");
    for (ring, text, what) in [
        (
            &of_server,
            both.as_str(),
            "calls while only one end knows the next secret",
        ),
        (&of_caller, both.as_str(), "calls while both ends know both"),
        (&of_caller, NEXT, "calls while one end has dropped the first"),
        (&of_server, NEXT, "calls under the next secret alone"),
    ] {
        assert!(ring.replace(text).unwrap());
        more(what).await;
    }
    stop.store(true, Ordering::SeqCst);
    load.await.unwrap();
}

#[tokio::test]
async fn a_connection_ends_when_its_key_is_revoked() {
    let ring = keyring(&format!("{OURS},{NEXT}"));
    let peer = peer(Security::with_keyring(ring.clone(), false)).await;
    let (old, new) = (caller(secured(OURS)), caller(secured(NEXT)));
    for caller in [&old, &new] {
        ask(caller, &peer.addr).await.unwrap();
    }
    assert_eq!(peer.server.connections(), 2);
    // A text that is no secret changes nothing.
    assert_eq!(
        ring.replace("short").unwrap_err().code(),
        ErrorCode::InvalidOption
    );
    ask(&old, &peer.addr).await.unwrap();
    assert!(ring.replace(NEXT).unwrap());
    eventually("the connection under the revoked key ends", async || {
        peer.server.connections() == 1
    })
    .await;
    eventually("a call under the revoked key is refused", async || {
        ask(&old, &peer.addr)
            .await
            .is_err_and(|error| error.code() == ErrorCode::Unauthenticated)
    })
    .await;
    ask(&new, &peer.addr).await.unwrap();
}

#[tokio::test]
async fn while_a_cluster_is_given_a_secret_those_without_are_accepted_and_a_wrong_one_is_not() {
    let rollout = || Security::with_keyring(keyring(OURS), true);
    let (between, before, after) = (
        peer(rollout()).await,
        peer(Security::none()).await,
        peer(secured(OURS)).await,
    );
    for (security, peer) in [
        (Security::none(), &between),
        (rollout(), &before),
        (rollout(), &between),
        (rollout(), &after),
        (secured(OURS), &between),
    ] {
        ask(&caller(security), &peer.addr).await.unwrap();
    }
    refused(&caller(secured(THEIRS)), &between.addr).await;
    // The last step: nobody goes back.
    refused(&caller(Security::none()), &after.addr).await;
    refused(&caller(secured(OURS)), &before.addr).await;
}

#[tokio::test]
async fn a_handshake_that_is_cut_changed_or_stripped_leads_to_nothing() {
    type Tamper = fn(Message, Vec<u8>) -> Vec<Vec<u8>>;
    let without_proof = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let kept: Vec<&str> = text
            .split("\r\n")
            .filter(|line| !line.starts_with("clusterkit-proof"))
            .collect();
        kept.join("\r\n").into_bytes()
    };
    assert_ne!(
        without_proof(b"a\r\nclusterkit-proof: 1\r\n\r\n"),
        b"a\r\nclusterkit-proof: 1\r\n\r\n"
    );
    fn replace(bytes: &[u8], what: &str, by: &str) -> Vec<u8> {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.contains(what), "{text} has no {what}");
        text.replacen(what, by, 1).into_bytes()
    }
    let tampers: &[(&str, Tamper)] = &[
        ("another lane", |message, bytes| match message {
            Message::Request => vec![replace(
                &bytes,
                "clusterkit-lane: request",
                "clusterkit-lane: log",
            )],
            _ => vec![bytes],
        }),
        ("another node", |message, bytes| match message {
            Message::Request => vec![replace(
                &bytes,
                "clusterkit-node: caller",
                "clusterkit-node: leader",
            )],
            _ => vec![bytes],
        }),
        ("another Raft id", |message, bytes| match message {
            Message::Request => vec![replace(&bytes, "clusterkit-raft-id: 0", "clusterkit-raft-id: 1")],
            _ => vec![bytes],
        }),
        ("another server", |message, bytes| match message {
            Message::Answer => vec![replace(
                &bytes,
                "clusterkit-node: server",
                "clusterkit-node: leader",
            )],
            _ => vec![bytes],
        }),
        ("a flipped code of the caller", |message, mut bytes| {
            if message == Message::Code {
                bytes[31] ^= 1;
            }
            vec![bytes]
        }),
        ("a code that is cut", |message, mut bytes| {
            if message == Message::Code {
                bytes.truncate(31);
            }
            vec![bytes]
        }),
        (
            "an answer under a newer version",
            |message, bytes| match message {
                Message::Answer => vec![replace(&bytes, "clusterkit-proof: 1 ", "clusterkit-proof: 2 ")],
                _ => vec![bytes],
            },
        ),
        ("an offer without keys", |message, bytes| match message {
            Message::Request => vec![replace(&bytes, "clusterkit-proof: 1 ", "clusterkit-proof: 1 ,")],
            _ => vec![bytes],
        }),
    ];
    let peer = peer(secured(OURS)).await;
    for (what, tamper) in tampers {
        let relay = Relay::start(&peer.addr, *tamper).await;
        let answer = caller(secured(OURS))
            .call(&relay.addr, Lane::Request, REQUEST, Duration::from_secs(4))
            .await;
        assert!(answer.is_err(), "{what}");
        assert_eq!(peer.asked.load(Ordering::SeqCst), 0, "{what}");
    }
    // The downgrade: somebody in the middle makes each end believe that the other has no secret.
    for side in [Message::Request, Message::Answer] {
        let relay = Relay::start(&peer.addr, move |message, bytes| match message == side {
            true => vec![without_proof(&bytes)],
            false => vec![bytes],
        })
        .await;
        refused(&caller(secured(OURS)), &relay.addr).await;
        assert_eq!(peer.asked.load(Ordering::SeqCst), 0);
    }
    eventually("every connection is given back", async || {
        peer.server.connections() == 0
    })
    .await;
}

/// Connects and sends these bytes; gives what comes back until the other end closes.
async fn send(addr: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    read_to_close(&mut stream).await
}

#[tokio::test]
async fn a_whole_connection_that_is_replayed_does_nothing() {
    let peer = peer(secured(OURS)).await;
    let relay = Relay::start(&peer.addr, unchanged).await;
    ask(&caller(secured(OURS)), &relay.addr).await.unwrap();
    assert_eq!(peer.asked.load(Ordering::SeqCst), 1);
    let parts = [Message::Request, Message::Code, Message::FrameOfCaller(0)];
    let bytes: Vec<u8> = parts
        .iter()
        .flat_map(|part| relay.first(*part).unwrap())
        .collect();
    for _ in 0..3 {
        let answer = send(&peer.addr, &bytes).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 101"),
            "the server's nonce is new, so it answers"
        );
        assert_eq!(peer.asked.load(Ordering::SeqCst), 1, "and hears nothing");
    }
}

#[tokio::test]
async fn a_servers_own_proof_is_none_of_a_caller() {
    let peer = peer(secured(OURS)).await;
    let relay = Relay::start(&peer.addr, unchanged).await;
    ask(&caller(secured(OURS)), &relay.addr).await.unwrap();
    let request = relay.first(Message::Request).unwrap();
    let frame = relay.first(Message::FrameOfCaller(0)).unwrap();
    // Asks, takes the code out of the answer, and sends it back as its own.
    let mut stream = TcpStream::connect(&peer.addr).await.unwrap();
    stream.write_all(&request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let proof = head
        .lines()
        .find(|line| line.starts_with("clusterkit-proof"))
        .unwrap();
    let code = proof.rsplit(' ').next().unwrap();
    let code = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, code).unwrap();
    assert_eq!(code.len(), CODE_LEN);
    stream.write_all(&[code, frame].concat()).await.unwrap();
    assert!(read_to_close(&mut stream).await.is_empty());
    assert_eq!(peer.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn frames_that_are_flipped_repeated_left_out_or_swapped_end_their_connection() {
    /// Calls three times over one connection, of which somebody changes the second frame. Gives how many the server heard.
    async fn heard(change: impl Fn(Message, Vec<u8>) -> Vec<Vec<u8>> + Send + Sync + 'static) -> usize {
        let peer = peer(secured(OURS)).await;
        let relay = Relay::start(&peer.addr, change).await;
        let caller = caller(secured(OURS));
        ask(&caller, &relay.addr).await.unwrap();
        // Sent together, so that the second and third frame are on the same connection.
        let calls = futures_util::future::join(ask(&caller, &relay.addr), ask(&caller, &relay.addr));
        let _ = tokio::time::timeout(Duration::from_secs(5), calls).await;
        peer.asked.load(Ordering::SeqCst)
    }
    let second = |message| message == Message::FrameOfCaller(1);
    for position in [3, 8, 15, 16, 31, SEALED_HEADER_LEN] {
        let flip = move |message, mut bytes: Vec<u8>| {
            if second(message) {
                bytes[position] ^= 1;
            }
            vec![bytes]
        };
        assert_eq!(heard(flip).await, 1, "byte {position}");
    }
    let repeat = move |message, bytes: Vec<u8>| match second(message) {
        true => vec![bytes.clone(), bytes],
        false => vec![bytes],
    };
    assert_eq!(heard(repeat).await, 2, "the second copy ends the connection");
    let drop = move |message, bytes: Vec<u8>| match second(message) {
        true => vec![],
        false => vec![bytes],
    };
    assert_eq!(heard(drop).await, 1, "the third frame is not the second");
    let kept = parking_lot::Mutex::new(Vec::new());
    let swap = move |message, bytes: Vec<u8>| match message {
        Message::FrameOfCaller(1) => {
            *kept.lock() = bytes;
            vec![]
        }
        Message::FrameOfCaller(2) => vec![bytes, kept.lock().clone()],
        _ => vec![bytes],
    };
    assert_eq!(heard(swap).await, 1);
}

#[tokio::test]
async fn a_frame_of_one_connection_is_none_of_another() {
    let peer = peer(secured(OURS)).await;
    let first = Relay::start(&peer.addr, unchanged).await;
    ask(&caller(secured(OURS)), &first.addr).await.unwrap();
    let foreign = first.first(Message::FrameOfCaller(0)).unwrap();
    let second = Relay::start(&peer.addr, move |message, bytes| match message {
        Message::FrameOfCaller(0) => vec![foreign.clone()],
        _ => vec![bytes],
    })
    .await;
    let answer = caller(secured(OURS))
        .call(&second.addr, Lane::Request, REQUEST, Duration::from_secs(4))
        .await;
    assert!(answer.is_err());
    assert_eq!(peer.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_answer_that_was_changed_is_none() {
    let peer = peer(secured(OURS)).await;
    let relay = Relay::start(&peer.addr, |message, mut bytes| {
        if message == Message::FrameOfServer(0) {
            *bytes.last_mut().unwrap() ^= 1;
        }
        vec![bytes]
    })
    .await;
    let answer = caller(secured(OURS))
        .call(&relay.addr, Lane::Request, REQUEST, Duration::from_secs(4))
        .await;
    let error = answer.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unreachable, "{error}");
    assert_eq!(peer.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nobody_is_dialled_outside_the_networks_that_are_allowed() {
    let peer = peer(Security::none()).await;
    let port = peer.addr.rsplit_once(':').unwrap().1;
    let within = |networks: &[&str]| {
        let networks: Vec<String> = networks.iter().map(|text| (*text).to_owned()).collect();
        caller(Security::none().within(&networks).unwrap())
    };
    for addr in [peer.addr.clone(), format!("localhost:{port}")] {
        let error = ask(&within(&["10.0.0.0/8", "fd00::/8"]), &addr)
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unreachable);
        assert!(error.message().contains("allowed_cidrs"), "{error}");
        ask(&within(&["10.0.0.0/8", "127.0.0.0/8"]), &addr).await.unwrap();
        ask(&within(&[]), &addr).await.unwrap();
    }
    assert_eq!(peer.asked.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn nothing_that_is_printed_has_the_secret_in_it() {
    let security = secured(&format!("{OURS},{NEXT}"));
    let transport = caller(security.clone());
    let peer = peer(security.clone()).await;
    ask(&transport, &peer.addr).await.unwrap();
    let ring = security.keyring().unwrap();
    let printed = format!(
        "{security:?} {transport:?} {:?} {ring:?} {:?}",
        peer.server,
        ring.ids()
    );
    assert!(printed.contains(&ring.ids()[0].to_string()), "{printed}");
    for secret in [OURS, NEXT] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
