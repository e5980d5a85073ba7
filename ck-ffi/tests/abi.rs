//! The promise of docs/abi.md, kept: every function, callback, constant and field of the committed baseline is in the header of
//! today as it was, and the library exports it. What is new is added to the baseline, and stays from then on.
//!
//! Our own words instead of abidiff's: it needs no tool that is missing somewhere, and it knows of constants, which are in no
//! debug information. Layouts are the C compiler's.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]
#![cfg(target_pointer_width = "64")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;

use support::{folder, library, root, succeeded, text};

mod support;

/// Structs that programs have of their own, and so know the size of. `ck_key_route_t` is passed with its size, and may grow.
const OF_THE_CALLER: [&str; 1] = ["ck_bytes_t"];

/// What is said of the library, and not promised for its next version.
const OF_THE_VERSION: [&str; 6] = [
    "CK_API",
    "CK_NODISCARD",
    "CK_VERSION",
    "CK_VERSION_MAJOR",
    "CK_VERSION_MINOR",
    "CK_VERSION_PATCH",
];

/// A header without comments, a declaration a line.
fn declarations(header: &str) -> Vec<String> {
    let mut code = String::new();
    for line in header.lines() {
        let line = line.split("//").next().unwrap().trim();
        if !line.is_empty() && !line.starts_with('#') && !line.starts_with("extern \"C\"") {
            code.push_str(line);
            code.push(' ');
        }
    }
    let mut all = vec![String::new()];
    let mut depth = 0;
    for letter in code.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if letter == ';' && depth == 0 {
            all.push(String::new());
        } else {
            all.last_mut().unwrap().push(letter);
        }
    }
    all.iter().map(|one| one.trim().to_owned()).collect()
}

/// The name of a field, and its type.
fn field(declared: &str) -> (&str, &str) {
    let at = declared
        .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap()
        + 1;
    (&declared[at..], declared[..at].trim())
}

/// What a header promises, a sentence a line, without what only a compiler knows; and a program that prints that.
fn promises(header: &str) -> (BTreeSet<String>, String) {
    let mut said = BTreeSet::new();
    let mut program =
        String::from("#include <clusterkit.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n");
    for line in header.lines() {
        let mut words = line.split_whitespace();
        if let (Some("#define"), Some(name), Some(_)) = (words.next(), words.next(), words.next())
            && name.starts_with("CK_")
            && !OF_THE_VERSION.contains(&name)
        {
            let print = "printf(\"constant %s is %llu, %zu bytes\\n\"";
            writeln!(
                program,
                "{print}, \"{name}\", (unsigned long long)({name}), sizeof({name}));"
            )
            .unwrap();
        }
    }
    for declared in declarations(header) {
        if let Some(function) = declared.strip_prefix("CK_API ") {
            let plain = function.replace("CK_NODISCARD ", "");
            said.insert(format!("function {plain}"));
        } else if let Some(callback) = declared.strip_prefix("typedef ")
            && callback.contains("(*")
        {
            said.insert(format!("callback {callback}"));
        } else if let Some((name, body)) = declared
            .strip_prefix("typedef struct ")
            .and_then(|rest| rest.split_once(" {"))
        {
            for one in body.rsplit_once('}').unwrap().0.split(';') {
                if one.trim().is_empty() {
                    continue;
                }
                let (member, kind) = field(one.trim());
                let print = "printf(\"field %s of %s is %s at %zu\\n\"";
                writeln!(
                    program,
                    "{print}, \"{member}\", \"{name}\", \"{kind}\", offsetof({name}, {member}));"
                )
                .unwrap();
            }
            if OF_THE_CALLER.contains(&name) {
                let print = "printf(\"size of %s is %zu\\n\"";
                writeln!(program, "{print}, \"{name}\", sizeof({name}));").unwrap();
            }
        } else if let Some(handle) = declared.strip_prefix("typedef struct ") {
            said.insert(format!("handle {}", handle.split(' ').next().unwrap()));
        }
    }
    program.push_str("return 0; }\n");
    (said, program)
}

/// What the header promises, to the byte.
fn promised() -> BTreeSet<String> {
    let header = std::fs::read_to_string(root().join("include/clusterkit.h")).unwrap();
    let (mut said, code) = promises(&header);
    let (source, program) = (folder().join("promises.c"), folder().join("promises"));
    std::fs::write(&source, code).unwrap();
    let output = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root().join("include"))
        .args([&source, std::path::Path::new("-o"), &program])
        .output()
        .unwrap();
    succeeded("cc promises.c", &output);
    let output = Command::new(&program).output().unwrap();
    succeeded("promises", &output);
    said.extend(text(&output.stdout).lines().map(str::to_owned));
    said
}

/// What was promised and is not kept, and what is new.
fn compare<'a>(
    baseline: &'a BTreeSet<String>,
    today: &'a BTreeSet<String>,
) -> (Vec<&'a String>, Vec<&'a String>) {
    (
        baseline.difference(today).collect(),
        today.difference(baseline).collect(),
    )
}

#[test]
fn what_was_promised_is_kept() {
    let path = root().join("tests/abi/baseline.txt");
    let committed = std::fs::read_to_string(&path).unwrap();
    let baseline: BTreeSet<String> = committed.lines().map(str::to_owned).collect();
    let today = promised();
    let (broken, new) = compare(&baseline, &today);
    assert!(
        broken.is_empty(),
        "programs that were built with an earlier header stand on this, and it is gone or has changed: {broken:#?}"
    );
    if std::env::var_os("UPDATE_ABI").is_some() {
        let all: Vec<&str> = today.iter().map(String::as_str).collect();
        std::fs::write(&path, all.join("\n") + "\n").unwrap();
    } else {
        assert!(
            new.is_empty(),
            "not in tests/abi/baseline.txt yet: run UPDATE_ABI=1 cargo test -p ck-ffi --test abi\n{new:#?}"
        );
    }
}

#[test]
fn every_promised_function_is_exported() {
    let symbols = Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(library())
        .output()
        .unwrap();
    succeeded("nm", &symbols);
    let exported: BTreeSet<&str> = text(&symbols.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let baseline = std::fs::read_to_string(root().join("tests/abi/baseline.txt")).unwrap();
    let functions: Vec<&str> = baseline
        .lines()
        .filter_map(|line| line.strip_prefix("function "))
        .map(|declared| field(declared.split_once('(').unwrap().0).0)
        .collect();
    assert!(functions.len() > 100, "{functions:?}");
    let missing: Vec<_> = functions
        .iter()
        .filter(|name| !exported.contains(*name))
        .collect();
    assert!(missing.is_empty(), "promised and not exported: {missing:?}");
}

#[test]
fn every_kind_of_change_is_seen() {
    const HEADER: &str = "#define CK_ONE 1\n\
        typedef struct ck_open_t ck_open_t;\n\
        // A comment; with a semicolon.\n\
        typedef struct ck_pair_t {\n    const char *name;\n    uint32_t count;\n} ck_pair_t;\n\
        typedef int32_t (*ck_fn)(void *user_data);\n\
        CK_API CK_NODISCARD struct ck_error_t *ck_ask(const ck_open_t *o,\n        size_t n);\n";
    let (before, program) = promises(HEADER);
    assert!(program.contains("offsetof(ck_pair_t, count)") && program.contains("CK_ONE"));
    let changes = [
        ("size_t n", "uint32_t n"),
        ("struct ck_error_t *ck_ask", "void ck_ask"),
        ("int32_t (*ck_fn)", "void (*ck_fn)"),
        ("typedef struct ck_open_t ck_open_t;", ""),
    ];
    for (old, new) in changes {
        assert!(HEADER.contains(old));
        let (after, _) = promises(&HEADER.replace(old, new));
        assert_eq!(compare(&before, &after).0.len(), 1, "{old} became {new}");
    }
    // What the compiler says of fields shifts when one comes before another.
    let (_, after) = promises(&HEADER.replace("uint32_t count;", "uint32_t other; uint32_t count;"));
    assert!(after.contains("ck_pair_t, other") && after.contains("ck_pair_t, count"));
}
