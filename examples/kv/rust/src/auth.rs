//! What members show each other. Where the cluster has a secret, calls between servers carry a token that is made from it;
//! clients' calls carry none.

use clusterkit::Options;
use ring::hmac;
use subtle::ConstantTimeEq;

/// The tokens that are accepted: one for each secret, two while a secret is being changed. The first is shown.
pub(crate) struct Tokens(Vec<String>);

impl Tokens {
    /// The tokens of a cluster with these options; none are needed where it has no secret.
    pub(crate) fn new(options: &Options) -> std::io::Result<Self> {
        let secrets = match (&options.cluster_secret, &options.cluster_secret_file) {
            (Some(secret), _) => secret.reveal().to_owned(),
            (None, Some(file)) => std::fs::read_to_string(file)?,
            (None, None) => String::new(),
        };
        let secrets = secrets
            .split([',', '\n'])
            .map(str::trim)
            .filter(|secret| !secret.is_empty());
        Ok(Tokens(
            secrets
                .map(|secret| token(secret, &options.cluster_name))
                .collect(),
        ))
    }

    /// The token to show.
    pub(crate) fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// Whether the value of an `Authorization` header is a member's.
    pub(crate) fn accept(&self, header: Option<&[u8]>) -> bool {
        let shown = header
            .and_then(|header| header.strip_prefix(b"Bearer "))
            .unwrap_or_default();
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|token| bool::from(token.as_bytes().ct_eq(shown)))
    }
}

/// HMAC-SHA-256 of the cluster's name with the secret as key, as hex digits.
fn token(secret: &str, cluster: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let code = hmac::sign(&key, format!("clusterkit-kv {cluster}").as_bytes());
    code.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
