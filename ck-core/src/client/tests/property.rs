//! Whatever members answer, and in whichever order, what one reader sees never goes back, and never mixes revisions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::fake_member::{Behaviour, FakeMember, answer, topology};
use super::{TIME_LIMIT, epoch, hasty, until};
use crate::client::Client;

#[test]
fn revisions_that_a_reader_sees_never_go_back() {
    for seed in 0..3 {
        run(seed);
    }
}

/// What members do is decided by the seed; when each request comes is not.
fn run(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let members: Vec<FakeMember> = (0..3).map(|_| FakeMember::new()).collect();
    let addrs: Vec<String> = members.iter().map(FakeMember::addr).collect();
    let addrs: Vec<&str> = addrs.iter().map(String::as_str).collect();
    let mut options = hasty(&addrs);
    options.poll_timeout = Duration::from_millis(100);
    options.request_timeout = Duration::from_millis(200);
    let client = Client::new(options).unwrap();
    client.wait_ready(TIME_LIMIT).unwrap();
    let is_done = AtomicBool::new(false);
    let mut newest = 10;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = (0, 0);
                while !is_done.load(Ordering::Acquire) {
                    let view = client.view();
                    let epochs = view.partitions().map(|partition| partition.epoch());
                    let now = (view.revision(), epochs.max().unwrap_or_default());
                    assert!(now >= seen, "seed {seed}: {now:?} after {seen:?}");
                    assert_eq!(now.0, now.1, "seed {seed}: a view is of one revision");
                    assert_eq!(view.topology().cluster_id, "c-1", "seed {seed}");
                    seen = now;
                }
            });
        }
        // Calls that ask besides the task that follows.
        scope.spawn(|| {
            while !is_done.load(Ordering::Acquire) {
                let before = client.view().revision();
                if let Ok(revision) = client.refresh(Duration::from_millis(50)) {
                    assert!(revision >= before && client.view().revision() >= revision);
                }
            }
        });
        for _ in 0..150 {
            let member = &members[rng.random_range(0..members.len())];
            match rng.random_range(0..12) {
                // Ahead, behind, or where it was.
                0..6 => {
                    newest += rng.random_range(0..2);
                    let revision = rng.random_range(1..=newest);
                    let back = rng.random_bool(0.5);
                    member.advance_to(if back { revision } else { newest });
                }
                6 => member.set_leader_known(rng.random_bool(0.7)),
                7 => {
                    let mut other = topology(&[("z", &member.addr())], 1_000_000);
                    other.cluster_id = "c-2".to_owned();
                    member.set_topology(other, 1_000_000);
                }
                8 => member.behave(Behaviour::Close),
                9 => member.behave(Behaviour::Silent),
                10 => member.behave(Behaviour::Raw(answer("200 OK", "", "{\"cluster\":{}}"))),
                _ => {
                    member.set_topology(topology(&[("a", &member.addr())], newest), newest);
                    member.behave(Behaviour::Member);
                }
            }
            std::thread::sleep(Duration::from_millis(rng.random_range(0..8)));
        }
        is_done.store(true, Ordering::Release);
    });
    // When all is well again, the newest is there.
    newest += 1;
    for member in &members {
        member.set_topology(topology(&[("a", &member.addr())], newest), newest);
        member.set_leader_known(true);
        member.behave(Behaviour::Member);
    }
    until(&client, &format!("the newest revision (seed {seed})"), || {
        epoch(&client) == Some(newest)
    });
}
