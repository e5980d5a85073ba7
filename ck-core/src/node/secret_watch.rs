//! The cluster's secret: read at the beginning, and again when its file changes.

use std::path::Path;
use std::sync::Arc;

use super::context::NodeContext;
use super::reload_report::ReloadReport;
use super::tls_watch::tls_of;
use crate::env;
use crate::error::{Error, ErrorCode, Result};
use crate::net::{Keyring, Security};
use crate::options::{OPTION_FILE_READ_INTERVAL, Options, read_option_file};

/// The longest file that is read.
const MAX_FILE_BYTES: u64 = 16 << 10;

/// What connections of a node with these options prove.
///
/// # Errors
/// [`ErrorCode::InvalidOption`] for a file that cannot be read, or has not in it what it should.
pub(crate) fn security_of(options: &Options) -> Result<Security> {
    let text = match (&options.cluster_secret, &options.cluster_secret_file) {
        (Some(secret), _) => secret.reveal().to_owned(),
        (None, Some(path)) => read(Path::new(path))?,
        (None, None) => {
            let tls = tls_of(options, false)?;
            return Security::new(None, tls, options.security_rollout).within(&options.allowed_cidrs);
        }
    };
    let keyring =
        Keyring::new(&options.cluster_name, &text).map_err(|error| match &options.cluster_secret_file {
            Some(path) => error.context(format!("option cluster_secret_file: {path}")),
            None => error,
        })?;
    let tls = tls_of(options, true)?;
    Security::new(Some(keyring), tls, options.security_rollout).within(&options.allowed_cidrs)
}

fn read(path: &Path) -> Result<String> {
    let bytes = read_option_file("cluster_secret_file", path, MAX_FILE_BYTES)?;
    String::from_utf8(bytes).map_err(|_| {
        let message = format!("option cluster_secret_file: {} is no text", path.display());
        Error::new(ErrorCode::InvalidOption, message)
    })
}

/// Watches the file with the secret.
pub(super) struct SecretWatch {
    context: Arc<NodeContext>,
    path: Arc<Path>,
    keyring: Keyring,
}

impl SecretWatch {
    /// `None` where the secret is in no file.
    pub(super) fn new(context: Arc<NodeContext>) -> Option<Self> {
        let path = context.options.cluster_secret_file.as_ref()?;
        Some(SecretWatch {
            path: Path::new(path).into(),
            keyring: context.security.keyring()?.clone(),
            context,
        })
    }

    /// Reads the file again and again. A file that is wrong is reported once, and changes nothing.
    pub(super) async fn run(self) {
        let mut report = ReloadReport::default();
        loop {
            env::sleep(OPTION_FILE_READ_INTERVAL).await;
            let path = self.path.clone();
            // A file on a network may hang.
            let text = env::blocking(move || read(&path)).await.and_then(|text| text);
            match text.and_then(|text| self.keyring.replace(&text)) {
                Ok(true) => {
                    let keys: Vec<String> = self.keyring.ids().iter().map(ToString::to_string).collect();
                    self.context.logger.info(format_args!(
                        "the cluster's secret has changed: this node uses key {}, and accepts {}",
                        keys.first().map(String::as_str).unwrap_or_default(),
                        keys.join(", ")
                    ));
                    report.succeeded();
                }
                Ok(false) => report.succeeded(),
                Err(error) => report.failed(&self.context.logger, "the secret stays as it was", &error),
            }
        }
    }
}
