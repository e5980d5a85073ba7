//! `certs`: what is to be in a certificate.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

pub(super) const CERTS_HELP: &str = "\
For tests and small clusters: the authority's key lies in the folder, so keep the folder where no node runs. A node needs
ca.pem and its own two files. Nothing is overwritten; a certificate is replaced by one that was made in another folder
with the same ca.pem and ca.key.

Examples:
  clusterkit certs init --cluster-name orders
  clusterkit certs node node-1 --host node-1.example --host 10.0.0.5
  clusterkit certs operate ada
  clusterkit certs read grafana --days 30
  clusterkit status --ca certs/ca.pem --cert certs/operate-ada.pem --key certs/operate-ada.key";

/// `certs`.
#[derive(Debug, Subcommand)]
pub(crate) enum CertsCommand {
    /// Make the authority of a cluster
    #[command(after_help = "Examples:\n  clusterkit certs init --cluster-name orders --dir certs")]
    Init {
        /// The name of the cluster, as in the nodes' option cluster_name
        #[arg(long, default_value = "clusterkit-cluster", value_parser = NonEmptyStringValueParser::new(), value_name = "NAME")]
        cluster_name: String,

        #[command(flatten)]
        folder: CertsFolder,

        /// For how many days it is valid
        #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500), value_name = "DAYS")]
        days: u32,
    },
    /// Make the certificate of a node
    #[command(
        after_help = "Examples:\n  clusterkit certs node node-1\n  clusterkit certs node node-1 --host node-1.example --host 10.0.0.5"
    )]
    Node {
        #[command(flatten)]
        issue: IssueArgs,

        /// A host name or IP address under which clients reach it; without any, those of this machine alone. Members need none
        #[arg(long = "host", value_parser = NonEmptyStringValueParser::new(), value_name = "HOST")]
        hosts: Vec<String>,
    },
    /// Make the certificate of somebody who may change the cluster and its data
    #[command(after_help = "Examples:\n  clusterkit certs operate ada")]
    Operate {
        #[command(flatten)]
        issue: IssueArgs,
    },
    /// Make the certificate of somebody who may look
    #[command(after_help = "Examples:\n  clusterkit certs read grafana --days 30")]
    Read {
        #[command(flatten)]
        issue: IssueArgs,
    },
}

/// Where the files are.
#[derive(Debug, Args)]
pub(crate) struct CertsFolder {
    /// The folder with the authority, and for what is made
    #[arg(long, default_value = "certs", value_name = "FOLDER")]
    pub(crate) dir: PathBuf,
}

/// What every certificate has.
#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// The id of the node, or a name for the audit: of A-Z a-z 0-9 . _ : -
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) folder: CertsFolder,

    /// For how many days it is valid
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500), value_name = "DAYS")]
    pub(crate) days: u32,
}
