//! The node's certificate, key and CA: read at the beginning, and again when their files change; and a warning before the
//! certificate expires.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::context::NodeContext;
use super::reload_report::ReloadReport;
use crate::env;
#[cfg(doc)]
use crate::error::ErrorCode;
use crate::error::{Error, Result};
use crate::net::{Tls, TlsOwner, TlsPem};
use crate::options::{LogLevel, OPTION_FILE_READ_INTERVAL, Options, read_option_file};

/// The longest file that is read: a bundle of every public authority has a quarter of that.
const MAX_FILE_BYTES: u64 = 1 << 20;

const DAY_SECS: i64 = 86_400;
/// The times before the end of the certificate at which people are warned, the shortest last.
const WARN_BEFORE_SECS: [i64; 4] = [30 * DAY_SECS, 7 * DAY_SECS, DAY_SECS, 0];

/// The paths of the three files.
#[derive(Debug, Clone)]
struct TlsFiles {
    cert: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

impl TlsFiles {
    /// `None` where the options name none.
    fn of(options: &Options) -> Option<Self> {
        let path = |path: &Option<String>| path.as_ref().map(PathBuf::from);
        Some(TlsFiles {
            cert: path(&options.tls.cert)?,
            key: path(&options.tls.key)?,
            ca: path(&options.tls.ca)?,
        })
    }

    fn read(&self) -> Result<TlsPem> {
        let read = |option: &str, path: &Path| read_option_file(option, path, MAX_FILE_BYTES);
        Ok(TlsPem {
            cert: read("tls.cert", &self.cert)?,
            key: read("tls.key", &self.key)?,
            ca: read("tls.ca", &self.ca)?,
        })
    }
}

/// TLS of a node with these options; `None` where they name no files.
///
/// # Errors
/// [`ErrorCode::InvalidOption`] for a file that cannot be read, or is not what it should be.
pub(super) fn tls_of(options: &Options, has_secret: bool) -> Result<Option<Tls>> {
    let Some(files) = TlsFiles::of(options) else {
        return Ok(None);
    };
    let owner = TlsOwner {
        cluster: options.cluster_name.clone(),
        node: options.node_id.clone(),
        has_secret,
    };
    let option = |error: Error| error.context("option tls");
    Ok(Some(Tls::new(owner, &files.read()?).map_err(option)?))
}

/// Watches the files.
pub(super) struct TlsWatch {
    context: Arc<NodeContext>,
    files: TlsFiles,
    tls: Tls,
}

impl TlsWatch {
    /// `None` where the node speaks no TLS.
    pub(super) fn new(context: Arc<NodeContext>) -> Option<Self> {
        Some(TlsWatch {
            files: TlsFiles::of(&context.options)?,
            tls: context.security.tls()?.clone(),
            context,
        })
    }

    /// Reads the files again and again. Files that are wrong, or do not go together because they are being replaced, are
    /// reported once, and change nothing.
    pub(super) async fn run(self) {
        let mut report = ReloadReport::default();
        let mut warned = None;
        loop {
            self.warn_of_expiry(&mut warned);
            env::sleep(OPTION_FILE_READ_INTERVAL).await;
            let (files, tls) = (self.files.clone(), self.tls.clone());
            // A file on a network may hang.
            let replaced = env::blocking(move || tls.replace(&files.read()?)).await;
            match replaced.and_then(|replaced| replaced) {
                Ok(true) => {
                    self.context.logger.info(format_args!(
                        "the certificate or the CA has changed: new connections use what the files have now; the certificate \
                         is valid for {}",
                        for_people(self.tls.seconds_left())
                    ));
                    report.succeeded();
                    warned = None;
                }
                Ok(false) => report.succeeded(),
                Err(error) => {
                    let consequence = "the certificate and the CA stay as they were";
                    report.failed(&self.context.logger, consequence, &error);
                }
            }
        }
    }

    /// Warns once at each of [`WARN_BEFORE_SECS`].
    fn warn_of_expiry(&self, warned: &mut Option<i64>) {
        let left = self.tls.seconds_left();
        let Some(due) = due_warning(left) else { return };
        if warned.is_some_and(|warned| warned <= due) {
            return;
        }
        *warned = Some(due);
        let cert = self.files.cert.display();
        match left {
            1.. => self.context.logger.warn(format_args!(
                "the certificate of this node ({cert}) expires in {}",
                for_people(left)
            )),
            _ => self.context.logger.write(
                LogLevel::Error,
                format_args!(
                    "the certificate of this node ({cert}) has expired: no other member and no client accepts new \
                     connections with it"
                ),
            ),
        }
    }
}

/// The last of [`WARN_BEFORE_SECS`] that is reached with so much time left.
fn due_warning(left: i64) -> Option<i64> {
    WARN_BEFORE_SECS
        .into_iter()
        .filter(|before| left <= *before)
        .min()
}

fn for_people(seconds: i64) -> String {
    match seconds / DAY_SECS {
        2.. => format!("{} days", seconds / DAY_SECS),
        _ => format!("{} minutes", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_warned_thirty_days_seven_days_and_a_day_before_and_at_the_end() {
        for (left, expected) in [
            (31 * DAY_SECS, None),
            (30 * DAY_SECS, Some(30 * DAY_SECS)),
            (8 * DAY_SECS, Some(30 * DAY_SECS)),
            (7 * DAY_SECS, Some(7 * DAY_SECS)),
            (2 * DAY_SECS, Some(7 * DAY_SECS)),
            (DAY_SECS, Some(DAY_SECS)),
            (1, Some(DAY_SECS)),
            (0, Some(0)),
            (-5, Some(0)),
        ] {
            assert_eq!(due_warning(left), expected, "{left}");
        }
        assert_eq!(for_people(30 * DAY_SECS + 5), "30 days");
        assert_eq!(for_people(DAY_SECS), "1440 minutes");
    }
}
