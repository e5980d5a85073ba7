//! The committed clusterkit.hpp is its parts in bindings/cpp, put together, and names everything that clusterkit.h offers.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// In the order in which a reader wants them, and a compiler needs them.
const PARTS: [&str; 18] = [
    "prelude",
    "error",
    "result",
    "detail",
    "values",
    "names",
    "options",
    "node",
    "view",
    "records",
    "event",
    "queue",
    "async",
    "hooks",
    "cluster_ref",
    "cluster",
    "client",
    "testing",
];

/// What C++ has no need of: a name goes with its code, and a callback has the type that it is passed as.
const NOT_NEEDED: [&str; 8] = [
    "CK_API",
    "CK_NODISCARD",
    "ck_change_fn",
    "ck_error_name",
    "ck_log_fn",
    "ck_testing_condition_fn",
    "ck_testing_configure_fn",
    "ck_testing_prepare_fn",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A part without what only a part needs: what it stands on, and that it is included once.
fn body(part: &str) -> String {
    let path = root().join(format!("bindings/cpp/{part}.hpp"));
    let source = std::fs::read_to_string(&path).unwrap();
    let (_, body) = source.split_once("#pragma once\n").unwrap();
    let own = |line: &&str| !line.starts_with("#include \"") || line.contains("clusterkit.h");
    let lines: Vec<&str> = body.lines().filter(own).collect();
    lines.join("\n").trim().to_owned()
}

fn generated() -> String {
    let parts: Vec<String> = PARTS.iter().map(|part| body(part)).collect();
    let joined = parts
        .join("\n\n")
        .replace("} // namespace clusterkit\n\nnamespace clusterkit {\n\n", "");
    let (title, rest) = joined.split_once('\n').unwrap();
    let (comment, code) = rest.split_once("#include \"clusterkit.h\"").unwrap();
    format!(
        "{title}\n//\n// Generated from bindings/cpp by ck-ffi/tests/cpp_header.rs; do not edit.\n{comment}\
         #ifndef CLUSTERKIT_HPP\n#define CLUSTERKIT_HPP\n\n#include \"clusterkit.h\"{code}\n\n\
         #undef CLUSTERKIT_VISIBLE\n\n#endif // CLUSTERKIT_HPP\n"
    )
}

#[test]
fn the_committed_header_is_its_parts() {
    // A part that is in no list would be in no header.
    for file in std::fs::read_dir(root().join("bindings/cpp")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            path.extension().is_none_or(|extension| extension != "hpp") || PARTS.contains(&name),
            "{} is no part of the header",
            path.display()
        );
    }
    let path = root().join("include/clusterkit.hpp");
    let generated = generated();
    if std::env::var_os("UPDATE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(
        committed == generated,
        "include/clusterkit.hpp is out of date: run UPDATE_HEADER=1 cargo test -p ck-ffi --test cpp_header"
    );
}

/// The words of a text that begin with one of C's prefixes.
fn names(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let of_c = |name: &&str| name.starts_with("ck_") || name.starts_with("CK_");
    text.split(|c| !word(c)).filter(of_c).collect()
}

#[test]
fn everything_in_c_can_be_reached() {
    let c = std::fs::read_to_string(root().join("include/clusterkit.h")).unwrap();
    let cpp = generated();
    let code: String = c
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let wanted = |name: &&str| !NOT_NEEDED.contains(name);
    let used = names(&cpp);
    let missing: Vec<&str> = names(&code)
        .into_iter()
        .filter(wanted)
        .filter(|name| !used.contains(name))
        .collect();
    assert!(missing.is_empty(), "not in clusterkit.hpp: {missing:?}");
}
