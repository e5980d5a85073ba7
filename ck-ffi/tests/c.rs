//! C programs against the shared library: the quickstart, and those in tests/abi, as they would be built by a user.
//! A program is content when it exits with 0; those in tests/abi print nothing, and neither may the library.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{
    RUNTIME_THREADS, SANITIZED, folder, has_sanitizers, is_always_silent, is_free_of_races, is_quickstart,
    is_thorough, library, root, run, run_in_valgrind, run_with_tsan, succeeded, text,
};

mod support;

/// Builds a program as strictly as C compilers can.
fn build(source: &str, extra: &[&str]) -> PathBuf {
    let name = Path::new(source).file_stem().unwrap().to_str().unwrap();
    let flags = extra.iter().filter(|flag| !flag.starts_with("-l"));
    let program = folder().join(flags.fold(name.to_owned(), |name, flag| name + flag));
    let own = source.starts_with("tests/");
    let output = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        // An example is compiled by people who give no such flag: it says itself what it needs beyond C.
        .args(
            own.then_some(["-D_POSIX_C_SOURCE=200809L", "-pthread"])
                .into_iter()
                .flatten(),
        )
        .args(["-O1", "-g"])
        .arg("-I")
        .arg(root().join("include"))
        .arg(root().join(source))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(folder())
        .args(extra)
        .output()
        .unwrap();
    succeeded(&format!("cc {source}"), &output);
    program
}

fn is_silent(source: &str, args: &[&str], extra: &[&str]) -> PathBuf {
    let program = build(source, extra);
    is_always_silent(source, &program, args);
    program
}

/// Runs a program with what it does itself watched for what C forbids: that the library hands out memory that can be used as the
/// header says, and takes back what it gave. AddressSanitizer sees the memory of both.
fn is_sound(source: &str, args: &[&str]) {
    if has_sanitizers(&["asan", "ubsan"]) {
        let program = build(source, &[&SANITIZED[..], &["-lclusterkit"]].concat());
        let environment = [("CHECK_RUNTIME_THREADS", "8")];
        support::is_silent(&format!("{source} with sanitizers"), &program, args, &environment);
    }
}

/// What takes handles, records and events apart in every way.
#[test]
fn programs_that_are_watched_find_nothing() {
    is_sound("tests/abi/arguments.c", &[]);
    if is_thorough() {
        for (name, args) in [
            ("abuse", &[][..]),
            ("async", &[]),
            ("events", &[]),
            ("hooks", &["100"]),
            ("log", &[]),
            ("process", &["100"]),
            ("records", &[]),
            ("threads", &[]),
        ] {
            is_sound(&format!("tests/abi/{name}.c"), args);
        }
    }
}

#[test]
fn threads_share_a_node() {
    let source = "tests/abi/threads.c";
    is_silent(source, &[], &["-lclusterkit"]);
    if has_sanitizers(&["tsan"]) {
        let program = build(source, &["-fsanitize=thread", "-lclusterkit"]);
        for _ in 0..if is_thorough() { 20 } else { 1 } {
            is_free_of_races(source, &program, &[]);
        }
        // It sees enough to find one between the program and a callback.
        let program = build(source, &["-fsanitize=thread", "-DPLANTED_RACE", "-lclusterkit"]);
        let output = run_with_tsan(&program, &[]);
        assert!(
            text(&output.stderr).contains("data race"),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn the_quickstart_runs() {
    let program = build("examples/c/quickstart.c", &["-lclusterkit"]);
    let output = run(&program, &[], &[]);
    succeeded("quickstart", &output);
    is_quickstart(&output);
    if let Some(output) = run_in_valgrind(&program, &["timing=wan"]) {
        is_quickstart(&output);
    }
}

/// The same program in every language prints the same lines.
#[test]
fn the_tour_runs() {
    let program = build("examples/c/tour.c", &["-pthread", "-lclusterkit"]);
    let expected = std::fs::read_to_string(root().join("examples/tour.txt")).unwrap();
    let output = run(&program, &[], &[]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), (&*expected, ""));
}

#[test]
fn an_event_loop_reads_events() {
    let program = build("examples/c/epoll.c", &["-lclusterkit"]);
    let expected = "node-1 leads, and takes the writes of 8 partitions\nstopped\n";
    let output = run(&program, &[], &[]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), (expected, ""));
}

#[test]
fn bad_arguments_are_errors() {
    let program = is_silent("tests/abi/arguments.c", &[], &["-lclusterkit"]);
    run_in_valgrind(&program, &[]);
}

#[test]
fn hooks_keep_their_promises() {
    let program = is_silent("tests/abi/hooks.c", &["1000"], &["-lclusterkit"]);
    run_in_valgrind(&program, &["5"]);
}

#[test]
fn the_log_callback_keeps_its_promises() {
    let program = is_silent("tests/abi/log.c", &[], &["-lclusterkit"]);
    run_in_valgrind(&program, &[]);
}

/// As objects that are static or thread_local in C++ make them.
#[test]
fn threads_that_end_may_call() {
    is_silent("tests/abi/late.c", &[], &["-lclusterkit"]);
}

#[test]
fn calls_that_do_not_wait_tell_their_outcome() {
    let program = is_silent("tests/abi/async.c", &[], &["-lclusterkit"]);
    run_in_valgrind(&program, &[]);
}

#[test]
fn events_are_read_from_a_queue() {
    let program = is_silent("tests/abi/events.c", &[], &["-lclusterkit"]);
    run_in_valgrind(&program, &[]);
}

#[test]
fn a_client_follows_without_being_a_member() {
    let program = is_silent("tests/abi/client.c", &[], &["-lclusterkit"]);
    run_in_valgrind(&program, &[]);
}

#[test]
fn a_test_cluster_is_for_tests_of_programs() {
    let program = is_silent("tests/abi/testing.c", &[], &["-lclusterkit"]);
    run_in_valgrind(&program, &["quick"]);
}

#[test]
fn a_cluster_tells_of_itself() {
    is_silent("tests/abi/records.c", &[], &["-lclusterkit"]);
}

/// Every dialect that people build with, as strictly as compilers can.
#[test]
fn the_header_compiles_in_every_dialect() {
    let dialects = [
        ("cc", "c", &["c99", "c11", "c17", "c2x"][..]),
        ("c++", "c++", &["c++11", "c++14", "c++17", "c++20", "c++2b"][..]),
    ];
    let header = root().join("include/clusterkit.h");
    for (compiler, language, standards) in dialects {
        for standard in standards {
            let output = Command::new(compiler)
                .args([
                    "-Wall",
                    "-Wextra",
                    "-Wpedantic",
                    "-Wconversion",
                    "-Wshadow",
                    "-Werror",
                ])
                .args(["-fsyntax-only", "-x", language, &format!("-std={standard}")])
                .arg(&header)
                .output()
                .unwrap();
            succeeded(&format!("{compiler} -std={standard}"), &output);
        }
    }
}

#[test]
fn signals_are_the_hosts() {
    is_silent("tests/abi/signals.c", &[], &["-lclusterkit"]);
}

/// What the header promises of a release. Without optimisation every value that passes through a function has a place of
/// its own on the stack.
const STACK_KIB: &str = if cfg!(debug_assertions) { "96" } else { "64" };

#[test]
fn every_call_needs_little_stack() {
    is_silent("tests/abi/stack.c", &[STACK_KIB], &["-lclusterkit"]);
}

#[test]
fn the_process_is_left_as_it_was() {
    let program = is_silent("tests/abi/process.c", &["1000"], &["-lclusterkit"]);
    run_in_valgrind(&program, &["5"]);
}

#[test]
fn no_write_raises_sigpipe() {
    is_silent("tests/abi/sigpipe.c", &[], &["-lclusterkit"]);
}

#[test]
fn a_forked_child_is_told() {
    is_silent("tests/abi/fork.c", &[], &["-lclusterkit"]);
}

#[test]
fn hooks_and_threads_do_their_worst() {
    is_silent("tests/abi/abuse.c", &[], &["-lclusterkit"]);
}

#[test]
fn a_process_may_end_in_any_state() {
    for state in [
        "options", "created", "starting", "running", "writing", "in-hook", "stopping", "stopped",
    ] {
        is_silent("tests/abi/exit.c", &[state], &["-lclusterkit"]);
    }
}

#[test]
fn a_process_may_have_limits() {
    for threads in RUNTIME_THREADS {
        let data = tempfile::tempdir().unwrap();
        let program = build("tests/abi/limits.c", &["-lclusterkit"]);
        let environment = [("CHECK_RUNTIME_THREADS", threads)];
        support::is_silent("limits", &program, &[data.path().to_str().unwrap()], &environment);
    }
}

#[test]
fn the_library_outlives_dlclose() {
    let library = folder().join("libclusterkit.so.1");
    is_silent("tests/abi/dlopen.c", &[library.to_str().unwrap()], &["-ldl"]);
}

#[test]
fn only_the_api_is_exported_under_the_soname() {
    let symbols = Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(library())
        .output()
        .unwrap();
    succeeded("nm", &symbols);
    let exported: Vec<&str> = text(&symbols.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let foreign: Vec<_> = exported.iter().filter(|name| !name.starts_with("ck_")).collect();
    assert!(foreign.is_empty(), "exported and not ours: {foreign:?}");
    let header = std::fs::read_to_string(root().join("include/clusterkit.h")).unwrap();
    for name in &exported {
        assert!(
            header.contains(&format!("{name}(")),
            "{name} is not in the header"
        );
    }

    let dynamic = Command::new("readelf")
        .arg("-dW")
        .arg(library())
        .output()
        .unwrap();
    succeeded("readelf", &dynamic);
    let dynamic = text(&dynamic.stdout);
    assert!(dynamic.contains("[libclusterkit.so.1]"), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}
