//! A text that nobody but the cluster's members may know.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

use super::spec::OptionKind;
use super::value::{OptionValue, ParseResult};
use crate::error::{Error, ErrorCode, Result};

/// The fewest characters of a secret: 32 random bytes in base64, without padding.
pub(crate) const MIN_SECRET_CHARS: usize = 43;
/// The most characters of a secret.
const MAX_SECRET_CHARS: usize = 1024;
/// The fewest different characters of a secret. 43 random digits of base 16, the smallest alphabet in use, have 14 or more
/// in all but one of a thousand; a word that is repeated has fewer.
const MIN_DIFFERENT_CHARS: usize = 10;
/// What stands in the place of a secret wherever it could be seen.
pub(crate) const REDACTED: &str = "(hidden)";

/// A text that is never shown: [`fmt::Debug`] and [`Options::get`](super::Options::get) hide it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// A new secret for a cluster: 32 bytes from the system's generator, in base64url.
    ///
    /// # Errors
    /// [`ErrorCode::Internal`]: the system gives no random bytes.
    pub fn generate() -> Result<Self> {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| Error::new(ErrorCode::Internal, "the system gives no random bytes"))?;
        Ok(Secret::from(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The text itself, for those who compute with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret(text.into())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl OptionValue for Secret {
    fn parse(kind: &OptionKind, text: &str) -> ParseResult<Self> {
        match kind {
            OptionKind::ClusterSecret => check_keyring(text)?,
            _ => check_token(text)?,
        }
        Ok(Secret::from(text))
    }

    fn format(&self) -> String {
        self.0.to_string()
    }
}

/// The secrets of a keyring in their order: the one that this node sends, and one more that it accepts.
pub(crate) fn keys_of(keyring: &str) -> impl Iterator<Item = &str> {
    keyring
        .split([',', '\n', '\r'])
        .map(str::trim)
        .filter(|key| !key.is_empty())
}

/// Checks one secret, or two. What is wrong is said without the value.
pub(crate) fn check_keyring(text: &str) -> ParseResult<()> {
    let keys: Vec<&str> = keys_of(text).collect();
    if keys.is_empty() || keys.len() > 2 {
        return Err(format!(
            "has {} secrets; it is one, or during a change of the secret two: the new one, a comma, and the one before",
            keys.len()
        ));
    }
    for key in &keys {
        check_secret(key)?;
    }
    if keys.len() == 2 && keys[0] == keys[1] {
        return Err("has the same secret twice".to_owned());
    }
    Ok(())
}

fn check_secret(key: &str) -> ParseResult<()> {
    let advice = "make one with `clusterkit secret` or `openssl rand -base64 32`";
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "has a character that is no printable ASCII, or a blank; {advice}"
        ));
    }
    if !(MIN_SECRET_CHARS..=MAX_SECRET_CHARS).contains(&key.len()) {
        return Err(format!(
            "has {} characters; a secret has {MIN_SECRET_CHARS} to {MAX_SECRET_CHARS}: {advice}",
            key.len()
        ));
    }
    let mut seen = [false; 256];
    for byte in key.bytes() {
        seen[usize::from(byte)] = true;
    }
    if seen.iter().filter(|seen| **seen).count() < MIN_DIFFERENT_CHARS {
        return Err(format!("is no random text; {advice}"));
    }
    Ok(())
}

fn check_token(text: &str) -> ParseResult<()> {
    if text.is_empty() || text.len() > 4096 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("is not 1 to 4096 printable ASCII characters without blanks".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_is_one_and_no_other() {
        let secrets: Vec<Secret> = (0..50).map(|_| Secret::generate().unwrap()).collect();
        for (number, secret) in secrets.iter().enumerate() {
            check_keyring(secret.reveal()).unwrap();
            assert!(!secrets[..number].contains(secret));
            assert_eq!(format!("{secret:?}"), REDACTED);
        }
    }
}
