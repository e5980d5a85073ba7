//! Options from JSON: ClusterKit's own names, nested or dotted, and the form of go-cluster's files.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::spec::OptionKind;
use super::strict_json::StrictJson;
use super::{OptionTarget, Options, table};
use crate::error::{Error, ErrorCode, Result};

/// The maximum size of an options file, in bytes, which no real file comes near.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl Options {
    /// The defaults, overridden by a JSON object; see [`Options::merge_json`].
    ///
    /// # Errors
    /// As [`Options::merge_json`].
    pub fn from_json(text: &str) -> Result<Self> {
        let mut options = Options::default();
        options.merge_json(text)?;
        Ok(options)
    }

    /// The defaults, overridden by a JSON file of at most 1 MiB.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] when the file cannot be read, else as [`Options::merge_json`]; the message names the
    /// file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let mut options = Options::default();
        options.merge_file(path)?;
        Ok(options)
    }

    /// Sets the options that a JSON file of at most 1 MiB names, and leaves the rest. Returns the names of the options
    /// that it set. On an error nothing changes.
    ///
    /// # Errors
    /// As [`Options::from_file`].
    pub fn merge_file(&mut self, path: impl AsRef<Path>) -> Result<Vec<String>> {
        let path = path.as_ref();
        let what = format!("options file {}", path.display());
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| Error::io(&what, &error))?;
        file.take(MAX_FILE_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(|error| Error::io(&what, &error))?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(Error::new(
                ErrorCode::InvalidOption,
                format!("{what}: is longer than {MAX_FILE_BYTES} bytes"),
            ));
        }
        self.merge_named(&text).map_err(|error| error.context(what))
    }

    /// Sets the options that a JSON object names, and leaves the rest. Names are those of [`table()`], with groups as
    /// objects or with dots, or go-cluster's (`clusterId`, `election.leaseTtlMs`). `null` leaves an option as it is. An
    /// object for `services` or `labels` replaces all entries. A byte order mark is skipped. On an error nothing
    /// changes.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidOption`]: not a JSON object, a key that comes twice, an unknown name, a wrong type, a value
    /// out of bounds, an option given twice, or a go-cluster option that has no counterpart.
    pub fn merge_json(&mut self, text: &str) -> Result<()> {
        self.merge_named(text).map(drop)
    }

    /// As [`Options::merge_json`], and returns the names of the options that were set.
    fn merge_named(&mut self, text: &str) -> Result<Vec<String>> {
        let object = json_object(text)?;
        let mut merge = JsonMerge {
            options: self.clone(),
            given: BTreeMap::new(),
        };
        for (name, value) in &object {
            merge.member(name, value)?;
        }
        *self = merge.options;
        Ok(merge.given.into_keys().collect())
    }
}

/// The members of a JSON object of options, none of which comes twice.
///
/// # Errors
/// [`ErrorCode::InvalidOption`] for any other text.
pub(crate) fn json_object(text: &str) -> Result<Map<String, Value>> {
    let invalid_json = |message: String| Error::new(ErrorCode::InvalidOption, message);
    // Some editors on Windows write a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let StrictJson(value) = serde_json::from_str(text)
        .map_err(|error| invalid_json(format!("options are not valid JSON: {error}")))?;
    match value {
        Value::Object(object) => Ok(object),
        value => Err(invalid_json(format!(
            "options are a JSON object, and this is {}",
            type_of(&value)
        ))),
    }
}

/// A merge in progress.
struct JsonMerge {
    options: Options,
    /// The options that were set, by canonical name, each with the name that the document used.
    given: BTreeMap<String, String>,
}

impl JsonMerge {
    fn member(&mut self, path: &str, value: &Value) -> Result<()> {
        refuse_without_counterpart(path)?;
        if let Value::Object(members) = value
            && is_group(path)
        {
            return members
                .iter()
                .try_for_each(|(name, value)| self.member(&format!("{path}.{name}"), value));
        }
        let target = OptionTarget::find(path)?;
        if value.is_null() {
            return Ok(());
        }
        if let Some(before) = self.given.insert(target.name(), path.to_string()) {
            let message = format!(
                "option {} is given twice, as {before:?} and as {path:?}",
                target.name()
            );
            return Err(Error::new(ErrorCode::InvalidOption, message));
        }
        let name = target.name();
        match (target, value) {
            (OptionTarget::Whole(spec), Value::Object(entries)) if spec.has_entries() => {
                self.options.set(&name, "")?;
                entries.iter().try_for_each(|(key, value)| {
                    let entry = format!("{name}.{key}");
                    let Value::String(text) = value else {
                        return Err(wrong_type(&entry, "a string", value));
                    };
                    self.options.set(&entry, text)
                })
            }
            (OptionTarget::Entry(..), Value::String(text)) => self.options.set(&name, text),
            (OptionTarget::Entry(..), _) => Err(wrong_type(&name, "a string", value)),
            (OptionTarget::Whole(spec), _) => self.options.set(&name, &text_of(&name, &spec.kind, value)?),
        }
    }
}

/// The text form of a JSON value that has the option's type.
pub(crate) fn text_of(name: &str, kind: &OptionKind, value: &Value) -> Result<String> {
    let wanted = match (kind, value) {
        (OptionKind::Bool, Value::Bool(flag)) => return Ok(flag.to_string()),
        (OptionKind::Bool, _) => "true or false",
        (OptionKind::Integer { .. } | OptionKind::Duration { .. }, Value::Number(number)) => {
            return Ok(number.to_string());
        }
        (OptionKind::Integer { .. }, _) => "a number",
        (OptionKind::Duration { .. }, Value::String(text)) => return Ok(text.clone()),
        (OptionKind::Duration { .. }, _) => "a string such as \"5s\" or a number of milliseconds",
        (OptionKind::AddressList | OptionKind::CidrList, Value::String(text)) => return Ok(text.clone()),
        (OptionKind::AddressList | OptionKind::CidrList, Value::Array(items)) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            match texts {
                // The user meant to name other nodes: it must not look like a list that was left empty.
                Some(texts) if !texts.is_empty() && texts.iter().all(|text| text.trim().is_empty()) => {
                    match kind {
                        OptionKind::CidrList => "an array of networks, each \"address/length\",",
                        _ => "an array of addresses, each \"host:port\",",
                    }
                }
                Some(texts) => return Ok(texts.join(",")),
                None => "an array of strings",
            }
        }
        (OptionKind::AddressList | OptionKind::CidrList, _) => "a string or an array of strings",
        (OptionKind::Services | OptionKind::Labels, _) => "an object of strings",
        (_, Value::String(text)) => return Ok(text.clone()),
        _ => "a string",
    };
    Err(wrong_type(name, wanted, value))
}

fn wrong_type(name: &str, wanted: &str, value: &Value) -> Error {
    let message = format!("option {name}: wants {wanted}, and this is {}", type_of(value));
    Error::new(ErrorCode::InvalidOption, message)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// True when options exist below this name: `health_check`, `timing`, go-cluster's `election`.
fn is_group(path: &str) -> bool {
    let below = |name: &str| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    table()
        .iter()
        .any(|spec| below(spec.name) || spec.aliases.iter().any(|alias| below(alias)))
}

/// Refuses the sections of go-cluster's files that have no counterpart, and says what takes their place.
fn refuse_without_counterpart(path: &str) -> Result<()> {
    let advice = match path.split('.').next() {
        Some("nats") => {
            "ClusterKit needs no NATS server: nodes talk to each other. Remove this section, set http_addr, and name \
             other members in join_addrs"
        }
        Some("vip") => {
            "ClusterKit moves no virtual IP address. Remove this section; take the address in a hook for becoming \
             leader and give it back in the one for losing leadership, or let clients find the leader at GET \
             /consensus/leader"
        }
        _ => return Ok(()),
    };
    let message = format!("go-cluster's option {path:?} has no counterpart: {advice}");
    Err(Error::new(ErrorCode::InvalidOption, message))
}
