//! Random damage, of the kinds that disks, file systems and people do: whatever it is, an opening finds everything that
//! was acknowledged, or refuses and says what is wrong with which file.
//!
//! `CK_MUTATIONS` says how many are tried (1,000), `CK_SEED` where they begin; a failure names its seed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::env::disk::damage::{damage, env_number};

/// What is on a disk, by name.
type Files = BTreeMap<String, Vec<u8>>;

/// A log that was used for a while, and what it had acknowledged as durable.
struct Subject {
    files: Files,
    state: State,
}

/// A log over some segments with every kind of record, quiet for a moment and then killed, or closed.
fn subject(rng: &mut StdRng, close: bool) -> Subject {
    let (disk, mut rig) = Rig::new();
    let mut term = 1;
    for index in 0..rng.random_range(5..60) {
        let last = rig.wal.last();
        match rng.random_range(0..8) {
            0 => {
                term += 1;
                rig.vote(term);
            }
            1 if index % 3 == 0 => {
                rig.truncate(last.filter(|id| id.index > 4).map(|_| rig.wal.last().unwrap()));
            }
            2 if index % 5 == 0 => {
                if let Some(first) = rig.wal.read(0..u64::MAX, 1).unwrap().first() {
                    rig.purge(first.id);
                }
            }
            _ => {
                let next = last.map_or(0, |id| id.index + 1);
                let batch = rng.random_range(1..4);
                rig.append(
                    (next..next + batch).map(|index| entry(term, index, 40 + index as usize * 7 % 400)),
                );
            }
        }
        if let Some(last) = rig.wal.last() {
            rig.wal.save_committed(last);
        }
        rig.step_ok();
    }
    rig.wal.mark_again();
    rig.step_ok();
    let state = rig.state();
    if close {
        rig.close();
    }
    Subject {
        files: files(&disk).into_iter().collect(),
        state,
    }
}

/// What became of a damaged log.
#[derive(PartialEq)]
enum Outcome {
    Whole,
    Refused,
}

fn open_damaged(subject: &Subject, files: &Files, what: &str) -> Outcome {
    let disk = MemDisk::new();
    disk.create_dir_all(dir()).unwrap();
    for (name, content) in files {
        disk.create(&dir().join(name))
            .unwrap()
            .write_all_at(content, 0)
            .unwrap();
    }
    match Rig::open(Arc::new(disk.clone())) {
        Ok(mut rig) => {
            assert_eq!(rig.state(), subject.state, "{what}: lost without a word");
            // And it can be used.
            let next = entry(99, rig.state().next(), 10);
            rig.append([next]);
            rig.step_ok();
            let after = rig.state();
            assert_eq!(rig.reopen().state(), after, "{what}: later");
            Outcome::Whole
        }
        Err(error) => {
            assert_eq!(error.code(), ErrorCode::Corrupt, "{what}: {error}");
            for part in [DIR, ".log: damaged at offset ", "restore the whole data_dir"] {
                assert!(error.message().contains(part), "{what}: {error}");
            }
            Outcome::Refused
        }
    }
}

#[test]
fn no_damage_to_the_log_loses_what_was_acknowledged_without_a_word() {
    let (first, count) = (env_number("CK_SEED", 1), env_number("CK_MUTATIONS", 1000));
    let mut refused = 0;
    for seed in first..first + count {
        let mut rng = StdRng::seed_from_u64(seed);
        let subject = subject(&mut rng, seed % 2 == 0);
        let mut files = subject.files.clone();
        let what = damage(&mut rng, &mut files);
        let what = format!("seed {seed}: {what}");
        // All segments gone look like a new log; that there was one the identity knows.
        if files.is_empty() {
            continue;
        }
        refused += u64::from(open_damaged(&subject, &files, &what) == Outcome::Refused);
    }
    // Not only what does no harm was tried.
    assert!(refused * 2 > count, "{refused} of {count} were refused");
}
