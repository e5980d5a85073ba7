//! How the command proves itself to a node, and what it asks of the node.

use std::path::{Path, PathBuf};

use clap::Args;
use clusterkit::net::{ClientTls, ClientTlsPem};

use crate::error::{CliError, Result};

/// TLS with the node. The ids are not those of other arguments: a global one would otherwise be taken for a command's own.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct TlsArgs {
    /// Speak TLS, with nodes whose certificates lead to the authority in this PEM file
    #[arg(
        id = "tls_ca",
        long = "ca",
        global = true,
        env = "CLUSTERKIT_TLS_CA",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) ca: Option<PathBuf>,

    /// Show the node the certificate in this PEM file
    #[arg(
        id = "tls_cert",
        long = "cert",
        global = true,
        env = "CLUSTERKIT_TLS_CERT",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) cert: Option<PathBuf>,

    /// The private key of --cert, as PEM
    #[arg(
        id = "tls_key",
        long = "key",
        global = true,
        env = "CLUSTERKIT_TLS_KEY",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) key: Option<PathBuf>,

    /// The cluster whose members are the right ones at whatever address. Without it, that of --cert; and without that, a
    /// node is known by the host in --addr
    #[arg(id = "tls_cluster", long = "cluster", global = true, value_name = "NAME")]
    pub(crate) cluster: Option<String>,

    /// Speak TLS with whoever answers. Whoever is in between reads and changes everything
    // A text, and with the id of the node's own option, because `serve` has a flag of this name too.
    #[arg(
        id = "insecure",
        long,
        global = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL",
        hide_possible_values = true,
        value_parser = clap::builder::PossibleValuesParser::new(["true", "false"])
    )]
    pub(crate) insecure: Option<String>,
}

impl TlsArgs {
    /// What to speak with a node; `None` for plain HTTP.
    pub(crate) fn client(&self) -> Result<Option<ClientTls>> {
        let is_insecure = self.insecure.as_deref() == Some("true");
        if is_insecure && self.ca.is_some() {
            return Err(CliError::Usage(
                "--insecure verifies nothing, and --ca says how to: leave one of them out".to_owned(),
            ));
        }
        if self.cert.is_some() != self.key.is_some() {
            return Err(CliError::Usage("--cert and --key go together".to_owned()));
        }
        if self.ca.is_none() && !is_insecure {
            if self.cert.is_some() {
                return Err(CliError::Usage(
                    "--cert needs --ca, by which nodes are known".to_owned(),
                ));
            }
            return Ok(None);
        }
        let read = |path: &Option<PathBuf>| path.as_deref().map(read_file).transpose();
        let (ca, cert, key) = (read(&self.ca)?, read(&self.cert)?, read(&self.key)?);
        let tls = ClientTls::new(ClientTlsPem {
            cluster: self.cluster.as_deref(),
            ca: ca.as_deref(),
            own: cert.as_deref().zip(key.as_deref()),
        });
        // The names of the options are those of a program's; those of the command are close to them.
        tls.map(Some)
            .map_err(|error| CliError::Usage(error.message().replace("tls_", "--")))
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| CliError::Usage(format!("cannot read {}: {error}", path.display())))
}
