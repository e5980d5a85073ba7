//! The command line of what makes secrets and tokens.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::duration;

pub(super) const SECRET_HELP: &str = "\
The secret is 32 bytes from the system's generator, in base64url.

Examples:
  (umask 077; clusterkit secret > secret)
  clusterkit serve --node-id node-1 --http-addr :8080 --cluster-secret-file secret";

pub(super) const TOKEN_HELP: &str = "\
The secret is read from --secret-file, else from CLUSTERKIT_CLUSTER_SECRET or the file that
CLUSTERKIT_CLUSTER_SECRET_FILE names. No node is asked, and nothing is kept: a token counts until it expires, or
until its secret is replaced.

Examples:
  (umask 077; clusterkit token --role operate --secret-file secret > token)
  clusterkit status --token-file token
  clusterkit token --role read --name prometheus --ttl 30d --cluster-name orders --secret-file secret";

/// `token`.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// What its holder may do: read, or operate as well
    #[arg(long, value_parser = ["read", "operate"])]
    pub(crate) role: String,

    /// Who it is for: the name stands in the audit
    #[arg(long, default_value = "")]
    pub(crate) name: String,

    /// How long it counts: 30d, 12h. Without it, for as long as its secret does
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub(crate) ttl: Option<Duration>,

    /// A file with the cluster's secret
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,

    /// The cluster's name; without it what CLUSTERKIT_CLUSTER_NAME has, or clusterkit-cluster
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster_name: Option<String>,
}
