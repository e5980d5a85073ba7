//! The conformance scripts in C and C++: what each of their commands prints is what the scripts say, as in every other language.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{folder, root, succeeded, text};

mod support;

fn scripts() -> Vec<PathBuf> {
    let scripts = std::fs::read_dir(root().join("tests/conformance/scripts")).unwrap();
    let scripts: Vec<_> = scripts.map(|entry| entry.unwrap().path()).collect();
    assert!(!scripts.is_empty());
    scripts
}

fn build(compiler: &str, flags: &[&str], source: &str) -> PathBuf {
    let program = folder().join(source.replace('.', "-"));
    let output = Command::new(compiler)
        .args(flags)
        .args([
            "-pthread",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-g",
            "-I",
        ])
        .arg(root().join("include"))
        .arg(root().join("tests/conformance").join(source))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(folder())
        .arg("-lclusterkit")
        .output()
        .unwrap();
    succeeded(&format!("{compiler} {source}"), &output);
    program
}

fn conforms(program: &Path) {
    for script in scripts() {
        let output = Command::new(program)
            .env("LD_LIBRARY_PATH", folder())
            .stdin(File::open(&script).unwrap())
            .output()
            .unwrap();
        let what = format!("{} {}", program.display(), script.display());
        succeeded(&what, &output);
        let expected = std::fs::read_to_string(&script).unwrap();
        assert_eq!(
            (text(&output.stdout), text(&output.stderr)),
            (&*expected, ""),
            "{what}"
        );
    }
}

#[test]
fn every_script_prints_in_c_what_it_says() {
    conforms(&build("cc", &["-std=c11"], "conformance.c"));
}

#[test]
fn every_script_prints_in_cpp_what_it_says() {
    conforms(&build("c++", &["-std=c++17"], "conformance.cpp"));
}
