//! The committed corpus: generated from valid examples, compared with them by a test, and run once with every test run.
//!
//! `UPDATE_CORPUS=1 cargo test -p clusterkit --features sim fuzz` regenerates it. Inputs that a fuzzer found are beside
//! it, under names that begin with `found-`. They are run as well, so that a fixed defect stays fixed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{TARGETS, Target};

/// The name of an input, and its bytes.
pub(crate) type Example = (&'static str, Vec<u8>);

/// The most bytes of generated inputs in the folder of one target, to keep the corpus small.
const MOST_BYTES: usize = 24 << 10;

fn examples_of(target: &Target) -> Vec<Example> {
    match target.name {
        "log" => crate::raft::storage::wal::fuzz::examples(),
        "snapshot" => crate::raft::fuzz::examples(),
        "identity" => crate::membership::fuzz::examples(),
        "frames" => crate::net::fuzz::examples(),
        "proofs" => crate::net::security::fuzz::examples(),
        #[cfg(feature = "sim")]
        "peer" => super::node::examples(),
        "http" => crate::http::fuzz::examples(),
        "client" => crate::client::fuzz::examples(),
        "options" => crate::options::fuzz::examples(),
        name => panic!("{name} has no examples"),
    }
}

fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target.name)
}

/// All committed inputs of a target, by name.
fn committed(target: &Target) -> BTreeMap<String, Vec<u8>> {
    let folder = folder(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read = |file: std::io::Result<std::fs::DirEntry>| {
        let file = file.unwrap();
        (
            file.file_name().into_string().unwrap(),
            std::fs::read(file.path()).unwrap(),
        )
    };
    files.map(read).collect()
}

#[test]
fn the_corpus_is_what_these_examples_are() {
    for target in TARGETS {
        let examples = examples_of(target);
        let folder = folder(target);
        if std::env::var_os("UPDATE_CORPUS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            for name in committed(target)
                .keys()
                .filter(|name| !name.starts_with("found-"))
            {
                std::fs::remove_file(folder.join(name)).unwrap();
            }
            for (name, bytes) in &examples {
                std::fs::write(folder.join(name), bytes).unwrap();
            }
        }
        let mut committed = committed(target);
        for (name, bytes) in &examples {
            assert!(!name.starts_with("found-"), "{name} would be taken for a find");
            let is = committed.remove(*name);
            assert!(
                is.as_ref() == Some(bytes),
                "{}/{name} is not what it would be today: run with UPDATE_CORPUS=1",
                folder.display()
            );
        }
        let others: Vec<_> = committed
            .keys()
            .filter(|name| !name.starts_with("found-"))
            .collect();
        assert!(others.is_empty(), "{} holds {others:?} besides", folder.display());
        let total: usize = examples.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(total <= MOST_BYTES, "{}: {total} bytes", folder.display());
    }
}

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Counts the panics of this thread, even those that are caught: the tasks of a simulation run on it.
fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.with(|panics| panics.set(panics.get() + 1));
        before(info);
    }));
}

#[test]
fn every_target_stands_every_input_of_its_corpus() {
    count_panics();
    for target in TARGETS {
        for (name, bytes) in committed(target) {
            let taken = allocation_counter::measure(|| (target.run)(&bytes)).bytes_max;
            let most = target.memory(bytes.len());
            let input = format!("{}/{name}", target.name);
            assert!(
                taken <= most,
                "{input}: {taken} bytes of memory for {}",
                bytes.len()
            );
            assert_eq!(
                PANICS.with(Cell::get),
                0,
                "{input}: something panicked and was caught"
            );
        }
    }
}
