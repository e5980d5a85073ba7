//! The options of a client, in one table.

use std::time::Duration;

use crate::error::{Error, ErrorCode, Result};
use crate::options::{
    LogLevel, OptionDefault, OptionKind, OptionValue, REDACTED, Secret, invalid, invalid_secret, json_object,
    text_of,
};

/// The options of a [`Client`](crate::Client).
///
/// Fields are public; [`ClientOptions::set`] reaches the same fields by name. Nothing is checked before
/// [`ClientOptions::validate`], which [`Client::new`](crate::Client::new) calls.
///
/// ```
/// use std::time::Duration;
///
/// use clusterkit::ClientOptions;
///
/// # fn main() -> clusterkit::Result<()> {
/// let options = ClientOptions::builder(["10.0.0.1:8080", "10.0.0.2:8080"])
///     .cluster_name("orders")
///     .request_timeout(Duration::from_secs(2))
///     .build()?;
/// // The same from text.
/// let mut again = ClientOptions::new(["10.0.0.1:8080,10.0.0.2:8080"]);
/// again.set("cluster_name", "orders")?;
/// again.set("request_timeout", "2s")?;
/// assert_eq!(options, again);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientOptions {
    /// Addresses of members, each `host:port`: 1 to 256.
    pub addrs: Vec<String>,
    /// The name that the cluster must have; `None` takes the cluster of the first answer.
    pub cluster_name: Option<String>,
    /// What the client shows to members that ask for a proof; never shown otherwise. `clusterkit token` makes one.
    pub token: Option<Secret>,
    /// Whether the addresses of members are used that the cluster itself names.
    pub member_addrs: bool,
    /// How long a member may hold a poll while nothing changes.
    pub poll_timeout: Duration,
    /// The shortest time between two answers that are asked for while the cluster changes.
    pub update_interval: Duration,
    /// How long a name may take to be looked up, and then a connection to be made.
    pub connect_timeout: Duration,
    /// How long an answer may take, beyond what the member was asked to wait.
    pub request_timeout: Duration,
    /// The first pause after a failure of an address; it doubles with each further one.
    pub retry_min: Duration,
    /// The longest such pause.
    pub retry_max: Duration,
    /// The longest answer that is read, in bytes.
    pub max_response_bytes: u32,
    /// A PEM file with the authority of the members' certificates. With it the client speaks TLS.
    pub tls_ca: Option<String>,
    /// A PEM file with the client's own certificate.
    pub tls_cert: Option<String>,
    /// A PEM file with the private key of `tls_cert`.
    pub tls_key: Option<String>,
    /// Whether TLS is spoken with whoever answers, without any verification.
    pub insecure: bool,
    /// The least severe messages that reach the log callback.
    pub log_level: LogLevel,
}

/// What is known of one option of a client.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClientOptionSpec {
    /// The name, in snake_case.
    pub name: &'static str,
    /// The type and its bounds.
    pub kind: OptionKind,
    /// The value that applies when it is not set.
    pub default: OptionDefault,
    /// Its meaning, in one or two sentences.
    pub help: &'static str,
    set: fn(&mut ClientOptions, &OptionKind, &str) -> Result<(), String>,
    get: fn(&ClientOptions) -> String,
}

impl ClientOptionSpec {
    /// True for an option whose value is never shown: not by [`ClientOptions::get`], in an error or in a log.
    pub fn is_secret(&self) -> bool {
        self.kind.is_secret()
    }

    /// The error for a value of this option.
    fn invalid(&self, value: &str, problem: &str) -> Error {
        match self.is_secret() {
            true => invalid_secret(self.name, problem),
            false => invalid(self.name, value, problem),
        }
    }
}

/// Every option of a client, in the order of the documentation.
pub fn client_options_table() -> &'static [ClientOptionSpec] {
    OPTIONS
}

macro_rules! option {
    ($field:ident, $kind:expr, $default:expr, $help:literal) => {
        ClientOptionSpec {
            name: stringify!($field),
            kind: $kind,
            default: $default,
            help: $help,
            set: |options, kind, text| {
                options.$field = OptionValue::parse(kind, text)?;
                Ok(())
            },
            get: |options| options.$field.format(),
        }
    };
}

const fn millis(min: u64, max: u64) -> OptionKind {
    OptionKind::Duration {
        min: Duration::from_millis(min),
        max: Duration::from_millis(max),
    }
}

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

static OPTIONS: &[ClientOptionSpec] = &[
    option!(
        addrs,
        OptionKind::AddressList,
        OptionDefault::Required,
        "Addresses of members. One that answers is enough, and a DNS name may have several records."
    ),
    option!(
        cluster_name,
        OptionKind::Name,
        OptionDefault::None,
        "The name that the cluster must have. Without it the cluster of the first answer is followed."
    ),
    option!(
        token,
        OptionKind::Token,
        OptionDefault::None,
        "What clusterkit token has made for this client. It is needed where the cluster has a secret, and is never shown."
    ),
    option!(
        member_addrs,
        OptionKind::Bool,
        OptionDefault::Value("true"),
        "Whether the addresses that members advertise are used too. Set it to false where they cannot be dialled from here."
    ),
    option!(
        poll_timeout,
        // The longest that a node holds a poll.
        millis(100, MINUTE_MS),
        OptionDefault::Value("5s"),
        "How long a member may hold a poll while nothing changes. A member that is cut off from the others is noticed after \
         so long."
    ),
    option!(
        update_interval,
        millis(0, MINUTE_MS),
        OptionDefault::Value("100ms"),
        "The shortest time between two answers that are asked for while the cluster keeps changing. The first change after \
         a pause is never delayed."
    ),
    option!(
        connect_timeout,
        millis(10, MINUTE_MS),
        OptionDefault::Value("2s"),
        "How long a name may take to be looked up, and then a connection to be made."
    ),
    option!(
        request_timeout,
        millis(10, MINUTE_MS),
        OptionDefault::Value("5s"),
        "How long an answer may take, beyond what the member was asked to wait; a long answer has a second more for each \
         64 KiB."
    ),
    option!(
        retry_min,
        millis(1, MINUTE_MS),
        OptionDefault::Value("100ms"),
        "The first pause after an address has failed. It doubles with each further failure, and up to half of it is left \
         out at random."
    ),
    option!(
        retry_max,
        millis(1, HOUR_MS),
        OptionDefault::Value("5s"),
        "The longest such pause."
    ),
    option!(
        max_response_bytes,
        OptionKind::Integer {
            min: 64 << 10,
            max: 1 << 30
        },
        OptionDefault::Value("67108864"),
        "The longest answer that is read, in bytes. 65,536 partitions with short node ids take about 10 MB."
    ),
    option!(
        tls_ca,
        OptionKind::Path,
        OptionDefault::None,
        "A PEM file with the authority of the members' certificates. With it the client speaks TLS. A member is known by its \
         certificate for cluster_name, or for the cluster that tls_cert names; without both, by its host. The files are read \
         again when they change."
    ),
    option!(
        tls_cert,
        OptionKind::Path,
        OptionDefault::None,
        "A PEM file with the client's own certificate, where the cluster asks for one."
    ),
    option!(
        tls_key,
        OptionKind::Path,
        OptionDefault::None,
        "A PEM file with the private key of tls_cert."
    ),
    option!(
        insecure,
        OptionKind::Bool,
        OptionDefault::Value("false"),
        "Whether TLS is spoken with whoever answers, without any verification. For tests: whoever is in between reads and \
         changes everything."
    ),
    option!(
        log_level,
        OptionKind::Choice(LogLevel::NAMES),
        OptionDefault::Value("info"),
        "The least severe messages that reach the log callback."
    ),
];

impl Default for ClientOptions {
    /// Every default of [`client_options_table`]. `addrs` is empty, which [`ClientOptions::validate`] refuses.
    fn default() -> Self {
        let mut options = ClientOptions {
            addrs: Vec::new(),
            cluster_name: None,
            token: None,
            member_addrs: true,
            poll_timeout: Duration::ZERO,
            update_interval: Duration::ZERO,
            connect_timeout: Duration::ZERO,
            request_timeout: Duration::ZERO,
            retry_min: Duration::ZERO,
            retry_max: Duration::ZERO,
            max_response_bytes: 0,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            insecure: false,
            log_level: LogLevel::Off,
        };
        for spec in OPTIONS {
            if let OptionDefault::Value(text) = spec.default {
                let applied = (spec.set)(&mut options, &spec.kind, text);
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

impl ClientOptions {
    /// Options with every default, for a client of the cluster with a member at one of these addresses. An address may
    /// also be several, separated by commas.
    pub fn new(addrs: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let split = |addrs: &str| -> Vec<String> {
            let parts = addrs.split(',').map(str::trim);
            parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        ClientOptions {
            addrs: addrs
                .into_iter()
                .flat_map(|addrs| split(addrs.as_ref()))
                .collect(),
            ..ClientOptions::default()
        }
    }

    /// The same, to be changed and checked in one expression.
    pub fn builder(addrs: impl IntoIterator<Item = impl AsRef<str>>) -> ClientOptionsBuilder {
        ClientOptionsBuilder {
            options: ClientOptions::new(addrs),
        }
    }

    /// Sets an option by its name in [`client_options_table`], from its text form. The empty text unsets an option that
    /// may be unset. On an error nothing changes.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`]: the name is unknown, or the value is malformed or out of bounds.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let spec = spec_of(name)?;
        (spec.set)(self, &spec.kind, value).map_err(|problem| spec.invalid(value, &problem))
    }

    /// The value of an option, in the form that [`ClientOptions::set`] reads; empty when it is not set. In the place of a
    /// secret stands `(hidden)`.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] for an unknown name.
    pub fn get(&self, name: &str) -> Result<String> {
        let spec = spec_of(name)?;
        let text = (spec.get)(self);
        Ok(match spec.is_secret() && !text.is_empty() {
            true => REDACTED.to_owned(),
            false => text,
        })
    }

    /// Sets the options that a JSON object names, and leaves the rest. Durations are text or a number of milliseconds,
    /// `addrs` is text or an array; `null` leaves an option as it is. On an error nothing changes.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`]: not a JSON object, a key that comes twice, an unknown name, a wrong type, or a value
    /// out of bounds.
    pub fn merge_json(&mut self, text: &str) -> Result<()> {
        let mut merged = self.clone();
        for (name, value) in &json_object(text)? {
            let spec = spec_of(name)?;
            if !value.is_null() {
                merged.set(name, &text_of(name, &spec.kind, value)?)?;
            }
        }
        *self = merged;
        Ok(())
    }

    /// Checks every option against its bounds, and those that depend on each other.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`] for the first problem: the message names the option, its value and what would be
    /// right.
    pub fn validate(&self) -> Result<()> {
        for spec in OPTIONS {
            let text = (spec.get)(self);
            if text.is_empty() && spec.default == OptionDefault::Required {
                let message = format!("option {} is required: {}", spec.name, spec.kind.bounds());
                return Err(Error::new(ErrorCode::InvalidOption, message));
            }
            // A field that code has set is checked as `set` would: its text form must read back as the same value.
            let mut again = self.clone();
            again.set(spec.name, &text)?;
            if again != *self {
                let problem = format!("reads back as another value; it has to be {}", spec.kind.bounds());
                return Err(spec.invalid(&text, &problem));
            }
        }
        self.check_tls()?;
        if self.retry_min > self.retry_max {
            let message = format!(
                "retry_min ({}) must be at most retry_max ({})",
                self.retry_min.format(),
                self.retry_max.format()
            );
            return Err(Error::new(ErrorCode::InvalidOption, message));
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<()> {
        let contradiction = |message: &str| Err(Error::new(ErrorCode::InvalidOption, message));
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return contradiction("tls_cert is set and tls_key is not; they go together"),
            (None, Some(_)) => return contradiction("tls_key is set and tls_cert is not; they go together"),
            (Some(_), Some(_)) if self.tls_ca.is_none() && !self.insecure => {
                return contradiction(
                    "tls_cert is set and tls_ca is not: nothing would be known of the members",
                );
            }
            _ => {}
        }
        if self.insecure && self.tls_ca.is_some() {
            return contradiction(
                "insecure is true, and there is a tls_ca to verify members with; leave one of them out",
            );
        }
        Ok(())
    }
}

fn spec_of(name: &str) -> Result<&'static ClientOptionSpec> {
    OPTIONS.iter().find(|spec| spec.name == name).ok_or_else(|| {
        let shown: String = name.chars().take(80).collect();
        let known: Vec<&str> = OPTIONS.iter().map(|spec| spec.name).collect();
        Error::new(
            ErrorCode::InvalidOption,
            format!(
                "unknown option {shown:?} of a client; there are: {}",
                known.join(", ")
            ),
        )
    })
}

/// Makes [`ClientOptions`] in one expression, and checks them. What is not set keeps the default of
/// [`client_options_table`].
#[derive(Debug, Clone)]
#[must_use = "options come from `build`"]
pub struct ClientOptionsBuilder {
    options: ClientOptions,
}

/// One method for each option.
macro_rules! setters {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty => $value:expr;)+) => {
        impl ClientOptionsBuilder {
            $($(#[doc = $doc])+
            pub fn $name(mut self, $name: $type) -> Self {
                self.options.$name = $value;
                self
            })+
        }
    };
}

setters! {
    /// The name that the cluster must have.
    cluster_name: impl Into<String> => Some(cluster_name.into());
    /// What the client shows to members that ask for a proof.
    token: impl Into<Secret> => Some(token.into());
    /// Whether the addresses that members advertise are used too.
    member_addrs: bool => member_addrs;
    /// How long a member may hold a poll while nothing changes.
    poll_timeout: Duration => poll_timeout;
    /// The shortest time between two answers that are asked for while the cluster changes.
    update_interval: Duration => update_interval;
    /// How long a name may take to be looked up, and then a connection to be made.
    connect_timeout: Duration => connect_timeout;
    /// How long an answer may take, beyond what the member was asked to wait.
    request_timeout: Duration => request_timeout;
    /// The first pause after a failure of an address.
    retry_min: Duration => retry_min;
    /// The longest such pause.
    retry_max: Duration => retry_max;
    /// The longest answer that is read, in bytes.
    max_response_bytes: u32 => max_response_bytes;
    /// A PEM file with the authority of the members' certificates.
    tls_ca: impl Into<String> => Some(tls_ca.into());
    /// A PEM file with the client's own certificate.
    tls_cert: impl Into<String> => Some(tls_cert.into());
    /// A PEM file with the private key of `tls_cert`.
    tls_key: impl Into<String> => Some(tls_key.into());
    /// Whether TLS is spoken with whoever answers, without any verification.
    insecure: bool => insecure;
    /// The least severe messages that reach the log callback.
    log_level: LogLevel => log_level;
}

impl ClientOptionsBuilder {
    /// The options.
    ///
    /// # Errors
    /// As [`ClientOptions::validate`].
    pub fn build(self) -> Result<ClientOptions> {
        self.options.validate()?;
        Ok(self.options)
    }
}
