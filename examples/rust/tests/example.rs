//! The example runs and says what it should, and the README shows the example and not something like it.

use std::path::Path;
use std::process::Command;

#[test]
fn the_example_runs() {
    let output = Command::new(env!("CARGO_BIN_EXE_clusterkit-example-rust"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines: Vec<&str> = text.lines().collect();
    // 64 partitions: the first four bytes of the key's MD5, modulo 64 (tests/vectors tells how).
    assert_eq!(
        lines[..2],
        ["3 nodes", "user:123 is in partition-48, with 3 copies"]
    );
    let primaries = lines.iter().filter(|line| line.ends_with("I take its writes"));
    let replicas = lines.iter().filter(|line| line.ends_with("I hold a copy"));
    assert_eq!((primaries.count(), replicas.count()), (1, 2), "{text}");
    assert_eq!(lines[lines.len() - 2..], ["greeting: hello", "stopped"]);
}

/// The same program in every language prints the same lines.
#[test]
fn the_tour_runs() {
    let output = Command::new(env!("CARGO_BIN_EXE_tour")).output().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let expected = std::fs::read_to_string(root.join("examples/tour.txt")).unwrap();
    assert_eq!(
        (
            &*String::from_utf8_lossy(&output.stdout),
            &*String::from_utf8_lossy(&output.stderr)
        ),
        (&*expected, "")
    );
}

#[test]
fn the_readme_shows_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program = std::fs::read_to_string(root.join("examples/rust/src/main.rs")).unwrap();
    let (_, region) = program.split_once("// [quick start]\n").unwrap();
    let (region, _) = region.split_once("// [/quick start]\n").unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    assert!(
        readme.contains(&format!("```rust\n{region}```")),
        "the README's quick start is not the region of examples/rust/src/main.rs"
    );
}
