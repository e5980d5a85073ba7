//! Conversion between text and the value of a field, within the bounds of the option's kind.

use std::collections::BTreeMap;
use std::time::Duration;

use super::address;
use super::cidr::Cidr;
use super::duration::{format_duration, parse_duration};
use super::spec::OptionKind;
use super::{LogLevel, TimingProfile};

/// A value, or a text that says what is wrong with it: the text completes a sentence that begins with the value.
pub(crate) type ParseResult<T> = Result<T, String>;

const MAX_LIST_ITEMS: usize = 256;
const MAX_MAP_ENTRIES: usize = 64;

/// A type that an option's field can have.
pub(crate) trait OptionValue: Sized {
    /// Parses the text form, within the bounds of `kind`.
    fn parse(kind: &OptionKind, text: &str) -> ParseResult<Self>;

    /// The text form that [`OptionValue::parse`] reads; empty for "not set".
    fn format(&self) -> String;

    /// The value of one entry of a map; empty when it is not set.
    fn entry(&self, _key: &str) -> String {
        String::new()
    }

    /// Sets one entry of a map. Other types have no entries.
    fn set_entry(&mut self, _kind: &OptionKind, _key: &str, _text: &str) -> ParseResult<()> {
        Err("belongs to an option that has no entries".into())
    }
}

impl<T: OptionValue> OptionValue for Option<T> {
    fn parse(kind: &OptionKind, text: &str) -> ParseResult<Self> {
        if text.is_empty() {
            Ok(None)
        } else {
            T::parse(kind, text).map(Some)
        }
    }

    fn format(&self) -> String {
        self.as_ref().map(T::format).unwrap_or_default()
    }
}

impl OptionValue for String {
    fn parse(kind: &OptionKind, text: &str) -> ParseResult<Self> {
        match kind {
            // As the last segment of a URL path, "." and ".." have another meaning.
            OptionKind::Identifier if !is_identifier(text, 255) || matches!(text, "." | "..") => {
                Err(not_expected(kind))
            }
            OptionKind::Name
                if text.is_empty()
                    || text.len() > 255
                    || text.contains(char::is_control)
                    || text.trim() != text =>
            {
                Err(not_expected(kind))
            }
            OptionKind::Path => check_path(text).map(|()| text.to_string()),
            OptionKind::ListenAddress => address::check_listen(text).map(|_| text.to_string()),
            OptionKind::AdvertiseAddress => address::check_advertise(text).map(|_| text.to_string()),
            _ => Ok(text.to_string()),
        }
    }

    fn format(&self) -> String {
        self.clone()
    }
}

impl OptionValue for bool {
    fn parse(kind: &OptionKind, text: &str) -> ParseResult<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(not_expected(kind)),
        }
    }

    fn format(&self) -> String {
        self.to_string()
    }
}

impl OptionValue for u32 {
    fn parse(kind: &OptionKind, text: &str) -> ParseResult<Self> {
        let (min, max) = match kind {
            OptionKind::Integer { min, max } => (*min, *max),
            _ => (0, u32::MAX),
        };
        text.trim()
            .parse()
            .ok()
            .filter(|n| (min..=max).contains(n))
            .ok_or_else(|| not_expected(kind))
    }

    fn format(&self) -> String {
        self.to_string()
    }
}

impl OptionValue for Duration {
    fn parse(kind: &OptionKind, text: &str) -> ParseResult<Self> {
        let duration = parse_duration(text).ok_or_else(|| not_expected(kind))?;
        match kind {
            OptionKind::Duration { min, max } if !(*min..=*max).contains(&duration) => {
                Err(not_expected(kind))
            }
            _ => Ok(duration),
        }
    }

    fn format(&self) -> String {
        format_duration(*self)
    }
}

impl OptionValue for TimingProfile {
    fn parse(kind: &OptionKind, text: &str) -> ParseResult<Self> {
        Self::ALL
            .iter()
            .find(|profile| profile.name().eq_ignore_ascii_case(text.trim()))
            .copied()
            .ok_or_else(|| not_expected(kind))
    }

    fn format(&self) -> String {
        self.name().to_string()
    }
}

impl OptionValue for LogLevel {
    fn parse(kind: &OptionKind, text: &str) -> ParseResult<Self> {
        Self::ALL
            .iter()
            .find(|level| level.name().eq_ignore_ascii_case(text.trim()))
            .copied()
            .ok_or_else(|| not_expected(kind))
    }

    fn format(&self) -> String {
        self.name().to_string()
    }
}

impl OptionValue for Vec<String> {
    fn parse(kind: &OptionKind, text: &str) -> ParseResult<Self> {
        let items: Vec<String> = list_items(text).map(str::to_string).collect();
        if matches!(kind, OptionKind::CidrList) {
            return check_cidrs(text, items);
        }
        if items.is_empty() && !text.is_empty() {
            // The user meant to name other nodes. A node without any could bootstrap a cluster of its own.
            return Err("names no address; leave it empty to name none".into());
        }
        if items.len() > MAX_LIST_ITEMS {
            return Err(format!(
                "has {} addresses; at most {MAX_LIST_ITEMS} are accepted",
                items.len()
            ));
        }
        for item in &items {
            address::check_dial(item).map_err(|problem| in_part(item, &problem, items.len() > 1))?;
        }
        Ok(items)
    }

    fn format(&self) -> String {
        self.join(",")
    }
}

impl OptionValue for BTreeMap<String, String> {
    fn parse(kind: &OptionKind, text: &str) -> ParseResult<Self> {
        let mut map = BTreeMap::new();
        for item in list_items(text) {
            let Some((key, value)) = item.split_once('=') else {
                return Err(in_part(
                    item,
                    "has no \"=\"; write \"name=value\", separated by commas",
                    true,
                ));
            };
            if map.contains_key(key) {
                return Err(in_part(item, "names an entry that was given before", true));
            }
            map.set_entry(kind, key, value)
                .map_err(|problem| in_part(item, &problem, true))?;
        }
        Ok(map)
    }

    fn format(&self) -> String {
        self.iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(",")
    }

    fn entry(&self, key: &str) -> String {
        self.get(key).cloned().unwrap_or_default()
    }

    fn set_entry(&mut self, kind: &OptionKind, key: &str, text: &str) -> ParseResult<()> {
        // Labels may have names as in Kubernetes: topology.kubernetes.io/zone.
        let labels = matches!(kind, OptionKind::Labels);
        let plain = if labels {
            key.replace('/', ".")
        } else {
            key.to_string()
        };
        if !is_identifier(&plain, 63) || key.contains(':') {
            return Err(format!(
                "has the name {key:?}; a name is 1 to 63 of A-Z a-z 0-9 . _ -"
            ));
        }
        if !labels {
            address::check_service(text)?;
        } else if text.len() > 255
            || text.contains(|c: char| c == ',' || c.is_control())
            || text.trim() != text
        {
            return Err(
                "is no label value: at most 255 bytes without commas, controls and outer spaces".into(),
            );
        }
        if self.len() >= MAX_MAP_ENTRIES && !self.contains_key(key) {
            return Err(format!(
                "is one entry too many; at most {MAX_MAP_ENTRIES} are accepted"
            ));
        }
        self.insert(key.to_string(), text.to_string());
        Ok(())
    }
}

fn check_cidrs(text: &str, items: Vec<String>) -> ParseResult<Vec<String>> {
    if items.is_empty() && !text.is_empty() {
        return Err("names no network; leave it empty to allow every address".into());
    }
    if items.len() > MAX_LIST_ITEMS {
        return Err(format!(
            "has {} networks; at most {MAX_LIST_ITEMS} are accepted",
            items.len()
        ));
    }
    for item in &items {
        if item.parse::<Cidr>().is_err() {
            let problem = "is no network; write an address and a length, such as 10.0.0.0/8";
            return Err(in_part(item, problem, items.len() > 1));
        }
    }
    Ok(items)
}

/// Refuses paths that are probably a mistake: the directory of that name would be empty, and the node could bootstrap a
/// cluster of its own in it.
fn check_path(text: &str) -> ParseResult<()> {
    let problem = if text.contains(char::is_control) {
        "has a control character in it, such as the end of a line; write only the path"
    } else if text.trim() != text {
        "begins or ends with a blank; write only the path"
    } else if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
        "has quotes around it, which would be a part of the name; write only the path"
    } else if text.starts_with('~') {
        "begins with ~, which only a shell replaces; write the whole path"
    } else {
        return Ok(());
    };
    Err(problem.into())
}

/// The parts of a comma-separated text; a trailing comma adds none.
fn list_items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn in_part(item: &str, problem: &str, name_it: bool) -> String {
    if name_it {
        format!("is not right: {item:?} {problem}")
    } else {
        problem.to_string()
    }
}

fn not_expected(kind: &OptionKind) -> String {
    format!("is not {}", kind.expected())
}

/// True for 1 to `max` of `A-Z a-z 0-9 . _ : -`.
pub(crate) fn is_identifier(text: &str, max: usize) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    (1..=max).contains(&text.len()) && text.bytes().all(allowed)
}
