//! `secret` and `token`: what members share, and what clients show.

use std::path::Path;
use std::time::{Duration, SystemTime};

use clusterkit::model::Timestamp;
use clusterkit::net::{Keyring, Role, Token};
use clusterkit::{Options, Secret};
use serde_json::json;

use crate::args::TokenArgs;
use crate::credentials::{cluster_secret, option_variable};
use crate::error::{CliError, Result};
use crate::output::Out;

/// Prints a new secret for a cluster.
pub(crate) fn secret(out: &mut Out) -> Result<()> {
    let secret = Secret::generate()?;
    out.answer(&json!({ "secret": secret.reveal() }), secret.reveal())
}

/// Prints a new token.
pub(crate) fn token(args: &TokenArgs, out: &mut Out) -> Result<()> {
    let (cluster, keyring) = keyring(args.cluster_name.as_deref(), args.secret_file.as_deref())?;
    let role = Role::from_name(&args.role)
        .ok_or_else(|| CliError::Usage(format!("{:?} is no role: read or operate", args.role)))?;
    let now = Timestamp::from(SystemTime::now());
    let expires = args.ttl.map(|ttl| now.after(ttl));
    let token = Token::make(
        &keyring,
        role,
        &args.name,
        expires.map(|expires| expires.as_secs().max(1)),
    )
    .map_err(|error| CliError::Usage(error.message().to_owned()))?;
    let key_id = keyring.ids().first().map(ToString::to_string);
    out.answer(
        &json!({
            "token": token, "role": role.name(), "name": args.name, "cluster_name": cluster, "key_id": key_id,
            "expires": expires,
        }),
        &token,
    )
}

/// A token for reading that this program makes for itself, where the environment has a secret.
pub(super) fn own_token(name: &str, lifetime: Duration) -> Result<Option<Secret>> {
    if option_variable("cluster_secret")?.is_none() && option_variable("cluster_secret_file")?.is_none() {
        return Ok(None);
    }
    let (_, keyring) = keyring(None, None)?;
    let expires = Timestamp::from(SystemTime::now())
        .after(lifetime)
        .as_secs()
        .max(1);
    let token = Token::make(&keyring, Role::Read, name, Some(expires))?;
    Ok(Some(Secret::from(token)))
}

/// The name of a cluster and its keys: each as given, else as the environment has it.
fn keyring(name: Option<&str>, secret_file: Option<&Path>) -> Result<(String, Keyring)> {
    let cluster = match name {
        Some(name) => name.to_owned(),
        None => match option_variable("cluster_name")? {
            Some((_, name)) => name,
            None => Options::default().cluster_name,
        },
    };
    let keyring = Keyring::new(&cluster, &cluster_secret(secret_file)?)?;
    Ok((cluster, keyring))
}
