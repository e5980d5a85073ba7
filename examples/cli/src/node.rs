//! Stands in for `ck_core::ClusterKit` until it exists, with the same calls. Replace this file's one use in
//! `commands/serve.rs` by `ck_core::ClusterKit` and delete it.

use ck_core::model::Event;
use ck_core::{Error, ErrorCode, Options, Result};

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
    pub(crate) fn http_addr(&self) -> String {
        String::new()
    }

    /// Nothing happens to it.
    pub(crate) fn on_event(
        &self,
        _hook: impl Fn(&Event) -> std::result::Result<(), String> + Send + Sync + 'static,
    ) -> u64 {
        0
    }
}
