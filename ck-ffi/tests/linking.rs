//! The forms of the library beside each other in one process: in plugins that come and go, and beside another library in Rust.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use support::{folder, is_always_silent, library, root, succeeded, text};

mod support;

/// The static library as it is installed, of the one that cargo built.
fn static_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let made = folder().join("libclusterkit-static.a");
        let output = Command::new("sh")
            .arg(root().join("packaging/static.sh"))
            .arg(library().with_extension("a"))
            .arg(root().join("include/clusterkit.h"))
            .arg(&made)
            .output()
            .unwrap();
        succeeded("static.sh", &output);
        made
    })
}

/// What the static library needs besides.
const NEEDS: [&str; 4] = ["-pthread", "-lpthread", "-lm", "-ldl"];

fn cc(source: &str, to: &str, arguments: &[&Path], flags: &[&str]) -> PathBuf {
    let made = folder().join(to);
    let output = Command::new("cc")
        .args([
            "-std=c11",
            "-D_POSIX_C_SOURCE=200809L",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-g",
        ])
        .arg("-I")
        .arg(root().join("include"))
        .arg(root().join("tests/abi").join(source))
        .args(arguments)
        .arg("-o")
        .arg(&made)
        .args(flags)
        .output()
        .unwrap();
    succeeded(&format!("cc {source} {to}"), &output);
    made
}

const PLUGIN: [&str; 2] = ["-shared", "-fPIC"];

fn shared_plugin(name: &str) -> PathBuf {
    let folder = folder().to_str().unwrap();
    cc(
        "plugin.c",
        name,
        &[],
        &[&PLUGIN[..], &["-pthread", "-L", folder, "-lclusterkit"]].concat(),
    )
}

fn static_plugin(name: &str) -> PathBuf {
    cc(
        "plugin.c",
        name,
        &[static_library()],
        &[&PLUGIN[..], &NEEDS].concat(),
    )
}

fn run_plugins(one: &Path, other: &Path) {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let host = cc(
        "plugins.c",
        &format!("host-{}-{}", name(one), name(other)),
        &[],
        &["-ldl"],
    );
    let what = format!("plugins {} and {}", name(one), name(other));
    is_always_silent(&what, &host, &[one.to_str().unwrap(), other.to_str().unwrap()]);
}

#[test]
fn plugins_share_the_library() {
    run_plugins(&shared_plugin("one.so"), &shared_plugin("two.so"));
}

/// Two copies of the library in one process, one of which may be the shared one.
#[test]
fn plugins_bring_a_library_each() {
    let one = static_plugin("static-one.so");
    let two = folder().join("static-two.so");
    std::fs::copy(&one, &two).unwrap();
    run_plugins(&one, &two);
    run_plugins(&shared_plugin("shared.so"), &one);

    let symbols = Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(&one)
        .output()
        .unwrap();
    succeeded("nm", &symbols);
    let names = text(&symbols.stdout)
        .lines()
        .filter_map(|line| line.split(' ').next());
    let foreign: Vec<&str> = names
        .filter(|name| !name.starts_with("ck_") && !name.starts_with("plugin_"))
        .collect();
    assert!(
        foreign.is_empty(),
        "the plugin exports what is not its own: {foreign:?}"
    );
}

/// Each has a standard library of its own, with the same names.
#[test]
fn two_libraries_in_rust_are_linked_into_one_program() {
    let other = folder().join("libother_rust.a");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition=2021", "--crate-type=staticlib", "-o"])
        .arg(&other)
        .arg(root().join("tests/abi/other_rust.rs"))
        .output()
        .unwrap();
    succeeded("rustc", &output);
    let (ours, name) = (static_library(), "tests/abi/two_rusts.c");
    for (order, libraries) in [("first", [ours, &other]), ("last", [&other, ours])] {
        let program = cc("two_rusts.c", &format!("two-rusts-{order}"), &libraries, &NEEDS);
        is_always_silent(&format!("{name}, ours {order}"), &program, &[]);
    }
}
