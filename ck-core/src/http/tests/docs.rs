//! docs/http.md describes every route and every error code, and no others.

use std::collections::BTreeSet;

use crate::error::ErrorCode;
use crate::http::{ROUTES, status_of};

const PAGE: &str = include_str!("../../../../docs/http.md");

/// The texts in backquotes at the beginning of table rows.
fn first_cells() -> Vec<&'static str> {
    PAGE.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect()
}

#[test]
fn every_route_is_documented_and_every_documented_route_exists() {
    let documented: BTreeSet<_> = first_cells()
        .into_iter()
        .filter(|cell| cell.contains(" /"))
        .map(str::to_owned)
        .collect();
    let existing: BTreeSet<_> = ROUTES
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(existing.len(), ROUTES.len(), "a route is there twice");
    assert_eq!(documented, existing);
}

#[test]
fn every_code_is_documented_with_its_status() {
    for code in ErrorCode::ALL {
        let status = status_of(*code);
        let row = format!("| `{code}` | {} |", status.as_u16());
        assert!(PAGE.lines().any(|line| line.starts_with(&row)), "missing: {row}");
    }
}
