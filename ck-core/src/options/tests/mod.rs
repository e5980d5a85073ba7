//! Tests of the options: each option by itself, the sources, the rules between options, the documentation.

mod each_option;
mod env;
mod json;
mod rules;

use super::*;

/// The options of a node that could start.
fn valid() -> Options {
    Options::new("node-1", ":8080")
}

/// The message of an expected error, which must be about an option.
#[track_caller]
fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidOption, "{error}");
    error.message().to_string()
}

#[test]
fn docs_options_md_is_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/options.md");
    let wanted = options_markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).unwrap();
        std::fs::write(path, &wanted).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == wanted,
        "docs/options.md differs from the table; run: UPDATE_DOCS=1 cargo test -p clusterkit options"
    );
}

#[test]
fn the_document_names_every_option_and_variable() {
    let text = options_markdown();
    for spec in table() {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", spec.name)))
            .unwrap();
        for word in spec.env.iter().chain(spec.aliases) {
            assert!(row.contains(&format!("`{word}`")), "{row}");
        }
        assert_eq!(row.matches(" | ").count(), 5, "a cell breaks the table: {row}");
    }
}
