//! What HTTP clients show: a text that says what its holder may do, and proves that somebody who knows the secret said so.
//!
//! ```text
//! ck1.ROLE.KEY.EXPIRES.NAME.CODE
//! ```
//!
//! `EXPIRES` is in seconds since 1970, or 0; `NAME` is for the audit; `CODE` is an HMAC over the rest with the key of the
//! role. Nothing is stored: a token is valid until it expires or its secret is replaced.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use subtle::ConstantTimeEq;

use super::{ClusterKeys, KeyId, Keyring};
use crate::error::{Error, ErrorCode, Result};

const PREFIX: &str = "ck1";
/// The longest token, in bytes.
const MAX_TOKEN_LEN: usize = 512;
/// The longest name in a token.
const MAX_NAME_LEN: usize = 64;

/// What the holder of a token, or of a certificate, may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Read what the cluster says of itself, and custom data.
    Read,
    /// Change the cluster and custom data as well.
    Operate,
    /// Be a member.
    Peer,
}

impl Role {
    /// The name of the role.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Operate => "operate",
            Role::Peer => "peer",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Role::Read, Role::Operate, Role::Peer]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// What a token says, once its code was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What its holder may do.
    pub role: Role,
    /// The key with which it was made.
    pub key_id: KeyId,
    /// Who it was made for; may be empty.
    pub name: String,
    /// When it expires, in seconds since 1970; `None` for never.
    pub expires: Option<u64>,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (role, expires) = (self.role.name(), self.expires.unwrap_or(0));
        write!(f, "{PREFIX}.{role}.{}.{expires}.{}", self.key_id, self.name)
    }
}

impl Token {
    /// Makes a token with the first key of a keyring. Its text is as secret as a password.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] for the role of a peer, which no token gives, and for a name with other characters than
    /// `A-Z a-z 0-9 _ -`, or more than 64.
    pub fn make(keyring: &Keyring, role: Role, name: &str, expires: Option<u64>) -> Result<String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if name.len() > MAX_NAME_LEN || !name.bytes().all(allowed) {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("the name of a token is at most {MAX_NAME_LEN} of A-Z a-z 0-9 _ -"),
            ));
        }
        if expires == Some(0) {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                "a token cannot expire in 1970",
            ));
        }
        let keys = keyring.keys();
        let (Some(first), Some(key)) = (keys.first(), keys.first().and_then(|key| key_of(key, role))) else {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                "a token is for the role read or operate: members prove themselves by the secret or a certificate",
            ));
        };
        let token = Token {
            role,
            key_id: first.id().clone(),
            name: name.to_owned(),
            expires,
        };
        let said = token.to_string();
        let code = hmac::sign(key, said.as_bytes());
        Ok(format!("{said}.{}", URL_SAFE_NO_PAD.encode(code)))
    }

    /// What a token says, if it is one of a key of this keyring and valid at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`]: it is none, was made with another secret or for another cluster, or has expired.
    pub fn check(keyring: &Keyring, text: &str, now: u64) -> Result<Self> {
        let wrong = || {
            Error::new(
                ErrorCode::Unauthenticated,
                "the token is not valid in this cluster",
            )
        };
        if text.len() > MAX_TOKEN_LEN {
            return Err(wrong());
        }
        let (said, code) = text.rsplit_once('.').ok_or_else(wrong)?;
        let mut parts = said.split('.');
        let (Some(PREFIX), Some(role), Some(key_id), Some(expires), Some(name), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(wrong());
        };
        let role = Role::from_name(role).ok_or_else(wrong)?;
        let key_id = KeyId::parse(key_id).ok_or_else(wrong)?;
        let keys = keyring.keys();
        let key = keys.iter().find(|key| *key.id() == key_id).ok_or_else(wrong)?;
        let key_of_role = key_of(key, role).ok_or_else(wrong)?;
        let expected = URL_SAFE_NO_PAD.encode(hmac::sign(key_of_role, said.as_bytes()));
        if !bool::from(expected.as_bytes().ct_eq(code.as_bytes())) {
            return Err(wrong());
        }
        let expires: u64 = expires.parse().map_err(|_| wrong())?;
        if expires != 0 && expires <= now {
            return Err(Error::new(ErrorCode::Unauthenticated, "the token has expired"));
        }
        key.count_request();
        Ok(Token {
            role,
            key_id,
            name: name.to_owned(),
            expires: (expires != 0).then_some(expires),
        })
    }
}

fn key_of(keys: &ClusterKeys, role: Role) -> Option<&hmac::Key> {
    match role {
        Role::Read => Some(&keys.http_read),
        Role::Operate => Some(&keys.http_operate),
        Role::Peer => None,
    }
}
