//! Every option of a node, set from code, by name, from JSON, or from the environment. One table ([`table()`]) names
//! them all.

mod address;
mod builder;
mod cidr;
mod derived;
mod duration;
mod effective;
mod env;
mod file;
#[cfg(any(test, feature = "fuzz"))]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target tells by a panic what it found"
)]
pub(crate) mod fuzz;
mod json;
mod markdown;
mod secret;
mod spec;
mod strict_json;
mod table;
mod validate;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) use address::is_dialable;
pub use address::{ListenAddr, advertised};
pub use builder::OptionsBuilder;
pub(crate) use cidr::Cidr;
pub use derived::TimingValues;
pub use duration::{format_duration, parse_duration};
pub(crate) use file::{OPTION_FILE_READ_INTERVAL, is_world_readable, read_option_file};
pub(crate) use json::{json_object, text_of};
pub use markdown::options_markdown;
pub use secret::Secret;
pub(crate) use secret::{REDACTED, check_keyring, keys_of};
pub use spec::{OptionDefault, OptionKind, OptionSpec};
pub use table::table;
pub(crate) use value::{OptionValue, is_identifier};

use crate::error::{Error, ErrorCode, Result};

/// The options that a node is started with.
///
/// Fields are public; [`Options::set`] reaches the same fields by name. Fields are not checked against each other
/// before [`Options::validate`], which a start calls. Where a field is an `Option`, `None` selects the default that
/// [`table()`] describes, and a method such as [`Options::effective_lease_ttl`] returns the resulting value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// This node's name in the cluster: 1 to 255 of `A-Za-z0-9._:-`.
    pub node_id: String,
    /// A display name.
    pub node_name: Option<String>,
    /// Where the node listens: `:8080`, `host:port`, `[::1]:0`.
    pub http_addr: String,
    /// The address of a separate listener for peers.
    pub raft_addr: Option<String>,
    /// The address that other nodes dial: `host` or `host:port`.
    pub advertise_addr: Option<String>,
    /// Members to join through, each `host:port`.
    pub join_addrs: Vec<String>,
    /// How long to try to join.
    pub join_timeout: Duration,
    /// Whether this node may bootstrap a cluster. `None` allows it when neither `join_addrs` nor `bootstrap_expect` is
    /// set; a node whose `data_dir` holds a cluster never does.
    pub bootstrap: Option<bool>,
    /// How many nodes bootstrap a cluster together, all alike; `None` leaves it to `bootstrap`.
    pub bootstrap_expect: Option<u32>,
    /// The cluster's name.
    pub cluster_name: String,
    /// The number of partitions asked for, 1 to 65536; `None` takes the cluster's.
    pub partition_count: Option<u32>,
    /// The number of copies of each partition asked for; `None` takes the cluster's.
    pub replication_factor: Option<u32>,
    /// The data directory; empty means in memory.
    pub data_dir: String,
    /// How often the node sends a heartbeat, which renews its lease.
    pub sync_interval: Option<Duration>,
    /// How long a lease lasts.
    pub lease_ttl: Option<Duration>,
    /// When a silent node counts as failed.
    pub health_check: HealthCheckOptions,
    /// How long a failed node may stay away before its copies are made elsewhere.
    pub rebalance_delay: Duration,
    /// How long copying one partition may take.
    pub migration_timeout: Duration,
    /// The maximum number of partitions that one node copies at a time.
    pub max_concurrent_migrations: u32,
    /// The maximum number of partitions that all nodes copy at a time; 0 for any number.
    pub max_cluster_migrations: u32,
    /// The timing of elections.
    pub timing: TimingOptions,
    /// The maximum number of voters.
    pub max_voters: u32,
    /// The application's own endpoints: name to `:port` or `host:port`.
    pub services: BTreeMap<String, String>,
    /// This node's relative share of the partitions; 0 takes none.
    pub weight: u32,
    /// The failure zone.
    pub zone: Option<String>,
    /// Free-form labels.
    pub labels: BTreeMap<String, String>,
    /// The maximum number of threads that run a batch of partition hooks.
    pub hook_concurrency: u32,
    /// The number of threads of the runtime that all nodes of the process share; the first node decides.
    pub runtime_threads: Option<u32>,
    /// The secret that all members of the cluster share, or two during a change of it. See docs/security.md.
    pub cluster_secret: Option<Secret>,
    /// A file with the secret, read again when it changes.
    pub cluster_secret_file: Option<String>,
    /// Encryption, and certificates that prove who is at the other end.
    pub tls: TlsOptions,
    /// Accepts whoever reaches the port, on every interface, where there is neither a secret nor a certificate.
    pub insecure: bool,
    /// While a running cluster is given a secret or certificates: also accepts members and clients without.
    pub security_rollout: bool,
    /// The networks in which the addresses of members may be; empty for every network.
    pub allowed_cidrs: Vec<String>,
    /// Custom data under keys that begin with this only members write.
    pub reserved_data_prefix: Option<String>,
    /// The least severe messages that reach the log callback.
    pub log_level: LogLevel,
}

/// The files of a node's certificate. They are read again when they change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsOptions {
    /// The node's certificate and what leads from it to the authority, in PEM.
    pub cert: Option<String>,
    /// The certificate's private key, in PEM.
    pub key: Option<String>,
    /// The certificates of the authority that has signed those of members and clients, in PEM.
    pub ca: Option<String>,
}

/// When a silent node counts as failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthCheckOptions {
    /// Whether silent nodes are marked as failed at all.
    pub enabled: bool,
    /// How often the leader looks for silent nodes.
    pub interval: Option<Duration>,
    /// How long one heartbeat waits for its answer.
    pub timeout: Option<Duration>,
    /// The number of intervals of silence after which a node is failed.
    pub failure_threshold: u32,
}

/// The timing of elections: a profile, and values that override it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimingOptions {
    /// The profile that unset values come from.
    pub profile: TimingProfile,
    /// How often the leader sends Raft heartbeats to the voters.
    pub heartbeat: Option<Duration>,
    /// The shortest election timeout.
    pub election_min: Option<Duration>,
    /// The longest election timeout.
    pub election_max: Option<Duration>,
}

/// A set of election timings for a kind of network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimingProfile {
    /// One data centre: heartbeat 50 ms, election 150 to 300 ms.
    Lan,
    /// A quick network and disk: heartbeat 30 ms, election 75 to 150 ms.
    Fast,
    /// Between regions: heartbeat 250 ms, election 1 to 2 s.
    Wan,
}

impl TimingProfile {
    /// Every profile.
    pub const ALL: &'static [Self] = &[Self::Lan, Self::Fast, Self::Wan];
    pub(crate) const NAMES: &'static [&'static str] =
        &[Self::Lan.name(), Self::Fast.name(), Self::Wan.name()];

    /// The name in options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Fast => "fast",
            Self::Wan => "wan",
        }
    }
}

/// The severity of a log message, and the threshold for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// No message.
    Off,
    /// Problems that need action by a person.
    Error,
    /// Problems that may need action.
    Warn,
    /// Events of interest to operators: joins, leaders, migrations.
    Info,
    /// Details that help to find a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Every level, the least verbose first.
    pub const ALL: &'static [Self] = &[
        Self::Off,
        Self::Error,
        Self::Warn,
        Self::Info,
        Self::Debug,
        Self::Trace,
    ];
    pub(crate) const NAMES: &'static [&'static str] = &[
        Self::Off.name(),
        Self::Error.name(),
        Self::Warn.name(),
        Self::Info.name(),
        Self::Debug.name(),
        Self::Trace.name(),
    ];

    /// The name in options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Default for Options {
    /// Every default of [`table()`]. The required options are empty, which [`Options::validate`] refuses.
    fn default() -> Self {
        let mut options = Options::unset();
        for spec in table() {
            if let OptionDefault::Value(text) = spec.default {
                let applied = (spec.access.set)(&mut options, &spec.kind, text);
                debug_assert!(
                    applied.is_ok(),
                    "the default of {} is outside its bounds",
                    spec.name
                );
            }
        }
        options
    }
}

impl Options {
    /// Options with every default, for a node with this id that listens on `http_addr`.
    pub fn new(node_id: impl Into<String>, http_addr: impl Into<String>) -> Self {
        Options {
            node_id: node_id.into(),
            http_addr: http_addr.into(),
            ..Options::default()
        }
    }

    /// Sets an option by its name in [`table()`] or an alias, from its text form. `services.NAME` and `labels.NAME` set
    /// one entry; the empty text unsets an option that may be unset. On an error nothing changes.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`]: the name is unknown (the message suggests the nearest), or the value is
    /// malformed or out of bounds.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let target = OptionTarget::find(name)?;
        let spec = target.spec();
        match target {
            OptionTarget::Whole(_) => (spec.access.set)(self, &spec.kind, value),
            OptionTarget::Entry(_, key) => (spec.access.set_entry)(self, &spec.kind, key, value),
        }
        .map_err(|problem| spec.invalid(&target.name(), value, &problem))
    }

    /// The value of an option, set or by default, in the form that [`Options::set`] reads. Empty when it is not set: it
    /// has no value, or one that is derived from other options. A secret that is set is `(hidden)`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] for an unknown name.
    pub fn get(&self, name: &str) -> Result<String> {
        Ok(match OptionTarget::find(name)? {
            OptionTarget::Whole(spec) => {
                let text = (spec.access.get)(self);
                match spec.is_secret() && !text.is_empty() {
                    true => REDACTED.to_owned(),
                    false => text,
                }
            }
            OptionTarget::Entry(spec, key) => (spec.access.entry)(self, key),
        })
    }

    /// The values of the fields before the table's defaults are applied.
    fn unset() -> Self {
        Options {
            node_id: String::new(),
            node_name: None,
            http_addr: String::new(),
            raft_addr: None,
            advertise_addr: None,
            join_addrs: Vec::new(),
            join_timeout: Duration::ZERO,
            bootstrap: None,
            bootstrap_expect: None,
            cluster_name: String::new(),
            partition_count: None,
            replication_factor: None,
            data_dir: String::new(),
            sync_interval: None,
            lease_ttl: None,
            health_check: HealthCheckOptions {
                enabled: false,
                interval: None,
                timeout: None,
                failure_threshold: 0,
            },
            rebalance_delay: Duration::ZERO,
            migration_timeout: Duration::ZERO,
            max_concurrent_migrations: 0,
            max_cluster_migrations: 0,
            timing: TimingOptions {
                profile: TimingProfile::Lan,
                heartbeat: None,
                election_min: None,
                election_max: None,
            },
            max_voters: 0,
            services: BTreeMap::new(),
            weight: 0,
            zone: None,
            labels: BTreeMap::new(),
            hook_concurrency: 0,
            runtime_threads: None,
            cluster_secret: None,
            cluster_secret_file: None,
            tls: TlsOptions::default(),
            insecure: false,
            security_rollout: false,
            allowed_cidrs: Vec::new(),
            reserved_data_prefix: None,
            log_level: LogLevel::Off,
        }
    }
}

/// The target of a name: an option, or one entry of an option that is a map.
#[derive(Clone, Copy)]
enum OptionTarget<'a> {
    Whole(&'static OptionSpec),
    Entry(&'static OptionSpec, &'a str),
}

impl<'a> OptionTarget<'a> {
    fn find(name: &'a str) -> Result<Self> {
        if let Some(spec) = table()
            .iter()
            .find(|spec| spec.name == name || spec.aliases.contains(&name))
        {
            return Ok(OptionTarget::Whole(spec));
        }
        let entry = name.split_once('.').and_then(|(group, key)| {
            let spec = table()
                .iter()
                .find(|spec| spec.name == group && spec.has_entries())?;
            Some(OptionTarget::Entry(spec, key))
        });
        entry.ok_or_else(|| unknown(name))
    }

    fn spec(&self) -> &'static OptionSpec {
        match self {
            OptionTarget::Whole(spec) | OptionTarget::Entry(spec, _) => spec,
        }
    }

    /// The canonical name of the option, whatever alias it was found by.
    fn name(&self) -> String {
        match self {
            OptionTarget::Whole(spec) => spec.name.to_string(),
            OptionTarget::Entry(spec, key) => format!("{}.{key}", spec.name),
        }
    }
}

/// The error for a value that is never shown.
pub(crate) fn invalid_secret(name: &str, problem: &str) -> Error {
    Error::new(
        ErrorCode::InvalidOption,
        format!("option {name}: the value, which is not shown, {problem}"),
    )
}

/// The error for a bad value: names the option, the value (cut when long) and what would be right.
pub(crate) fn invalid(name: &str, value: &str, problem: &str) -> Error {
    const MAX_SHOWN_CHARS: usize = 80;
    let short = |text: &str| {
        text.char_indices()
            .nth(MAX_SHOWN_CHARS)
            .map(|(end, _)| text[..end].to_owned())
    };
    let shown = match short(value) {
        Some(short) => format!("{short:?}..."),
        None => format!("{value:?}"),
    };
    // The name of an entry (labels.rack) comes from the caller too, and may be long.
    let name = short(name).map_or_else(|| name.to_owned(), |short| short + "...");
    Error::new(
        ErrorCode::InvalidOption,
        format!("option {name}: {shown} {problem}"),
    )
}

fn unknown(name: &str) -> Error {
    let shown: String = name.chars().take(80).collect();
    let hint = match nearest(&shown) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "docs/options.md lists every option".to_string(),
    };
    Error::new(
        ErrorCode::InvalidOption,
        format!("unknown option {shown:?}; {hint}"),
    )
}

/// The option that was probably meant. Case and separators are ignored (`partitionCount`), a group may be missing
/// (`failure_threshold`), and about one letter in four may be wrong.
fn nearest(name: &str) -> Option<&'static str> {
    let plain = |text: &str| -> String {
        text.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    let wanted = plain(name);
    let distance = |candidate: &str| strsim::osa_distance(&wanted, &plain(candidate));
    let names = table().iter().flat_map(|spec| {
        let last = spec.name.rsplit('.').next().unwrap_or(spec.name);
        let others = spec
            .aliases
            .iter()
            .copied()
            .chain([last])
            .map(move |other| (other, spec.name));
        others.chain([(spec.name, spec.name)])
    });
    let (found, far) = names
        .map(|(word, name)| (name, distance(word)))
        .min_by_key(|(_, far)| *far)?;
    (far <= (wanted.len() / 4).max(1) && far < wanted.len()).then_some(found)
}
