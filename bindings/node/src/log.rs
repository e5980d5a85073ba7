//! Messages for people.

use std::sync::Arc;

use clusterkit::{LogCallback, LogLevel};

use crate::json::json;
use crate::mailbox::Mailbox;

/// A callback that leaves each message in the mailbox, and never waits for its reader.
pub(crate) fn callback(mailbox: Arc<Mailbox>) -> LogCallback {
    Arc::new(move |level: LogLevel, message: &str| {
        mailbox.post_log(format!("[\"log\",\"{}\",{}]", level.name(), json(message)));
    })
}
