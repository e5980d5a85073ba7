//! Power losses at every operation on the disk. The log is one queue, so what an opening finds must be
//! what some prefix of the calls leads to, and one that has every acknowledged call in it.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::env::disk::Faults;

/// Makes random calls and keeps, for each, the states that a crash inside it may leave.
struct Script {
    rng: StdRng,
    term: u64,
    state: State,
    /// For each call: the states on the way through it, the last one being its outcome.
    states: Vec<Vec<State>>,
}

impl Script {
    fn new(seed: u64, state: State) -> Self {
        let term = state.last.map_or(1, |last| last.term + 1);
        Script {
            rng: StdRng::seed_from_u64(seed),
            term,
            states: vec![vec![state.clone()]],
            state,
        }
    }

    fn call(&mut self, rig: &mut Rig) {
        let mut states = Vec::new();
        match self.rng.random_range(0..20) {
            0..=12 => {
                let mut entries = Vec::new();
                for _ in 0..self.rng.random_range(1..6) {
                    let entry = entry(self.term, self.state.next(), self.rng.random_range(0..300));
                    entries.push(entry.clone());
                    self.state.append(entry);
                    states.push(self.state.clone());
                }
                rig.append(entries);
            }
            13 | 14 => {
                self.term += 1;
                self.state.vote = Some(vote(self.term));
                rig.vote(self.term);
            }
            15..=17 => {
                let kept = self.rng.random_range(0..8);
                let to = self.state.entries.values().rev().nth(kept).map(|entry| entry.id);
                self.state.truncate(to);
                self.term += 1;
                rig.truncate(to);
            }
            18 => {
                let at = self.rng.random_range(0..6);
                let upto = self.state.entries.values().nth(at).map(|entry| entry.id);
                if let Some(upto) = upto {
                    self.state.purge(upto);
                    rig.purge(upto);
                } else {
                    return;
                }
            }
            _ => {
                let upto = id(self.term, self.state.next() + 5);
                self.state.purge(upto);
                rig.purge(upto);
            }
        }
        if let Some(last) = self.state.last {
            rig.wal.save_committed(last);
        }
        states.push(self.state.clone());
        self.states.push(states);
    }

    fn check(&self, acknowledged: usize, found: &State) {
        // Calls that were never answered may have happened or not; those that were, have.
        let allowed = self.states[acknowledged].last().into_iter();
        let allowed = allowed.chain(self.states[acknowledged + 1..].iter().flatten());
        let mut allowed = allowed.collect::<Vec<_>>();
        assert!(
            allowed.contains(&found),
            "found {:?} {:?} {:?}, expected {:?} or later",
            found.vote,
            found.purged,
            found.last,
            allowed.swap_remove(0).last
        );
    }
}

/// One life of a log up to a crash; true when it got through without being halted.
fn life(disk: &MemDisk, seed: u64, halt: u64, before: &State) -> (bool, Script, usize) {
    let mut script = Script::new(seed, before.clone());
    disk.set_faults(Faults {
        halt_after: Some(halt),
        ..Faults::default()
    });
    let Ok(mut rig) = Rig::open(Arc::new(disk.clone())) else {
        return (false, script, 0);
    };
    for _ in 0..25 {
        for _ in 0..script.rng.random_range(1..4) {
            script.call(&mut rig);
        }
        // As at a moment's quiet, or twice in a row.
        for _ in 0..script.rng.random_range(0..3) {
            rig.wal.mark_again();
        }
        rig.step();
        if rig.wal.failure().is_some() {
            let acknowledged = rig.answers.acknowledged();
            return (false, script, acknowledged);
        }
    }
    let acknowledged = rig.answers.acknowledged();
    assert_eq!(acknowledged + 1, script.states.len());
    (true, script, acknowledged)
}

fn reopen(disk: &MemDisk) -> State {
    let rig = Rig::open(Arc::new(disk.clone())).unwrap_or_else(|error| panic!("{error}"));
    let committed = rig.wal.committed().map(|id| id.index);
    assert!(committed <= rig.wal.last().map(|id| id.index));
    rig.state()
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_every_disk_operation() {
    let (mut crashes, mut halted) = (0, 0);
    for seed in 0..12 {
        for halt in 1.. {
            let disk = MemDisk::new();
            let mut before = State::default();
            let mut through = false;
            // Later lives begin where a crash has left the log, and end elsewhere.
            for generation in 0..3 {
                let (done, script, acknowledged) =
                    life(&disk, seed * 10 + generation, halt + generation * 7, &before);
                through |= generation == 0 && done;
                halted += u32::from(!done);
                crashes += 1;
                // Or only the process dies: what it wrote is in sight, but not durable yet.
                if (halt + generation) % 3 != 0 {
                    disk.crash(seed * 1000 + halt * 10 + generation);
                }
                disk.set_faults(Faults::default());
                before = reopen(&disk);
                script.check(acknowledged, &before);
            }
            if through {
                break;
            }
        }
    }
    assert!(crashes > 1000 && halted > 1000, "{crashes} {halted}");
}

#[test]
fn a_crash_during_the_repair_after_a_crash_loses_nothing() {
    for seed in 0..600 {
        let disk = MemDisk::new();
        let (_, script, acknowledged) = life(&disk, seed, 20 + seed % 90, &State::default());
        if seed % 2 == 0 {
            disk.crash(seed);
        }
        for halt in 1..8 {
            disk.set_faults(Faults {
                halt_after: Some(halt),
                ..Faults::default()
            });
            drop(Rig::open(Arc::new(disk.clone())));
            if halt >= seed % 7 {
                disk.crash(seed + halt);
            }
        }
        disk.set_faults(Faults::default());
        script.check(acknowledged, &reopen(&disk));
    }
}

#[test]
fn a_killed_process_loses_nothing_though_nothing_was_closed() {
    for seed in 0..20 {
        let disk = MemDisk::new();
        let mut before = State::default();
        for generation in 0..3 {
            let (done, script, _) = life(&disk, seed + generation * 100, u64::MAX, &before);
            assert!(done);
            before = reopen(&disk);
            assert_eq!(before, script.state);
        }
    }
}

#[test]
fn what_is_acknowledged_after_a_killed_process_survives_a_power_loss() {
    for halt in 1..50 {
        for seed in 0..40 {
            let disk = MemDisk::new();
            let (_, script, acknowledged) = life(&disk, halt, halt, &State::default());
            // Killed again while it opens what was written and not synced, then a power loss.
            disk.set_faults(Faults {
                halt_after: Some(1 + seed % 9),
                ..Faults::default()
            });
            let opened = Rig::open(Arc::new(disk.clone())).map(|rig| rig.state());
            if seed % 2 == 0 {
                disk.crash(seed);
            }
            disk.set_faults(Faults::default());
            let mut rig = Rig::open(Arc::new(disk.clone())).unwrap();
            script.check(acknowledged, &rig.state());
            if let Ok(opened) = opened {
                assert_eq!(opened, rig.state(), "what an opening showed is durable");
            }
            rig.append([entry(9999, rig.state().next(), 10)]);
            rig.step_ok();
            let expected = rig.state();
            disk.crash(seed);
            assert_eq!(reopen(&disk), expected);
        }
    }
}

/// Two copies are written, so that one is always whole: not where both were under way.
#[test]
fn a_power_loss_spares_one_copy_of_the_second_mark() {
    for seed in 0..2000 {
        let disk = MemDisk::new();
        // Written in two halves, so that a mark may be torn though it lies in one sector.
        disk.set_faults(Faults {
            short_writes: true,
            ..Faults::default()
        });
        let mut rig = Rig::open(Arc::new(disk.clone())).unwrap();
        for index in 0..seed % 4 {
            rig.append([entry(1, index, 10)]);
            rig.step_ok();
            rig.wal.mark_again();
            rig.step();
        }
        let state = rig.state();
        // Or it is lost while another process, after one that was killed, opens the log.
        if seed % 3 == 0 {
            disk.end_process();
            disk.set_faults(Faults {
                short_writes: true,
                halt_after: Some(1 + seed % 23),
                ..Faults::default()
            });
            drop(Rig::open(Arc::new(disk.clone())));
        }
        disk.crash(seed);
        assert_eq!(reopen(&disk), state, "seed {seed}");
    }
}
