//! Programs that were built with the header of today, run with a library whose structs have grown; and with one that panics.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::path::PathBuf;
use std::process::Command;

use support::{folder, is_always_silent, root, succeeded};

#[path = "../../../../ck-ffi/tests/support/mod.rs"]
mod support;

fn build(name: &str) -> PathBuf {
    let program = folder().join(name);
    let output = Command::new("cc")
        .args([
            "-std=c11",
            "-D_POSIX_C_SOURCE=200809L",
            "-pthread",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-g",
        ])
        .arg("-I")
        .arg(root().join("include"))
        .arg(root().join(format!("tests/abi/{name}.c")))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(folder())
        .arg("-lclusterkit")
        .output()
        .unwrap();
    succeeded(&format!("cc {name}"), &output);
    program
}

/// Those that read every struct there is, and give back what they got.
#[test]
fn an_old_program_runs_with_a_library_that_has_grown() {
    for (name, args) in [
        ("arguments", &[][..]),
        ("async", &[]),
        ("events", &[]),
        ("hooks", &["20"]),
        ("log", &[]),
        ("records", &[]),
        ("grown", &[]),
    ] {
        is_always_silent(name, &build(name), args);
    }
}

/// The log callback is told of it, and nothing is printed.
#[test]
fn a_panic_is_an_error_and_the_process_lives() {
    is_always_silent("panics", &build("panics"), &[]);
}
