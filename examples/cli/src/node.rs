//! Stands in for `ck_core::ClusterKit` until it exists, with the same calls. Replace this file's one use in
//! `commands/serve.rs` by `ck_core::ClusterKit` and delete it.

use ck_core::model::Event;
use ck_core::{Error, ErrorCode, LogLevel, Options, Result};

/// Where messages for people go.
pub(crate) type LogCallback = std::sync::Arc<dyn Fn(LogLevel, &str) + Send + Sync>;

/// A node that cannot start.
#[derive(Debug)]
pub(crate) struct ClusterKit;

impl ClusterKit {
    /// Takes valid options and forgets them.
    pub(crate) fn new(options: Options) -> Result<Self> {
        options.validate().map(|()| ClusterKit)
    }

    /// Refuses.
    pub(crate) fn start(&self) -> Result<()> {
        Err(Error::new(
            ErrorCode::Internal,
            "this build of the command has no node in it",
        ))
    }

    /// Nothing runs.
    pub(crate) fn stop(&self) -> Result<()> {
        Ok(())
    }

    /// It listens nowhere.
    pub(crate) fn http_addr(&self) -> Option<String> {
        None
    }

    /// It says nothing.
    pub(crate) fn on_log(&self, _callback: Option<LogCallback>) {}

    /// Nothing happens to it.
    pub(crate) fn on_event(
        &self,
        _hook: impl Fn(&Event) -> std::result::Result<(), String> + Send + Sync + 'static,
    ) -> Result<u64> {
        Ok(0)
    }
}
