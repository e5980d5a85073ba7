//! What tests of programs share: the shared library as a user finds it, running a program, and judging what it printed.
#![allow(dead_code, reason = "each test target uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

/// No tighter than this: valgrind reports what is *definitely* lost. What the process still points at when it
/// ends (Rust's own thread records, say) is no leak.
const VALGRIND: [&str; 6] = [
    "--quiet",
    // One thread at a time runs, and otherwise it is the same again and again.
    "--fair-sched=try",
    "--error-exitcode=99",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--errors-for-leak-kinds=definite",
];

/// With one thread of the library's runtime, and with more than the machine has processors: what two of them do at the same
/// time never happens with one.
pub(crate) const RUNTIME_THREADS: [&str; 2] = ["1", "8"];

pub(crate) fn root() -> PathBuf {
    // Of whichever package these tests belong to.
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").exists());
    root.unwrap().to_path_buf()
}

/// The shared library that cargo built for these tests: it lies beside them.
pub(crate) fn library() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let name = env!("CARGO_PKG_NAME").replace('-', "_");
    let library = here.parent().unwrap().join(format!("lib{name}.so"));
    assert!(library.exists(), "{} was not built", library.display());
    library
}

/// A folder with the library under its soname, and the programs.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            for name in ["libclusterkit.so", "libclusterkit.so.1"] {
                std::os::unix::fs::symlink(library(), folder.path().join(name)).unwrap();
            }
            folder
        })
        .path()
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

pub(crate) fn succeeded(what: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// Says that a test could not do all of its work.
pub(crate) fn skipped(what: &str) {
    #[allow(
        clippy::print_stdout,
        reason = "whoever runs the tests should know what did not run"
    )]
    {
        println!("skipped {what}");
    }
}

pub(crate) fn run(program: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(program)
        .args(args)
        .env("LD_LIBRARY_PATH", folder())
        .envs(environment.iter().copied())
        // A panic that is wanted would print a page.
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap()
}

/// A program that is content exits with 0 and prints nothing, and neither may the library.
pub(crate) fn is_silent(what: &str, program: &Path, args: &[&str], environment: &[(&str, &str)]) {
    let output = run(program, args, environment);
    succeeded(what, &output);
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        ("", ""),
        "{what} printed"
    );
}

/// The same, with few threads and with many.
pub(crate) fn is_always_silent(what: &str, program: &Path, args: &[&str]) {
    for threads in RUNTIME_THREADS {
        let what = format!("{what} with {threads} threads");
        is_silent(&what, program, args, &[("CHECK_RUNTIME_THREADS", threads)]);
    }
}

/// True where there is time for every program in every form: `make soak`. `make test` takes one of each kind.
pub(crate) fn is_thorough() -> bool {
    std::env::var_os("CHECK_EVERYTHING").is_some()
}

/// What a program is built with to be watched for what C and C++ forbid. The library is not.
pub(crate) const SANITIZED: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

/// True when the compiler has the libraries of these sanitizers.
pub(crate) fn has_sanitizers(names: &[&str]) -> bool {
    names.iter().all(|name| {
        let library = format!("-print-file-name=lib{name}.so");
        let output = Command::new("cc").arg(library).output().unwrap();
        let found = text(&output.stdout).starts_with('/');
        if !found {
            skipped(&format!("with lib{name}: it is not installed"));
        }
        found
    })
}

/// ThreadSanitizer sees the program's own code and none of the library's. Here it ignores what the library calls, locks and
/// memory functions above all, of which it would see one side only. What it still finds: data that two threads of the program,
/// or one of them and a callback, use at once without the program's own locks. It does not see that the library's calls happen
/// one after the other: what a callback hands over by that alone looks like a race to it, unless it is told
/// (`__tsan_acquire`, `__tsan_release`), as clusterkit.hpp does. How the library itself uses memory is Rust's to check.
const SUPPRESSIONS: &str = "called_from_lib:libclusterkit.so\n";

/// Runs a program that was built with -fsanitize=thread.
pub(crate) fn run_with_tsan(program: &Path, args: &[&str]) -> Output {
    let suppressions = folder().join("tsan-suppressions");
    std::fs::write(&suppressions, SUPPRESSIONS).unwrap();
    let options = format!("suppressions={}", suppressions.display());
    // Everything is many times slower, so leaders have to be patient. Two threads of the library show more than one.
    let environment = [
        ("TSAN_OPTIONS", &*options),
        ("CHECK_TIMING", "wan"),
        ("CHECK_RUNTIME_THREADS", "8"),
    ];
    run(program, args, &environment)
}

/// `run_with_tsan` of a program that prints nothing, and has no race.
pub(crate) fn is_free_of_races(what: &str, program: &Path, args: &[&str]) {
    let output = run_with_tsan(program, args);
    succeeded(&format!("{what} with ThreadSanitizer"), &output);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("", ""));
}

pub(crate) fn run_in_valgrind(program: &Path, args: &[&str]) -> Option<Output> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        skipped("under Valgrind: it is not installed");
        return None;
    }
    let output = Command::new("valgrind")
        .args(VALGRIND)
        .arg(program)
        .args(args)
        .env("LD_LIBRARY_PATH", folder())
        .env("CHECK_TIMING", "wan")
        .output()
        .unwrap();
    succeeded("valgrind", &output);
    Some(output)
}

const QUICKSTART: &str = "\
members: node-1 node-2 node-3
leader: node-N
user:42: partition 8, 2 replicas
primaries of user:42: 1
greeting: hello
hook: 3 joins, partition changes, destroyed 1 time
";

/// What the quickstart prints, in every language.
pub(crate) fn is_quickstart(output: &Output) {
    let expected = format!("ClusterKit {}\n{QUICKSTART}", env!("CARGO_PKG_VERSION"));
    // On a busy machine another node may lead by then.
    let printed = ["node-1", "node-2", "node-3"]
        .iter()
        .fold(text(&output.stdout).to_owned(), |printed, node| {
            printed.replace(&format!("leader: {node}\n"), "leader: node-N\n")
        });
    assert_eq!((&*printed, text(&output.stderr)), (&*expected, ""));
}
