//! A key-value store in which every partition has copies on several nodes, to read beside `../README.md`, which has the
//! protocol and the reasons.
//!
//! ClusterKit says which node holds which partition, who is its primary and under which epoch. What is here is what every
//! application has to bring itself: rows, replication, and copying what moves.
//!
//! | module | what it does |
//! |---|---|
//! | `config` | environment variables |
//! | `store` | rows with versions, the fence, count and digest; in memory or in SQLite (`sqlite`) |
//! | `peers` | calls to the other members, and the bodies of those calls |
//! | `replication` | a write and a read at the primary |
//! | `background` | the queues of the mode `async`, and the repair of replicas that missed a write |
//! | `takeover` | what a new primary does before it serves |
//! | `copying` | what a new copy does before it counts, at both ends |
//! | `hooks` | which of these ClusterKit's events start |
//! | `clients`, `members` | what is asked over HTTP by the ones and the others (`answers`, `auth`) |
//! | `server` | how it starts and ends |

mod answers;
mod auth;
mod background;
mod clients;
mod config;
mod copying;
mod hooks;
mod members;
mod peers;
mod replication;
mod server;
mod sqlite;
mod status;
mod store;
mod takeover;

pub use config::{Config, Mode};
pub use server::Server;

/// What a start may fail with.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;
