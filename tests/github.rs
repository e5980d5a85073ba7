//! The forms and workflows in .github: they can be read, run what the Makefile has, and may do no more than they need.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails by panicking, as a test does"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Workflow {
    permissions: Value,
    concurrency: Concurrency,
    jobs: BTreeMap<String, Job>,
}

#[derive(Deserialize)]
struct Concurrency {
    group: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Job {
    timeout_minutes: u32,
    permissions: Option<Value>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    run: Option<String>,
    uses: Option<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The YAML files of a folder in .github, with their text.
fn files(folder: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root().join(".github").join(folder)).unwrap();
    let files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

fn workflows() -> Vec<(String, Workflow)> {
    let parse = |(name, text): (String, String)| {
        let workflow = serde_saphyr::from_str(&text).map_err(|error| format!("{name}: {error}"));
        (name, workflow.unwrap())
    };
    files("workflows").into_iter().map(parse).collect()
}

/// What follows `make` in a script, options and variables left out.
fn targets_in(script: &str) -> Vec<&str> {
    let mut words = script.split(|c: char| c.is_whitespace() || "()\"".contains(c));
    let mut targets = Vec::new();
    while let Some(word) = words.next() {
        if word == "make" {
            targets.extend(words.by_ref().find(|word| !word.starts_with('-')));
        }
    }
    targets
}

#[test]
fn workflows_run_what_the_makefile_has() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let known: BTreeSet<_> = makefile
        .lines()
        .filter_map(|line| line.strip_prefix(".PHONY: "))
        .flat_map(str::split_whitespace)
        .collect();
    let mut run = BTreeSet::new();
    for (name, workflow) in workflows() {
        let before = run.len();
        let scripts = workflow.jobs.values().flat_map(|job| &job.steps);
        for script in scripts.filter_map(|step| step.run.as_deref()) {
            for target in targets_in(script) {
                assert!(known.contains(target), "{name}: there is no `make {target}`");
                run.insert(target.to_owned());
            }
        }
        assert!(run.len() > before, "{name} runs nothing of ours");
    }
    for target in ["test", "lint", "soak", "miri", "msrv", "package", "dist"] {
        assert!(run.contains(target), "no workflow runs `make {target}`");
    }
}

#[test]
fn workflows_may_read_and_come_to_an_end() {
    for (name, workflow) in workflows() {
        assert_eq!(workflow.permissions, json!({ "contents": "read" }), "{name}");
        assert!(!workflow.concurrency.group.is_empty(), "{name}");
        for (job, what) in workflow.jobs {
            assert!((1..360).contains(&what.timeout_minutes), "{name}: {job}");
            let more = what.permissions;
            assert!(more.is_none() || job == "draft", "{name}: {job} has {more:?}");
        }
    }
}

/// A tag can be moved to other code; a commit cannot. The tag stands beside it, for people and dependabot.
#[test]
fn actions_are_pinned_to_commits() {
    for (name, workflow) in workflows() {
        for step in workflow.jobs.into_values().flat_map(|job| job.steps) {
            if let Some(action) = step.uses {
                let commit = action.rsplit_once('@').unwrap_or_default().1;
                let pinned = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
                assert!(pinned, "{name}: {action}");
            }
        }
    }
    for (name, text) in files("workflows") {
        for line in text.lines().filter(|line| line.contains("uses: ")) {
            assert!(line.contains(" # v"), "{name}: {line}");
        }
    }
}

#[test]
fn forms_ask_for_what_it_takes_to_find_a_fault() {
    for (name, text) in files("ISSUE_TEMPLATE").into_iter().chain(files("")) {
        let read: Result<Value, _> = serde_saphyr::from_str(&text);
        assert!(read.is_ok(), "{name}: {read:?}");
    }
    let form = std::fs::read_to_string(root().join(".github/ISSUE_TEMPLATE/bug.yml")).unwrap();
    let form: Value = serde_saphyr::from_str(&form).unwrap();
    let fields = form["body"].as_array().unwrap();
    let ids: Vec<_> = fields.iter().filter_map(|field| field["id"].as_str()).collect();
    for id in ["version", "language", "options", "health", "log"] {
        assert!(ids.contains(&id), "the form does not ask for {id}: {ids:?}");
    }
}
