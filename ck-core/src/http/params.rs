//! Query parameters and keys in paths: decoded strictly and bounded; an error message names the bounds.

use std::convert::Infallible;
use std::fmt::Display;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::error_response::ErrorResponse;
use crate::options::{format_duration, parse_duration};

/// A request's query. Parameters that a route does not know are ignored.
#[derive(Debug, Default)]
pub(super) struct Query {
    raw: String,
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Query::of(&parts.uri))
    }
}

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        Query {
            raw: uri.query().unwrap_or_default().to_owned(),
        }
    }

    /// The parameter's value; an error when it is repeated or is not percent-encoded UTF-8.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, ErrorResponse> {
        let mut found = None;
        for pair in self.raw.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A name that cannot be decoded is an unknown parameter.
            if decode(&key.replace('+', " ")).as_deref() != Some(name) {
                continue;
            }
            if found.is_some() {
                return Err(ErrorResponse::invalid(format!("parameter {name} is there twice")));
            }
            let value = decode(&value.replace('+', " ")).ok_or_else(|| {
                let shown = truncate(value);
                ErrorResponse::invalid(format!(
                    "parameter {name} is {shown:?}; it has to be percent-encoded UTF-8"
                ))
            })?;
            found = Some(value);
        }
        Ok(found)
    }

    /// A whole number from `min` to `max`.
    pub(super) fn number(&self, name: &str, min: u64, max: u64) -> Result<Option<u64>, ErrorResponse> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && (min..=max).contains(&number) => Ok(Some(number)),
            _ => Err(invalid_parameter(
                name,
                &text,
                format_args!("a whole number from {min} to {max}"),
            )),
        }
    }

    /// A whole number from `min` to `max` as a size; `default` when the parameter is missing.
    pub(super) fn size(&self, name: &str, min: u32, max: u32, default: u32) -> Result<usize, ErrorResponse> {
        let number = self.number(name, min.into(), max.into())?;
        Ok(number.map_or(default as usize, |number| {
            usize::try_from(number).unwrap_or(usize::MAX)
        }))
    }

    /// A duration up to `max`: `5s`, `500ms`, or milliseconds as a number.
    pub(super) fn duration(&self, name: &str, max: Duration) -> Result<Option<Duration>, ErrorResponse> {
        self.duration_from(name, Duration::ZERO, max)
    }

    /// A duration from `min` to `max`.
    pub(super) fn duration_from(
        &self,
        name: &str,
        min: Duration,
        max: Duration,
    ) -> Result<Option<Duration>, ErrorResponse> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        match parse_duration(&text) {
            Some(duration) if (min..=max).contains(&duration) => Ok(Some(duration)),
            _ => {
                let least = match min {
                    Duration::ZERO => "0".to_owned(),
                    min => format_duration(min),
                };
                let most = format_duration(max);
                let right = format!("a duration from {least} to {most}, such as \"5s\" or \"500ms\"");
                Err(invalid_parameter(name, &text, right))
            }
        }
    }

    /// `1` or `true`, `0` or `false`. A name without a value is true, a missing parameter false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ErrorResponse> {
        match self.text(name)?.as_deref() {
            None | Some("0" | "false") => Ok(false),
            Some("" | "1" | "true") => Ok(true),
            Some(other) => Err(invalid_parameter(name, other, "1, true, 0 or false")),
        }
    }
}

/// The error for a bad value: names the parameter, the value and what would be right.
pub(super) fn invalid_parameter(name: &str, value: &str, right: impl Display) -> ErrorResponse {
    ErrorResponse::invalid(format!(
        "parameter {name} is {:?}; it has to be {right}",
        truncate(value)
    ))
}

/// The part of the path after `prefix`, percent-decoded. It may contain slashes.
pub(super) fn path_tail(uri: &Uri, prefix: &str) -> Result<String, ErrorResponse> {
    let raw = uri.path().strip_prefix(prefix).unwrap_or_default();
    decode(raw).ok_or_else(|| {
        ErrorResponse::invalid(format!(
            "{:?} in the path has to be percent-encoded UTF-8",
            truncate(raw)
        ))
    })
}

/// Decodes strictly: `None` for a `%` without two hexadecimal digits, and for bytes that are not UTF-8. A lenient
/// decoder would silently answer for another key.
fn decode(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let hex = after.as_bytes().get(..2)?;
        if !hex.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        rest = after.get(2..)?;
    }
    percent_decode_str(text)
        .decode_utf8()
        .ok()
        .map(|text| text.into_owned())
}

fn truncate(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(raw: &str) -> Query {
        Query { raw: raw.to_owned() }
    }

    #[test]
    fn text_is_decoded_strictly() {
        assert_eq!(
            query("key=a%2Fb+c").text("key").unwrap().as_deref(),
            Some("a/b c")
        );
        assert_eq!(
            query("k%65y=%C3%A9").text("key").unwrap().as_deref(),
            Some("\u{e9}")
        );
        assert_eq!(query("key").text("key").unwrap().as_deref(), Some(""));
        assert_eq!(query("&&other=1").text("key").unwrap(), None);
        for bad in [
            "key=%FF",
            "key=%4",
            "key=%",
            "key=%zz",
            "key=%\u{e9}",
            "key=1&key=2",
        ] {
            assert!(query(bad).text("key").is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_keep_to_their_bounds() {
        assert_eq!(query("n=7").number("n", 1, 10).unwrap(), Some(7));
        assert_eq!(query("").number("n", 1, 10).unwrap(), None);
        for bad in [
            "n=",
            "n=0",
            "n=11",
            "n=-1",
            "n=%2B5",
            "n=1.5",
            "n=0x5",
            "n=99999999999999999999999",
            "n=5&n=5",
        ] {
            assert!(query(bad).number("n", 1, 10).is_err(), "{bad}");
        }
    }

    #[test]
    fn flags_and_durations() {
        assert!(query("dry_run").flag("dry_run").unwrap());
        assert!(!query("dry_run=0").flag("dry_run").unwrap());
        assert!(query("dry_run=yes").flag("dry_run").is_err());
        let max = Duration::from_secs(60);
        assert_eq!(
            query("t=250").duration("t", max).unwrap(),
            Some(Duration::from_millis(250))
        );
        assert_eq!(query("t=1m").duration("t", max).unwrap(), Some(max));
        assert!(query("t=61s").duration("t", max).is_err());
        assert!(query("t=-1s").duration("t", max).is_err());
    }
}
