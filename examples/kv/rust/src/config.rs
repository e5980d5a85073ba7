//! The environment variables. ClusterKit reads its own: `NODE_ID`, `HTTP_ADDR`, `JOIN_ADDR`, `DATA_DIR` and all the others
//! of docs/options.md.

use std::path::PathBuf;

use clusterkit::{ListenAddr, Options};

use crate::StartError;

/// When a write is acknowledged, and who routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// When a quorum of the copies has it.
    Sync,
    /// When the primary has it.
    Async,
    /// As `Sync`; clients are plain HTTP and ask any server.
    ServerSide,
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Of ClusterKit.
    pub options: Options,
    /// Where clients and the other servers reach this one.
    pub kv_addr: ListenAddr,
    /// The mode; all servers of a cluster have the same.
    pub mode: Mode,
    /// The file of the database; `None` keeps rows in memory.
    pub database: Option<PathBuf>,
    /// How many rows wait for one replica at most in the mode `async`.
    pub async_queue: usize,
    /// Whether what ClusterKit logs goes to standard error: a library writes nothing there by itself.
    pub log: bool,
}

impl Config {
    /// What the environment says.
    ///
    /// # Errors
    /// A variable is missing or malformed.
    pub fn from_env() -> Result<Self, StartError> {
        let mut options = Options::from_env()?;
        if let Some(partitions) = variable("PARTITIONS") {
            options.set("partition_count", &partitions)?;
        }
        Ok(Config {
            log: true,
            ..Config::new(options, variable)?
        })
    }

    /// The rest of a configuration, with variables that `lookup` finds.
    ///
    /// # Errors
    /// A variable is malformed.
    pub fn new(
        mut options: Options,
        lookup: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, StartError> {
        let mode = match lookup("MODE").as_deref() {
            None | Some("sync") => Mode::Sync,
            Some("async") => Mode::Async,
            Some("server-side") => Mode::ServerSide,
            Some(other) => return Err(format!("MODE={other}: it is sync, async or server-side").into()),
        };
        let folder = PathBuf::from(&options.data_dir);
        let database = match lookup("STORE").as_deref() {
            None | Some("memory") => None,
            Some("sqlite") => Some(folder.join("kv.sqlite")),
            Some(other) => return Err(format!("STORE={other}: it is memory or sqlite").into()),
        };
        if !options.data_dir.is_empty() {
            // The database lies beside what ClusterKit keeps, not among it.
            let own = folder.join("cluster");
            options.data_dir = own.to_str().ok_or("DATA_DIR is not UTF-8")?.to_owned();
        }
        let kv_addr = match lookup("KV_ADDR") {
            Some(addr) => ListenAddr::parse(&addr)?,
            None => default_kv_addr(&ListenAddr::parse(&options.http_addr)?)?,
        };
        let async_queue = match lookup("ASYNC_QUEUE") {
            Some(rows) => rows.parse().ok().filter(|rows| (1..=1_000_000).contains(rows)),
            None => Some(10_000),
        };
        Ok(Config {
            options,
            kv_addr,
            mode,
            database,
            async_queue: async_queue.ok_or("ASYNC_QUEUE is a number from 1 to 1000000")?,
            log: false,
        })
    }
}

/// Port 9080 for 8080: a thousand above ClusterKit's own, or any where that is any.
fn default_kv_addr(http: &ListenAddr) -> Result<ListenAddr, StartError> {
    let host = match http.host() {
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    let port = match http.port() {
        0 => 0,
        port => port
            .checked_add(1000)
            .ok_or("HTTP_ADDR leaves no port for KV_ADDR")?,
    };
    Ok(ListenAddr::parse(&format!("{host}:{port}"))?)
}

fn variable(name: &'static str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
