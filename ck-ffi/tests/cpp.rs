//! C++ programs against clusterkit.hpp and the shared library: the quickstart, those in tests/cpp, and the guide's examples, as
//! a user would build them. A program is content when it exits with 0; those in tests/cpp print nothing.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{
    folder, is_always_silent, is_quickstart, is_silent, root, run, run_in_valgrind, skipped, succeeded, text,
};

mod support;

/// What the header promises to be free of.
const WARNINGS: [&str; 8] = [
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wshadow",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wold-style-cast",
    "-Werror",
];

fn compiler(standard: &str, flags: &[&str]) -> Command {
    let mut compiler = Command::new("c++");
    compiler.arg(format!("-std=c++{standard}")).args(WARNINGS);
    compiler.args(["-O1", "-g", "-pthread", "-I"]).arg(root().join("include"));
    compiler.args(flags);
    compiler
}

/// Builds a program of these sources.
fn build(sources: &[&str], standard: &str, flags: &[&str]) -> PathBuf {
    let name = Path::new(sources[0]).file_stem().unwrap().to_str().unwrap();
    let program = folder().join(format!("{name}-{standard}{}", flags.concat().replace('/', "_")));
    let output = compiler(standard, flags)
        .args(sources.iter().map(|source| root().join(source)))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(folder())
        .arg("-lclusterkit")
        .output()
        .unwrap();
    succeeded(&format!("c++ {sources:?} {standard} {flags:?}"), &output);
    program
}

fn source_of(name: &str) -> String {
    format!("tests/cpp/{name}.cpp")
}

/// Builds a program of tests/cpp, and runs it.
fn passes(name: &str, standard: &str, flags: &[&str], args: &[&str]) -> PathBuf {
    let program = build(&[&source_of(name)], standard, flags);
    is_always_silent(&format!("{name} in C++{standard}"), &program, args);
    program
}

/// True when the compiler has the library of a sanitizer.
fn has_sanitizer(name: &str) -> bool {
    let library = format!("-print-file-name=lib{name}.so");
    let output = Command::new("c++").arg(library).output().unwrap();
    let found = text(&output.stdout).starts_with('/');
    if !found {
        skipped(&format!("with lib{name}: it is not installed"));
    }
    found
}

/// The same with the header's own code watched for what C++ forbids. The library is not.
fn is_sound(name: &str, standard: &str, args: &[&str]) {
    if has_sanitizer("asan") && has_sanitizer("ubsan") {
        let flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
        let program = build(&[&source_of(name)], standard, &flags);
        is_silent(&format!("{name} with sanitizers"), &program, args, &[("CHECK_RUNTIME_THREADS", "8")]);
    }
}

#[test]
fn the_quickstart_prints_what_the_one_in_c_does() {
    let program = build(&["examples/cpp/quickstart.cpp"], "17", &[]);
    let output = run(&program, &[], &[]);
    succeeded("quickstart", &output);
    is_quickstart(&output);
    if let Some(output) = run_in_valgrind(&program, &["timing=wan"]) {
        is_quickstart(&output);
    }
}

#[test]
fn values_are_alike_in_every_standard() {
    for standard in ["17", "20", "23"] {
        passes("values", standard, &[], &[]);
    }
    is_sound("values", "17", &[]);
}

#[test]
fn views_are_ranges_in_every_standard() {
    for standard in ["17", "20", "23"] {
        passes("views", standard, &[], &[]);
    }
    is_sound("views", "20", &[]);
}

#[test]
fn exceptions_and_type_information_are_not_needed() {
    for standard in ["17", "20", "23"] {
        passes("plain", standard, &["-fno-exceptions", "-fno-rtti"], &[]);
    }
}

#[test]
fn units_of_a_program_may_differ() {
    let objects = folder().join("units");
    std::fs::create_dir_all(&objects).unwrap();
    let object = |name: &str, standard: &str, flags: &[&str]| {
        let object = objects.join(format!("{name}-{standard}.o"));
        let source = root().join(source_of(name));
        let output = compiler(standard, flags).arg("-c").arg(source).arg("-o").arg(&object).output().unwrap();
        succeeded(&format!("c++ {name} {standard}"), &output);
        object
    };
    let main = object("units", "17", &[]);
    for standard in ["17", "20", "23"] {
        let other = object("units_other", standard, &["-fvisibility=hidden"]);
        let program = folder().join(format!("units-{standard}"));
        let output = Command::new("c++")
            .args(["-pthread", "-o"])
            .args([&program, &main, &other])
            .arg("-L")
            .arg(folder())
            .arg("-lclusterkit")
            .output()
            .unwrap();
        succeeded("c++ units", &output);
        is_always_silent("units", &program, &[]);
    }
}

#[test]
fn hooks_keep_their_promises() {
    passes("hooks", "17", &[], &[]);
    is_sound("hooks", "17", &[]);
}

#[test]
fn the_log_callback_keeps_its_promises() {
    passes("log", "17", &[], &[]);
    is_sound("log", "17", &[]);
}

#[test]
fn queues_keep_their_promises() {
    passes("events", "17", &[], &[]);
    is_sound("events", "17", &[]);
}

#[test]
fn calls_that_do_not_wait_tell_their_outcome_once() {
    passes("async", "17", &[], &[]);
    is_sound("async", "17", &[]);
}

#[test]
fn coroutines_go_on_where_they_should() {
    for standard in ["20", "23"] {
        passes("coroutines", standard, &[], &[]);
    }
    is_sound("coroutines", "20", &[]);
}

#[test]
fn nothing_is_left_of_a_node() {
    let program = passes("lives", "17", &[], &["1000"]);
    run_in_valgrind(&program, &["100"]);
    is_sound("lives", "17", &["100"]);
}

/// ThreadSanitizer does not see the library's own code: what it finds there is how the library is written, in Rust.
const SUPPRESSIONS: &str = "called_from_lib:libclusterkit.so\ncalled_from_lib:libck_ffi.so\n";

#[test]
fn threads_share_a_node() {
    passes("threads", "17", &[], &[]);
    if has_sanitizer("tsan") {
        let suppressions = folder().join("tsan-suppressions");
        std::fs::write(&suppressions, SUPPRESSIONS).unwrap();
        let options = format!("suppressions={}", suppressions.display());
        let environment = [("TSAN_OPTIONS", options.as_str()), ("CHECK_TIMING", "wan")];
        for (name, standard) in [("threads", "17"), ("coroutines", "20")] {
            let program = build(&[&source_of(name)], standard, &["-fsanitize=thread"]);
            is_silent(&format!("{name} with ThreadSanitizer"), &program, &[], &environment);
        }
    }
}

/// Compiles a unit without making a program of it.
fn compile(name: &str, code: &str, flags: &[&str]) -> Output {
    let source = folder().join(format!("{name}.cpp"));
    std::fs::write(&source, code).unwrap();
    compiler("20", flags).arg("-fsyntax-only").arg(source).output().unwrap()
}

/// Mistakes that the compiler finds, and what it says of them.
const MISTAKES: [(&str, &str); 9] = [
    ("cluster.start();", "nodiscard"),
    ("cluster.async().start();", "nodiscard"),
    ("clusterkit::Cluster copy = cluster;", "deleted function"),
    ("for (auto node : cluster.view().value().nodes()) (void)node;", "deleted function"),
    ("for (auto node : cluster.view()->nodes()) (void)node;", "deleted function"),
    ("std::string_view text = cluster.json().value(); (void)text;", "deleted function"),
    ("(void)cluster.on_node_join([](const clusterkit::NodeLeave &) {});", "a hook is called with what the event tells"),
    ("(void)cluster.observe([](const clusterkit::Event &) { return 1; });", "returns a HookResult"),
    ("(void)cluster.observe([](clusterkit::Event) {});", "a hook is called with a const Event &"),
];

#[test]
fn mistakes_do_not_compile() {
    for (number, (mistake, words)) in MISTAKES.iter().enumerate() {
        let code = format!(
            "#include <clusterkit.hpp>\nvoid mistake(clusterkit::Cluster &cluster);\n\
             void mistake(clusterkit::Cluster &cluster) {{\n    {mistake}\n}}\n"
        );
        let output = compile(&format!("mistake-{number}"), &code, &[]);
        assert!(!output.status.success(), "it compiles: {mistake}");
        assert!(text(&output.stderr).contains(words), "{mistake}\n{}", text(&output.stderr));
    }
}

/// The C++ in a document: what is marked as a unit stands by itself, the rest in a function that has a node.
fn examples(document: &str) -> String {
    let mut includes = String::from("#include <clusterkit.hpp>\n");
    let mut units = String::new();
    for (number, block) in document.split("\n```cpp").skip(1).enumerate() {
        let (mark, rest) = block.split_once('\n').unwrap();
        let (code, _) = rest.split_once("\n```").unwrap();
        let (own, body): (Vec<&str>, Vec<&str>) = code.lines().partition(|line| line.starts_with("#include"));
        includes.push_str(&(own.join("\n") + "\n"));
        let body = body.join("\n");
        units.push_str(&match mark.trim() {
            "unit" => format!("namespace example_{number} {{\n{body}\n}}\n"),
            _ => format!("static void example_{number}(clusterkit::Cluster &cluster) {{\n{body}\n}}\n"),
        });
    }
    format!("{includes}using namespace std::chrono_literals;\n{units}")
}

#[test]
fn the_guide_compiles() {
    let document = std::fs::read_to_string(root().join("docs/cpp.md")).unwrap();
    let code = examples(&document);
    assert!(code.matches("example_").count() > 5, "{code}");
    // An example is no program: what it makes may go unused.
    let output = compile("guide", &code, &["-Wno-unused"]);
    succeeded(&format!("c++ of docs/cpp.md\n{code}"), &output);
}
