//! The types of the table of options: what is known of an option.

use std::time::Duration;

use super::Options;
use super::duration::format_duration;
use super::value::ParseResult;
use crate::error::Error;

/// One option: its names, the values that it accepts, and its meaning.
#[derive(Debug)]
#[non_exhaustive]
pub struct OptionSpec {
    /// The name, in snake_case; a dot separates a group from its member (`health_check.interval`).
    pub name: &'static str,
    /// Other names that [`Options::set`] and JSON files accept.
    pub aliases: &'static [&'static str],
    /// The environment variables that set it; where several are set, the first in this order counts.
    pub env: &'static [&'static str],
    /// The type and its bounds.
    pub kind: OptionKind,
    /// The value that applies when it is not set.
    pub default: OptionDefault,
    /// Its meaning, in one or two sentences.
    pub help: &'static str,
    pub(super) access: OptionAccess,
}

/// An option's type and bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionKind {
    /// 1 to 255 of `A-Z a-z 0-9 . _ : -`, and neither `.` nor `..`.
    Identifier,
    /// A display name: 1 to 255 bytes without control characters and outer blanks.
    Name,
    /// A path in the file system; may be empty. ClusterKit neither expands `~` nor removes quotes, so both are refused.
    Path,
    /// An address to listen on: `:8080`, `host:port`, `[::1]:0`.
    ListenAddress,
    /// An address that other nodes dial: `host` or `host:port`.
    AdvertiseAddress,
    /// Addresses to dial, `host:port`, separated by commas; in JSON also an array.
    AddressList,
    /// Networks as an address and a length, `10.0.0.0/8`, separated by commas; in JSON also an array.
    CidrList,
    /// The secret of a cluster: 43 to 1024 printable characters, or two of them separated by a comma. It is never shown.
    ClusterSecret,
    /// A text that is never shown.
    Token,
    /// Named service addresses: `kv=:9080,api=host:3000`; in JSON an object.
    Services,
    /// Free-form labels: `rack=r1,disk=ssd`; in JSON an object.
    Labels,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer {
        /// The smallest accepted number.
        min: u32,
        /// The largest accepted number.
        max: u32,
    },
    /// A duration: `5s`, `500ms`, `1m30s`, or a number of milliseconds.
    Duration {
        /// The shortest accepted duration.
        min: Duration,
        /// The longest accepted duration.
        max: Duration,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl OptionKind {
    /// The type in one word, the same in every language.
    pub fn type_name(&self) -> &'static str {
        match self {
            OptionKind::Identifier
            | OptionKind::Name
            | OptionKind::Path
            | OptionKind::ClusterSecret
            | OptionKind::Token => "text",
            OptionKind::ListenAddress | OptionKind::AdvertiseAddress => "address",
            OptionKind::AddressList | OptionKind::CidrList => "list",
            OptionKind::Services | OptionKind::Labels => "map",
            OptionKind::Bool => "boolean",
            OptionKind::Integer { .. } => "integer",
            OptionKind::Duration { .. } => "duration",
            OptionKind::Choice(_) => "choice",
        }
    }

    /// True for a value that is never shown.
    pub fn is_secret(&self) -> bool {
        matches!(self, OptionKind::ClusterSecret | OptionKind::Token)
    }

    /// The bounds in words.
    pub fn bounds(&self) -> String {
        match self {
            OptionKind::Identifier => "1 to 255 of A-Z a-z 0-9 . _ : -, and neither . nor ..".into(),
            OptionKind::Name => "1 to 255 bytes, no control characters, no blanks at either end".into(),
            OptionKind::Path => "a path, without quotes, a ~ or blanks around it".into(),
            OptionKind::ListenAddress => ":port, host:port or [ipv6]:port; port 0 asks the system".into(),
            OptionKind::AdvertiseAddress => "host or host:port, no wildcard".into(),
            OptionKind::AddressList => "up to 256 of host:port, separated by commas".into(),
            OptionKind::CidrList => "up to 256 of address/length, separated by commas".into(),
            OptionKind::ClusterSecret => {
                "43 to 1024 printable characters, or two such texts separated by a comma".into()
            }
            OptionKind::Token => "1 to 4096 printable characters".into(),
            OptionKind::Services => "up to 64 of name=:port or name=host:port, separated by commas".into(),
            OptionKind::Labels => "up to 64 of name=value, separated by commas".into(),
            OptionKind::Bool => "true or false".into(),
            OptionKind::Integer { min, max } => format!("{min} to {max}"),
            OptionKind::Duration { min, max } => {
                format!("{} to {}", format_duration(*min), format_duration(*max))
            }
            OptionKind::Choice(words) => words.join(", "),
        }
    }

    /// What a value has to be; completes "is not ...".
    pub(super) fn expected(&self) -> String {
        let bounds = self.bounds();
        match self {
            OptionKind::Integer { .. } => format!("a whole number from {bounds}"),
            OptionKind::Duration { .. } => format!(
                "a duration from {bounds}; write it like \"5s\", \"500ms\", \"1m30s\" or as a number of \
                 milliseconds"
            ),
            OptionKind::Choice(_) => format!("one of {bounds}"),
            _ => bounds,
        }
    }
}

/// The value that applies when an option is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionDefault {
    /// There is no default: a node cannot start without it.
    Required,
    /// No value: the feature is off.
    None,
    /// This value, in the form that [`Options::set`] reads.
    Value(&'static str),
    /// Derived from other options, from the cluster or from the machine, as this text says.
    Derived(&'static str),
}

impl OptionDefault {
    /// The default as documentation prints it.
    pub fn text(&self) -> &'static str {
        match self {
            OptionDefault::Required => "required",
            OptionDefault::None => "none",
            OptionDefault::Value(text) | OptionDefault::Derived(text) => text,
        }
    }
}

/// The accessors of the option's field.
#[derive(Debug)]
pub(super) struct OptionAccess {
    pub(super) set: fn(&mut Options, &OptionKind, &str) -> ParseResult<()>,
    pub(super) get: fn(&Options) -> String,
    pub(super) set_entry: fn(&mut Options, &OptionKind, &str, &str) -> ParseResult<()>,
    pub(super) entry: fn(&Options, &str) -> String,
}

impl OptionSpec {
    /// The error for a value of this option, or of an entry of it, that is not right. It does not show a secret.
    pub(super) fn invalid(&self, name: &str, value: &str, problem: &str) -> Error {
        if self.is_secret() {
            return super::invalid_secret(name, problem);
        }
        super::invalid(name, value, problem)
    }

    /// True for an option whose value is never shown: not by [`Options::get`], in an error, a log or on a command line.
    pub fn is_secret(&self) -> bool {
        self.kind.is_secret()
    }

    /// True when the option's entries are options too: `services.kv`, `labels.rack`.
    pub fn has_entries(&self) -> bool {
        matches!(self.kind, OptionKind::Services | OptionKind::Labels)
    }
}
