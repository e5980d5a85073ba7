//! The committed header is what cbindgen writes from the sources.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::path::Path;

/// In the order in which a reader wants them.
const NOUNS: [&str; 22] = [
    "version",
    "error",
    "values",
    "options",
    "option_table",
    "cluster",
    "done",
    "lookup",
    "node",
    "view",
    "view_partitions",
    "view_keys",
    "leadership",
    "status",
    "manage",
    "rebalance",
    "data",
    "event",
    "payload",
    "hook",
    "events",
    "log",
];

/// What cbindgen cannot say: widths of constants, visibility, what a caller must not ignore, and the language of callbacks.
fn finished(generated: &str) -> String {
    const BEGIN: &str = "#ifdef __cplusplus\nextern \"C\" {\n#endif // __cplusplus\n\n";
    // Types of functions have a language as functions do, so all of it is C.
    let types_first = generated.find("\ntypedef ").unwrap();
    let first = generated[..types_first].rfind("\n\n").unwrap() + 2;
    let (constants, rest) = generated.split_at(first);
    assert_eq!(rest.matches(BEGIN).count(), 1);
    let rest = rest.replace(BEGIN, "");
    let mut finished = String::new();
    for line in constants.lines() {
        // Shifted, a plain 1 would be an int.
        finished.push_str(&line.replace("(1 << ", "(UINT32_C(1) << "));
        finished.push('\n');
    }
    let finished = finished.replace("CK_EXPECT_ABSENT 0\n", "CK_EXPECT_ABSENT UINT64_C(0)\n");
    let mut finished = finished + BEGIN;
    let mut lines = rest.lines().peekable();
    while let Some(line) = lines.next() {
        // A function begins at the margin with what it returns, and has its name in that line.
        let is_function = line.contains("ck_")
            && line.contains('(')
            && !line.starts_with([' ', '/', '#', '}'])
            && !line.starts_with("typedef");
        if !is_function {
            finished.push_str(line);
            finished.push('\n');
            continue;
        }
        let mut declared = line.to_owned();
        while !declared.ends_with(';') {
            declared.push(' ');
            declared.push_str(lines.next().unwrap().trim());
        }
        let prefix = if declared.starts_with("struct ck_error_t *ck_") {
            "CK_API CK_NODISCARD "
        } else {
            "CK_API "
        };
        finished.push_str(&wrapped(&format!("{prefix}{declared}")));
    }
    finished
}

/// A declaration in lines of at most this many characters.
const LINE_LENGTH: usize = 120;

fn wrapped(declaration: &str) -> String {
    let mut lines = vec![String::new()];
    for word in declaration.split_inclusive(", ") {
        let line = lines.last_mut().unwrap();
        if line.len() + word.trim_end().len() > LINE_LENGTH {
            lines.push(format!("        {word}"));
        } else {
            line.push_str(word);
        }
    }
    lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

#[test]
fn the_committed_header_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for noun in NOUNS {
        builder = builder.with_src(root.join(format!("src/{noun}.rs")));
    }
    let mut generated = Vec::new();
    builder.generate().unwrap().write(&mut generated);
    let generated = finished(&String::from_utf8(generated).unwrap());

    // What is written out in Rust and missing from the list above would be missing from the header.
    for file in std::fs::read_dir(root.join("src")).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let source = std::fs::read_to_string(path).unwrap();
        for (_, name) in source
            .match_indices("extern \"C\" fn ck_")
            .map(|(at, found)| (at, &source[at + found.len() - 3..]))
        {
            let name: String = name
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            assert!(
                generated.contains(&format!("{name}(")),
                "{name} is not in the header"
            );
        }
    }

    let path = root.join("../include/clusterkit.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(
        committed == generated,
        "include/clusterkit.h is out of date: run UPDATE_HEADER=1 cargo test -p ck-ffi --test header"
    );
}
