//! The native part of the npm package `clusterkit`: it moves bytes and handles between Node.js and the core. The names that
//! users see, their types and what is convenient are in `ts/`.
//!
//! | module | what |
//! |---|---|
//! | [`node`], [`data`], [`client`], [`testing`] | the objects behind the classes of the front |
//! | [`lookup`], `raw` | what is called often: functions straight on Node-API |
//! | [`view`], [`options`], [`command`], [`mod@bench`] | views, options, the command, what is measured |
//! | `mailbox`, `calls`, `hooks`, `queue`, `log` | what the threads of the library have to tell, and how JavaScript hears of it |
//! | `error`, `json`, `slot` | errors, records, and where a handle finds its node |
//!
//! # Threads
//!
//! Every function runs on the thread of its environment, the main thread of the process or that of a worker, and waits for
//! nothing. What waits is a future on the runtime of the core, or a thread of a test cluster. Its outcome, calls of hooks and
//! messages go into the `mailbox::Mailbox` of their handle, which wakes the event loop once for all that wait.
//!
//! # The end of an environment
//!
//! Objects are dropped when they are collected, and all of them when their environment ends: a node that has not stopped closes
//! in the background then, and nothing waits for it. The threads of the core outlive an environment, and the process's exit
//! ends them; the addon is never unloaded (`-z nodelete`).
#![allow(
    missing_docs,
    reason = "the front documents what it calls, by the same names; what is not plain has a comment here"
)]

pub mod bench;
mod calls;
pub mod client;
pub mod command;
pub mod data;
mod error;
mod hooks;
mod json;
mod log;
pub mod lookup;
mod mailbox;
pub mod node;
pub mod options;
mod queue;
mod raw;
mod slot;
pub mod testing;
pub mod view;

use napi_derive::napi;
use serde::Serialize;

use crate::json::json as to_json;

/// Runs once, when the process loads this library.
#[napi_derive::module_init]
fn init() {
    // The standard library in this file is its own: what panics must not print on the host's stderr.
    clusterkit::send_panics_to_logs();
}

/// One code of an error.
#[derive(Serialize)]
struct CodeRow {
    name: &'static str,
    number: i32,
    retriable: bool,
    ambiguous: bool,
}

/// Every code of an error, as JSON.
#[napi(catch_unwind)]
pub fn error_codes() -> String {
    let row = |code: &clusterkit::ErrorCode| CodeRow {
        name: code.name(),
        number: code.number(),
        retriable: code.is_retriable(),
        ambiguous: clusterkit::Error::new(*code, "").is_ambiguous(),
    };
    to_json(&clusterkit::ErrorCode::ALL.iter().map(row).collect::<Vec<_>>())
}

/// The version of the library.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
