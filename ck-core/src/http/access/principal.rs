//! Who makes a request.

use std::net::SocketAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, header};

use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::net::{ConnectionIdentity, KeyId, Role, Security, Token};

/// Who makes a request: by its token, or by the certificate of its connection. Handlers find it in the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpPrincipal {
    /// The name in the token or the certificate; empty where it has none, and for somebody unknown.
    pub name: String,
    /// The key with which the token was made.
    pub key_id: Option<KeyId>,
    /// What it may do; `None` for somebody who has proved nothing.
    pub role: Option<Role>,
    /// The address from which the request came.
    pub address: SocketAddr,
}

/// Who makes a request. What the request itself shows comes before what its connection has proved: a token that is wrong is
/// refused in any case.
///
/// # Errors
/// [`ErrorCode::Unauthenticated`], with what is wrong with the proof, for the log of the node.
pub(super) fn identify(
    request: &Request,
    address: SocketAddr,
    security: &Security,
    cluster: &str,
) -> Result<HttpPrincipal> {
    if let Some(token) = token_of(request.headers(), security)? {
        return Ok(HttpPrincipal {
            name: token.name,
            key_id: Some(token.key_id),
            role: Some(token.role),
            address,
        });
    }
    // The certificate was verified when the connection was made; what it allows is looked at for each request.
    let connection = request.extensions().get::<ConnectionIdentity>();
    let certificate = connection.and_then(ConnectionIdentity::certificate);
    let proved = certificate.and_then(|certificate| certificate.highest_in(cluster));
    Ok(HttpPrincipal {
        name: proved.map(|proved| proved.name.clone()).unwrap_or_default(),
        key_id: None,
        role: proved.map(|proved| proved.role),
        address,
    })
}

/// The token that the headers show. Without a secret there is nothing with which one could be checked: then it counts for
/// nothing, so that clients may be given tokens before the members are given the secret.
fn token_of(headers: &HeaderMap, security: &Security) -> Result<Option<Token>> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let Some(keyring) = security.keyring() else {
        return Ok(None);
    };
    let value = match (shown.next(), shown.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(no_proof("it has several Authorization headers")),
    };
    // A token is ASCII.
    let text = value
        .to_str()
        .map_err(|_| no_proof("its Authorization header is no text"))?;
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => token.trim_matches(' '),
        _ => return Err(no_proof("its Authorization header is not \"Bearer\" and a token")),
    };
    let now = env::wall_now().as_secs();
    Token::check(keyring, token, now).map(Some)
}

fn no_proof(why: &str) -> Error {
    Error::new(ErrorCode::Unauthenticated, why)
}
