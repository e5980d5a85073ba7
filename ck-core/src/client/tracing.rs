//! Log messages as events of `tracing`.

use std::sync::Arc;

use super::handle::Client;
use crate::options::LogLevel;

impl Client {
    /// Sends this client's log messages to `tracing`, with the target `clusterkit` and the field `client`, which is the
    /// given addresses: in place of a callback of [`Client::on_log`]. The option `log_level` still decides which messages
    /// there are.
    ///
    /// Needs the feature `tracing`.
    pub fn log_to_tracing(&self) {
        let client = self.shared().options.addrs.join(",");
        self.on_log(Some(Arc::new(move |level, message| match level {
            LogLevel::Off => {}
            LogLevel::Error => tracing::error!(target: "clusterkit", %client, "{message}"),
            LogLevel::Warn => tracing::warn!(target: "clusterkit", %client, "{message}"),
            LogLevel::Info => tracing::info!(target: "clusterkit", %client, "{message}"),
            LogLevel::Debug => tracing::debug!(target: "clusterkit", %client, "{message}"),
            LogLevel::Trace => tracing::trace!(target: "clusterkit", %client, "{message}"),
        })));
    }
}
