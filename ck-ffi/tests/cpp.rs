//! C++ programs against clusterkit.hpp and the shared library: the examples, those in tests/cpp, and what the guide shows, as
//! a user would build them. A program is content when it exits with 0; those in tests/cpp print nothing.
//!
//! It is the compiler that takes the time. So each program is built and run in one standard, in which it has the most to say, and
//! the header is read in the others; `CHECK_EVERYTHING=1` (`make soak`) builds and runs all of them in all, and with sanitizers.
#![allow(clippy::unwrap_used, reason = "a test program may panic, in its helpers too")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{
    SANITIZED, folder, has_sanitizers, is_always_silent, is_free_of_races, is_quickstart, is_silent,
    is_thorough, root, run, run_in_valgrind, succeeded, text,
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

/// What it is free of besides, and the programs here need not be.
const MORE_WARNINGS: [&str; 14] = [
    "-Wcast-align",
    "-Wcast-qual",
    "-Wctor-dtor-privacy",
    "-Wdouble-promotion",
    "-Wduplicated-branches",
    "-Wduplicated-cond",
    "-Wextra-semi",
    "-Wlogical-op",
    "-Wnon-virtual-dtor",
    "-Wnull-dereference",
    "-Wundef",
    "-Wuseless-cast",
    "-Woverloaded-virtual",
    "-Wzero-as-null-pointer-constant",
];

const STANDARDS: [&str; 3] = ["17", "20", "23"];

fn compiler(standard: &str, flags: &[&str]) -> Command {
    let mut compiler = Command::new("c++");
    compiler.arg(format!("-std=c++{standard}")).args(WARNINGS);
    compiler
        .args([if is_thorough() { "-O2" } else { "-O0" }, "-g", "-pthread", "-I"])
        .arg(root().join("include"));
    compiler.args(flags);
    compiler
}

/// Builds a program.
fn build(source: &str, standard: &str, flags: &[&str]) -> PathBuf {
    let name = Path::new(source).file_stem().unwrap().to_str().unwrap();
    let program = folder().join(format!("{name}-{standard}{}", flags.concat()));
    let output = compiler(standard, flags)
        .arg(root().join(source))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(folder())
        .arg("-lclusterkit")
        .output()
        .unwrap();
    succeeded(&format!("c++ {source} {standard} {flags:?}"), &output);
    program
}

fn source_of(name: &str) -> String {
    format!("tests/cpp/{name}.cpp")
}

/// Builds a program of tests/cpp in one standard, where there is time in every later one too, and runs it.
fn passes(name: &str, standard: &str, flags: &[&str], args: &[&str]) -> PathBuf {
    let of_it = STANDARDS.iter().copied().filter(|later| *later >= standard);
    for later in of_it.skip(1).filter(|_| is_thorough()) {
        let program = build(&source_of(name), later, flags);
        is_always_silent(&format!("{name} in C++{later}"), &program, args);
    }
    let program = build(&source_of(name), standard, flags);
    is_always_silent(&format!("{name} in C++{standard}"), &program, args);
    program
}

/// Runs a program of tests/cpp with its own code, and so the header's, watched for what C++ forbids.
fn is_sound(name: &str, standard: &str, args: &[&str]) {
    if has_sanitizers(&["asan", "ubsan"]) {
        let program = build(&source_of(name), standard, &SANITIZED);
        let environment = [("CHECK_RUNTIME_THREADS", "8")];
        is_silent(&format!("{name} with sanitizers"), &program, args, &environment);
    }
}

/// `passes`, and `is_sound` where there is time.
fn holds(name: &str, standard: &str) {
    passes(name, standard, &[], &[]);
    if is_thorough() {
        is_sound(name, standard, &[]);
    }
}

#[test]
fn the_quickstart_prints_what_the_one_in_c_does() {
    let program = build("examples/cpp/quickstart.cpp", "17", &[]);
    let output = run(&program, &[], &[]);
    succeeded("quickstart", &output);
    is_quickstart(&output);
    if is_thorough()
        && let Some(output) = run_in_valgrind(&program, &["timing=wan"])
    {
        is_quickstart(&output);
    }
}

/// The same program in every language prints the same lines.
#[test]
fn the_tour_runs() {
    let program = build("examples/cpp/tour.cpp", "17", &[]);
    let expected = std::fs::read_to_string(root().join("examples/tour.txt")).unwrap();
    let output = run(&program, &[], &[]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), (&*expected, ""));
}

/// Reads a source in one standard, without making a program of it.
fn read(source: &str, standard: &str, flags: &[&str]) {
    let output = compiler(standard, flags)
        .args(["-fsyntax-only", "-x", "c++"])
        .arg(root().join(source))
        .output()
        .unwrap();
    succeeded(&format!("c++ {source} {standard} {flags:?}"), &output);
}

/// As a source, so that it hides no warning; with the flags of those who have one for everything.
#[test]
fn the_header_compiles_in_every_standard() {
    for standard in STANDARDS {
        read("include/clusterkit.hpp", standard, &MORE_WARNINGS);
    }
    read("include/clusterkit.hpp", "23", &["-fno-exceptions", "-fno-rtti"]);
}

/// What only templates have is compiled where they are used: these two use the most, and run in later standards.
#[test]
fn values_and_views_compile_in_the_oldest_standard() {
    for name in ["values", "views"] {
        read(&source_of(name), "17", &[]);
    }
}

/// In C++23, where there is std::expected.
#[test]
fn values_keep_their_promises() {
    holds("values", "23");
}

/// In C++20, where there are ranges.
#[test]
fn views_are_ranges() {
    holds("views", "20");
}

#[test]
fn exceptions_and_type_information_are_not_needed() {
    passes("plain", "17", &["-fno-exceptions", "-fno-rtti"], &[]);
}

#[test]
fn units_of_a_program_may_differ() {
    let objects = folder().join("units");
    std::fs::create_dir_all(&objects).unwrap();
    let object = |name: &str, standard: &str, flags: &[&str]| {
        let object = objects.join(format!("{name}-{standard}.o"));
        let output = compiler(standard, flags)
            .arg("-c")
            .arg(root().join(source_of(name)))
            .arg("-o")
            .arg(&object)
            .output()
            .unwrap();
        succeeded(&format!("c++ {name} {standard}"), &output);
        object
    };
    let main = object("units", "17", &[]);
    for standard in STANDARDS.iter().rev().take(if is_thorough() { 3 } else { 1 }) {
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

/// A node that is static, or nobody's, when the program ends.
#[test]
fn a_program_may_end_without_ending_its_node() {
    let program = build(&source_of("exits"), "17", &[]);
    for how in ["static", "thread", "leaked", "hook"] {
        is_always_silent(&format!("exits {how}"), &program, &[how]);
    }
}

#[test]
fn misuse_ends_no_process() {
    holds("misuse", "17");
}

#[test]
fn hooks_keep_their_promises() {
    holds("hooks", "17");
}

#[test]
fn the_log_callback_keeps_its_promises() {
    holds("log", "17");
}

#[test]
fn queues_keep_their_promises() {
    holds("events", "17");
}

#[test]
fn calls_that_do_not_wait_tell_their_outcome_once() {
    holds("async", "17");
}

#[test]
fn a_client_answers_as_a_member() {
    holds("client", "17");
}

#[test]
fn a_test_cluster_does_as_it_is_told() {
    holds("testing", "17");
}

#[test]
fn coroutines_go_on_where_they_should() {
    holds("coroutines", "20");
}

/// Everything that hangs on a node, made and dropped: what sanitizers and Valgrind have the most to say of.
#[test]
fn nothing_is_left_of_a_node() {
    is_sound("lives", "17", &["100"]);
    if is_thorough() {
        let program = passes("lives", "17", &[], &["1000"]);
        run_in_valgrind(&program, &["100"]);
    }
}

#[test]
fn threads_share_a_node() {
    passes("threads", "17", &[], &[]);
    if is_thorough() && has_sanitizers(&["tsan"]) {
        for (name, standard) in [("threads", "17"), ("coroutines", "20")] {
            let program = build(&source_of(name), standard, &["-fsanitize=thread"]);
            is_free_of_races(name, &program, &[]);
        }
    }
}

/// Compiles a unit without making a program of it.
fn compile(name: &str, code: &str, flags: &[&str]) -> Output {
    let source = folder().join(format!("{name}.cpp"));
    std::fs::write(&source, code).unwrap();
    compiler("20", flags)
        .arg("-fsyntax-only")
        .arg(source)
        .output()
        .unwrap()
}

/// Mistakes that the compiler finds, and what it says of them.
const MISTAKES: [(&str, &str); 9] = [
    ("cluster.start();", "nodiscard"),
    ("cluster.async().start();", "nodiscard"),
    ("clusterkit::Cluster copy = cluster;", "deleted function"),
    (
        "for (auto node : cluster.view().value().nodes()) (void)node;",
        "deleted function",
    ),
    (
        "for (auto node : cluster.view()->nodes()) (void)node;",
        "deleted function",
    ),
    (
        "std::string_view text = cluster.json().value(); (void)text;",
        "deleted function",
    ),
    (
        "(void)cluster.on_node_join([](const clusterkit::NodeLeave &) {});",
        "a hook is called with what the event tells",
    ),
    (
        "(void)cluster.observe([](const clusterkit::Event &) { return 1; });",
        "returns a HookResult",
    ),
    (
        "(void)cluster.observe([](clusterkit::Event) {});",
        "a hook is called with a const Event &",
    ),
];

/// All of them in one unit, for the compiler says of each what it says of it alone.
#[test]
fn mistakes_do_not_compile() {
    let mut code = String::from("#include <clusterkit.hpp>\n");
    for (number, (mistake, _)) in MISTAKES.iter().enumerate() {
        code.push_str(&format!(
            "#line 1 \"mistake-{number}\"\nstatic void mistake_{number}(clusterkit::Cluster &cluster) {{ {mistake} }}\n"
        ));
    }
    let output = compile("mistakes", &code, &["-fmax-errors=0", "-Wno-unused-function"]);
    assert!(!output.status.success());
    let mut errors = vec![Vec::new(); MISTAKES.len()];
    let mut number = None;
    for line in text(&output.stderr).lines() {
        // What is wrong in a template comes after the line that it is used in.
        if let Some((found, _)) = line
            .strip_prefix("mistake-")
            .and_then(|rest| rest.split_once(':'))
        {
            number = Some(found.parse::<usize>().unwrap());
        }
        if line.contains("error: ") {
            errors[number.unwrap()].push(line);
        }
    }
    for ((mistake, words), errors) in MISTAKES.iter().zip(errors) {
        assert!(!errors.is_empty(), "it compiles: {mistake}");
        let found = errors.iter().any(|error| error.contains(words));
        assert!(found, "{mistake}\n{errors:#?}");
    }
}

/// The C++ in a document: what is marked as a unit stands by itself, the rest in a function that has a node.
fn examples(document: &str) -> String {
    // What examples do with what they have.
    const ASSUMED: &str = "template <class T> void use(const T &);\ntemplate <class T> void enqueue(T &&) {}\n\
                           bool copy(std::uint32_t, std::string_view);\nbool copied(std::uint32_t);\n\
                           void write(const std::string &, std::uint64_t);\nusing namespace std::chrono_literals;\n";
    let mut includes = String::from("#include <clusterkit.hpp>\n");
    let mut units = String::new();
    for (number, block) in document.split("\n```cpp").skip(1).enumerate() {
        let (mark, rest) = block.split_once('\n').unwrap();
        let (code, _) = rest.split_once("\n```").unwrap();
        let (own, body): (Vec<&str>, Vec<&str>) = code.lines().partition(|line| line.starts_with("#include"));
        includes.push_str(&(own.join("\n") + "\n"));
        let body = body.join("\n");
        units.push_str(&match mark.trim() {
            // The compiler knows main only outside.
            "unit" if body.contains("int main(") => format!("{body}\n"),
            "unit" => format!("namespace example_{number} {{\n{body}\n}}\n"),
            _ => format!("static void example_{number}(clusterkit::Cluster &cluster) {{\n{body}\n}}\n"),
        });
    }
    format!("{includes}{ASSUMED}{units}")
}

#[test]
fn the_guide_compiles() {
    let document = std::fs::read_to_string(root().join("docs/cpp.md")).unwrap();
    let code = examples(&document);
    assert!(
        code.matches("example_").count() > 8 && code.contains("int main("),
        "{code}"
    );
    // An example is no program: its functions go unused, what it makes too, and it hands out what only it sees.
    let flags = ["-Wno-unused", "-Wno-missing-declarations", "-Wno-pedantic"];
    let output = compile("guide", &code, &flags);
    succeeded(&format!("c++ of docs/cpp.md\n{code}"), &output);
}
