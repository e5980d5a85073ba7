use super::*;
use crate::error::ErrorCode;

const SECRET: &str = "0yxn6Zq3Tk4uVwA9bCdE2fGhIjKlMnOpQrStUvWxYz1";
const KEY_ID: &str = "aa0bcd91";
const TOKEN: &str = "ck1.read.aa0bcd91.0.x.61B4JdUZ5o_lsim4NCoJhMd_1p6N44DAjaJ-TCvBmJ4";
const NEXT: &str = "9LmNoPqRsTuVwXyZ0aBcDeFgHiJkL1mNoPqRsTuVwX8";

fn keyring(secrets: &str) -> Keyring {
    Keyring::new("orders", secrets).unwrap()
}

#[test]
fn a_token_says_what_it_was_made_for_until_it_expires() {
    let ring = keyring(SECRET);
    let text = Token::make(&ring, Role::Operate, "ci-1", Some(1000)).unwrap();
    let token = Token::check(&ring, &text, 999).unwrap();
    assert_eq!(
        (token.role, token.name.as_str(), token.expires),
        (Role::Operate, "ci-1", Some(1000))
    );
    assert_eq!(token.key_id, ring.ids()[0]);
    let error = Token::check(&ring, &text, 1000).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
    assert!(error.message().contains("expired"));
    // A clock that is far off: a token without an end is valid at any time.
    let endless = Token::make(&ring, Role::Read, "", None).unwrap();
    for now in [0, 1, u64::MAX] {
        assert_eq!(Token::check(&ring, &endless, now).unwrap().role, Role::Read);
    }
}

#[test]
fn a_token_that_was_changed_anywhere_is_none() {
    let ring = keyring(SECRET);
    let text = Token::make(&ring, Role::Read, "someone", Some(5000)).unwrap();
    for at in 0..text.len() {
        for other in ["A", "0", ".", "~"] {
            let mut changed = text.clone();
            changed.replace_range(at..=at, other);
            if changed != text {
                let error = Token::check(&ring, &changed, 1).unwrap_err();
                assert_eq!(error.code(), ErrorCode::Unauthenticated, "{changed}");
            }
        }
        assert!(Token::check(&ring, &text[..at], 1).is_err());
    }
    assert!(Token::check(&ring, &format!("{text}."), 1).is_err());
    assert!(Token::check(&ring, &"x".repeat(100_000), 1).is_err());
    // The code of one role is none of another.
    let promoted = text.replace(".read.", ".operate.");
    assert!(Token::check(&ring, &promoted, 1).is_err());
    assert!(Token::check(&ring, &text.replace(".read.", ".peer."), 1).is_err());
}

#[test]
fn a_token_is_of_one_secret_and_one_cluster() {
    let text = Token::make(&keyring(SECRET), Role::Read, "", None).unwrap();
    assert!(Token::check(&keyring(NEXT), &text, 1).is_err());
    assert!(Token::check(&Keyring::new("other", SECRET).unwrap(), &text, 1).is_err());
    // During a change of the secret the old ones are valid, and end with it.
    assert!(Token::check(&keyring(&format!("{NEXT},{SECRET}")), &text, 1).is_ok());
}

#[test]
fn no_token_makes_a_peer_and_no_name_breaks_out() {
    let ring = keyring(SECRET);
    for (role, name) in [
        (Role::Peer, ""),
        (Role::Read, "a.b"),
        (Role::Read, "a b"),
        (Role::Read, "ä"),
        (Role::Read, "\n"),
    ] {
        let error = Token::make(&ring, role, name, None).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }
    assert!(Token::make(&ring, Role::Read, &"x".repeat(65), None).is_err());
    assert!(Token::make(&ring, Role::Read, "", Some(0)).is_err());
}

#[test]
fn key_ids_differ_between_secrets_and_clusters_and_are_read_back() {
    let of = |cluster: &str, secret: &str| ClusterKeys::new(cluster, secret).id().clone();
    let id = of("orders", SECRET);
    assert_eq!(KeyId::parse(&id.to_string()), Some(id.clone()));
    assert_ne!(id, of("orders", NEXT));
    assert_ne!(id, of("other", SECRET));
    for text in [
        "",
        "1",
        "0123456",
        "012345678",
        "0123456G",
        "ABCDEF01",
        "+1234567",
    ] {
        assert_eq!(KeyId::parse(text), None, "{text}");
    }
}

/// The derivation is a contract between versions: these values were computed by Python's hmac and hashlib, by RFC 5869.
#[test]
fn keys_are_what_another_implementation_derives() {
    let keys = ClusterKeys::new("orders", SECRET);
    assert_eq!(keys.id().to_string(), KEY_ID);
    let token = Token::make(&keyring(SECRET), Role::Read, "x", None).unwrap();
    assert_eq!(token, TOKEN);
}
