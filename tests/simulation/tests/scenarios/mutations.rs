//! Random damage to a whole data directory: a node that starts on it has everything that it acknowledged, or it does not
//! start and says what is wrong with which file. The damage to the log alone is tried more often, in the log's own tests.
//!
//! `CK_DIR_MUTATIONS` says how many are tried (200), `CK_SEED` where they begin; a failure names its seed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clusterkit::ErrorCode;
use clusterkit::env::disk::damage::damage;
use clusterkit::env::disk::{Disk, MemDisk};
use clusterkit::env::{self, Instant};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::world::{SCENARIO_TIMEOUT, World, simulate, until, write};

/// What is in the directory, by path.
type Files = BTreeMap<PathBuf, Vec<u8>>;
/// How many different directories are damaged.
const SUBJECTS: u64 = 5;
/// What a node has to acknowledge before its directory is a subject: with and without a snapshot.
const WRITES: [usize; 2] = [20, 260];

/// A number from an environment variable.
fn env_number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

fn files(disk: &MemDisk) -> Files {
    let mut files = Files::new();
    for dir in ["/data", "/data/wal.log"].map(Path::new) {
        for name in disk.list(dir).unwrap() {
            let path = dir.join(name);
            let content = disk.read(&path, u64::MAX).unwrap().unwrap();
            files.insert(path, content);
        }
    }
    files
}

fn disk_with(files: &Files) -> MemDisk {
    let disk = MemDisk::new();
    disk.create_dir_all(Path::new("/data/wal.log")).unwrap();
    for (path, content) in files {
        disk.create(path).unwrap().write_all_at(content, 0).unwrap();
    }
    disk
}

/// The directory of a node alone that acknowledged `writes` keys, was quiet for a moment, and was killed or stopped.
async fn subject(world: &World, writes: usize, stop: bool) -> Files {
    let sim = world.start(1, &[]).await;
    for i in 0..writes {
        write(&sim, &format!("k{i}")).await;
    }
    let snapshot = Path::new("/data/snapshot");
    until("a snapshot", || {
        writes < 200 || sim.disk().open(snapshot).unwrap().is_some()
    })
    .await;
    // The log notes twice what it has synced.
    env::sleep(std::time::Duration::from_secs(1)).await;
    if stop {
        sim.stop().await.unwrap();
    } else {
        sim.kill(None);
    }
    files(sim.disk())
}

#[test]
fn no_damage_to_a_data_directory_loses_what_was_acknowledged_without_a_word() {
    let (first, count) = (env_number("CK_SEED", 1), env_number("CK_DIR_MUTATIONS", 200));
    let mut refused = 0;
    for subject_seed in first..first + SUBJECTS {
        refused += simulate(subject_seed, async |world| {
            let writes = WRITES[subject_seed as usize % WRITES.len()];
            let whole = subject(&world, writes, subject_seed % 3 == 0).await;
            let mut refused = 0;
            for seed in 0..count.div_ceil(SUBJECTS) {
                let mut rng = StdRng::seed_from_u64(seed);
                let mut files = whole.clone();
                let what = damage(&mut rng, &mut files);
                let what = format!("CK_SEED={subject_seed}, damage {seed}: {what}");
                refused += u64::from(is_refused(&world, &files, writes, &what).await);
            }
            refused
        });
    }
    // Not only what does no harm was tried.
    assert!(refused * 4 > count, "{refused} of {count} were refused");
}

/// Starts a node on damaged files: true when it says what is wrong with them, false when nothing is lost.
async fn is_refused(world: &World, files: &Files, writes: usize, what: &str) -> bool {
    let sim = world.make_without_hook(World::options(1, &[]), Arc::new(disk_with(files)));
    let begun = Instant::now();
    let started = sim.start().await;
    assert!(
        begun.elapsed() < SCENARIO_TIMEOUT,
        "{what}: a start that takes long"
    );
    if started.is_ok() {
        for i in 0..writes {
            assert!(sim.data(&format!("k{i}")).is_some(), "{what}: k{i} is lost");
        }
    }
    // Damage that a start does not see must not keep it from closing either.
    drop(sim.close_immediately().await);
    let Err(error) = started else { return false };
    let is_expected = matches!(error.code(), ErrorCode::Corrupt | ErrorCode::Version);
    assert!(is_expected, "{what}: {error}");
    for part in ["/data/", "data_dir"] {
        let says = error.message().contains(part) || error.code() == ErrorCode::Version;
        assert!(says, "{what}: {error}");
    }
    true
}
