//! `If-Match` and `If-None-Match`, where the entity tag is a revision.

use axum::http::{HeaderMap, HeaderName, header};

use super::error_response::ErrorResponse;
use super::response::ETag;
use crate::state::Expect;

/// True when `If-None-Match` says that the client has the version tagged `current` already. The comparison is weak, as
/// for every GET; a tag that cannot be read matches nothing, so that the client then gets the whole answer.
pub(super) fn matches_if_none_match(headers: &HeaderMap, current: &ETag) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            let quoted = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            tag == "*" || quoted == Some(current.as_str())
        })
}

/// The precondition of a write: none, `If-Match: "42"`, or `If-None-Match: *`; nothing else and not both.
pub(super) fn write_precondition(headers: &HeaderMap) -> Result<Expect, ErrorResponse> {
    let if_match = single_value(headers, &header::IF_MATCH)?;
    let if_none_match = single_value(headers, &header::IF_NONE_MATCH)?;
    match (if_match, if_none_match) {
        (None, None) => Ok(Expect::Any),
        (Some(_), Some(_)) => Err(ErrorResponse::invalid(
            "If-Match and If-None-Match exclude each other; send one",
        )),
        (None, Some("*")) => Ok(Expect::Absent),
        (None, Some(other)) => Err(ErrorResponse::invalid(format!(
            "If-None-Match is {other:?}; a write takes only \"*\""
        ))),
        (Some(tag), None) => revision(tag).map(Expect::Revision).ok_or_else(|| {
            ErrorResponse::invalid(format!(
                "If-Match is {tag:?}; it has to be one revision as in the ETag, such as \"42\" in quotes"
            ))
        }),
    }
}

/// The revision in a strong tag, with or without its quotes. `None` for a weak tag, which identifies no exact value.
fn revision(tag: &str) -> Option<u64> {
    let digits = tag
        .strip_prefix('"')
        .map_or(Some(tag), |rest| rest.strip_suffix('"'))?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

fn single_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ErrorResponse> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ErrorResponse::invalid(format!("header {name} was sent twice")));
    }
    first
        .map(|value| {
            value
                .to_str()
                .map(str::trim)
                .map_err(|_| ErrorResponse::invalid(format!("header {name} is not text")))
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn if_none_match_takes_lists_weak_tags_and_the_star() {
        for (value, expected) in [
            ("\"42\"", true),
            ("W/\"42\"", true),
            ("\"41\", W/\"42\"", true),
            ("*", true),
            ("\"41\"", false),
            ("\"420\"", false),
            ("\"42-data\"", false),
            ("\"42-stale\"", false),
            ("42", false),
            ("\"42", false),
            ("", false),
            ("\"abc\",,", false),
        ] {
            let map = headers(&[(header::IF_NONE_MATCH, value)]);
            assert_eq!(matches_if_none_match(&map, &ETag::of(42)), expected, "{value}");
        }
        let two_lines = headers(&[
            (header::IF_NONE_MATCH, "\"1\""),
            (header::IF_NONE_MATCH, "\"42\""),
        ]);
        assert!(matches_if_none_match(&two_lines, &ETag::of(42)));
        assert!(!matches_if_none_match(&HeaderMap::new(), &ETag::of(42)));
    }

    #[test]
    fn a_write_expects_one_revision_or_absence() {
        let ok = |pairs: &[(HeaderName, &str)]| write_precondition(&headers(pairs)).unwrap();
        assert_eq!(ok(&[]), Expect::Any);
        assert_eq!(ok(&[(header::IF_MATCH, "\"42\"")]), Expect::Revision(42));
        assert_eq!(ok(&[(header::IF_MATCH, "42")]), Expect::Revision(42));
        assert_eq!(ok(&[(header::IF_NONE_MATCH, "*")]), Expect::Absent);
        for bad in [
            [(header::IF_MATCH, "*")].as_slice(),
            &[(header::IF_MATCH, "W/\"42\"")],
            &[(header::IF_MATCH, "\"42\", \"43\"")],
            &[(header::IF_MATCH, "\"42")],
            &[(header::IF_MATCH, "")],
            &[(header::IF_MATCH, "+42")],
            &[(header::IF_MATCH, "99999999999999999999")],
            &[(header::IF_NONE_MATCH, "\"42\"")],
            &[(header::IF_MATCH, "42"), (header::IF_NONE_MATCH, "*")],
            &[(header::IF_MATCH, "42"), (header::IF_MATCH, "43")],
        ] {
            assert!(write_precondition(&headers(bad)).is_err(), "{bad:?}");
        }
    }
}
