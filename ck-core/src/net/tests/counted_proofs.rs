//! What a node counts of the proofs that others give: failures, and how much each key is used.

use super::proofs::{NEXT, OURS, THEIRS, ask, caller, keyring, peer, refused, secured};
use super::relay::{Message, Relay};
use super::*;

#[tokio::test]
async fn who_proves_nothing_is_counted_and_answered_later_each_time_and_others_are_not() {
    let security = secured(OURS);
    let peer = peer(security.clone()).await;
    let began = std::time::Instant::now();
    for _ in 0..4 {
        // A caller that was refused does not dial again at once.
        refused(&caller(secured(THEIRS)), &peer.addr).await;
    }
    // 20, 40, 80 and 160 ms, by a clock that no test can move.
    assert!(
        began.elapsed() >= Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(security.failed_proofs().total(), 4);
    // From the same address.
    ask(&caller(secured(OURS)), &peer.addr).await.unwrap();
    assert_eq!(security.failed_proofs().total(), 4);
}

#[tokio::test]
async fn a_wrong_code_is_counted() {
    let security = secured(OURS);
    let peer = peer(security.clone()).await;
    let relay = Relay::start(&peer.addr, |message, mut bytes| {
        if message == Message::Code {
            bytes[0] ^= 1;
        }
        vec![bytes]
    })
    .await;
    ask(&caller(secured(OURS)), &relay.addr).await.unwrap_err();
    eventually("the wrong code is counted", async || {
        security.failed_proofs().total() > 0
    })
    .await;
}

#[tokio::test]
async fn connections_and_tokens_are_counted_by_their_key() {
    let peer_keys = keyring(&format!("{NEXT},{OURS}"));
    let peer = peer(Security::with_keyring(peer_keys.clone(), false)).await;
    let [old, new] = [OURS, NEXT].map(|secret| caller(secured(secret)));
    ask(&old, &peer.addr).await.unwrap();
    ask(&new, &peer.addr).await.unwrap();
    ask(&new, &peer.addr).await.unwrap();
    let connections = |keys: &Keyring| keys.uses().iter().map(|key| key.connections).collect::<Vec<_>>();
    assert_eq!(connections(&peer_keys), [1, 1]);
    let token = Token::make(&keyring(OURS), Role::Read, "a", None).unwrap();
    Token::check(&peer_keys, &token, 1).unwrap();
    Token::check(&peer_keys, &format!("{token}a"), 1).unwrap_err();
    assert_eq!(
        peer_keys
            .uses()
            .iter()
            .map(|key| key.requests)
            .collect::<Vec<_>>(),
        [0, 1]
    );
    // A key that stays keeps its counts.
    peer_keys.replace(OURS).unwrap();
    assert_eq!(
        (connections(&peer_keys), peer_keys.uses()[0].requests),
        (vec![1], 1)
    );
    drop(old);
    eventually("the connection has ended", async || {
        connections(&peer_keys) == [0]
    })
    .await;
}
