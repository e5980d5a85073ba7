//! The committed header is what cbindgen writes from the sources.

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
    let generated = String::from_utf8(generated).unwrap();

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
