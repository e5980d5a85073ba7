//! The forms of the library beside each other in one process: in plugins that come and go, and beside another library in Rust.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use support::{folder, is_always_silent, library, root, run, skipped, succeeded, text};

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

/// A prefix as `make install` fills it, of what cargo built: what the files in packaging/ say is what is tested.
fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = folder().join("prefix");
        let version = env!("CARGO_PKG_VERSION");
        let packaging = root().join("packaging");
        for (from, to) in [
            (packaging.clone(), "lib/pkgconfig"),
            (packaging.join("cmake"), "lib/cmake/clusterkit"),
        ] {
            let to = prefix.join(to);
            std::fs::create_dir_all(&to).unwrap();
            for entry in std::fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "in") {
                    let template = std::fs::read_to_string(&path).unwrap();
                    let filled = template
                        .replace("@VERSION@", version)
                        .replace("@SONAME@", "libclusterkit.so.1");
                    std::fs::write(to.join(path.file_stem().unwrap()), filled).unwrap();
                }
            }
        }
        let link = |from: &Path, to: &str| std::os::unix::fs::symlink(from, prefix.join(to)).unwrap();
        link(&root().join("include").canonicalize().unwrap(), "include");
        link(static_library(), "lib/libclusterkit.a");
        link(&library(), &format!("lib/libclusterkit.so.{version}"));
        for name in ["libclusterkit.so.1", "libclusterkit.so"] {
            link(
                Path::new(&format!("libclusterkit.so.{version}")),
                &format!("lib/{name}"),
            );
        }
        prefix
    })
}

/// A program that says which library it runs with.
const CALLER: &str = "#include <clusterkit.hpp>\n#include <iostream>\n\
    int main() { std::cout << clusterkit::version() << (clusterkit::check_abi() ? \"\" : \" of another ABI\"); }\n";

fn is_ours(program: &Path) {
    let output = run(program, &[], &[]);
    succeeded("the program", &output);
    assert_eq!(text(&output.stdout), env!("CARGO_PKG_VERSION"));
}

#[test]
fn pkg_config_finds_it() {
    let source = folder().join("caller.cpp");
    std::fs::write(&source, CALLER).unwrap();
    let package = Command::new("pkg-config").arg("--version").output();
    if package.is_err() {
        return skipped("what pkg-config says: it is not installed");
    }
    for name in ["clusterkit", "clusterkit-static"] {
        let flags = Command::new("pkg-config")
            .args(["--cflags", "--libs", name])
            .env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"))
            .output()
            .unwrap();
        succeeded("pkg-config", &flags);
        let program = folder().join(format!("caller-{name}"));
        let output = Command::new("c++")
            .args(["-std=c++17", "-pthread"])
            .arg(&source)
            .args(text(&flags.stdout).split_whitespace())
            .arg("-o")
            .arg(&program)
            .output()
            .unwrap();
        succeeded(&format!("c++ with {name}"), &output);
        is_ours(&program);
    }
}

#[test]
fn cmake_finds_it() {
    const PROJECT: &str = "cmake_minimum_required(VERSION 3.13)\nproject(caller CXX)\n\
        find_package(clusterkit REQUIRED)\n\
        add_executable(cpp caller.cpp)\ntarget_link_libraries(cpp PRIVATE clusterkit::cpp)\n\
        add_executable(static caller.cpp)\ntarget_compile_features(static PRIVATE cxx_std_17)\n\
        target_link_libraries(static PRIVATE clusterkit::static)\n";
    if Command::new("cmake").arg("--version").output().is_err() {
        return skipped("what CMake finds: it is not installed");
    }
    let project = folder().join("project");
    std::fs::create_dir_all(&project).unwrap();
    std::fs::write(project.join("CMakeLists.txt"), PROJECT).unwrap();
    std::fs::write(project.join("caller.cpp"), CALLER).unwrap();
    let configured = Command::new("cmake")
        .arg("-S")
        .arg(&project)
        .arg("-B")
        .arg(project.join("build"))
        .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix().display()))
        .output()
        .unwrap();
    succeeded("cmake", &configured);
    let built = Command::new("cmake")
        .arg("--build")
        .arg(project.join("build"))
        .output()
        .unwrap();
    succeeded("cmake --build", &built);
    for name in ["cpp", "static"] {
        is_ours(&project.join("build").join(name));
    }
}
