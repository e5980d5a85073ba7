//! The faults that are planted in ck-core (feature `planted-bugs`), and the hunt for them.
//!
//! Each is one line that a person might write. What the simulation does not find is a hole in the simulation.

#[cfg(feature = "planted-bugs")]
use crate::invariants::Violation;
#[cfg(feature = "planted-bugs")]
use crate::plan::Plan;

/// One planted fault.
#[derive(Debug, Clone, Copy)]
pub struct Bug {
    /// Its name, in `planted("...")`.
    pub name: &'static str,
    /// What it breaks.
    pub breaks: &'static str,
    /// Within so many seeds it must be found.
    pub within: u64,
}

const fn bug(name: &'static str, within: u64, breaks: &'static str) -> Bug {
    Bug { name, breaks, within }
}

/// All of them.
pub const BUGS: &[Bug] = &[
    bug(
        "vote-without-guard",
        400,
        "a restarted voter votes inside the lease that it forgot (trap 1)",
    ),
    bug(
        "flip-in-one-commit",
        200,
        "the role goes to the new primary although the old one has not heard of it",
    ),
    bug(
        "acknowledge-before-fsync",
        200,
        "entries are acknowledged before they are durable",
    ),
    bug(
        "forget-request-id",
        200,
        "a retry is a new request to the state machine",
    ),
    bug(
        "promote-unsynced",
        200,
        "the role is granted to a copy without the data",
    ),
    bug(
        "drop-an-event",
        50,
        "one event in a hundred is not told by one node",
    ),
    bug(
        "leader-without-lease",
        200,
        "a node leads for as long as Raft calls it leader",
    ),
    bug(
        "lease-too-long",
        400,
        "the leader counts its lease four times as long as voters keep it",
    ),
    bug(
        "lease-from-receipt",
        400,
        "a lease counts from when its answer came, not from when it was asked for",
    ),
    bug(
        "lease-before-applied",
        200,
        "a lease counts before its holder has applied what it names",
    ),
    bug(
        "fail-the-leased",
        100,
        "a silent node is failed while its lease may count",
    ),
    bug(
        "grant-what-is-leased",
        100,
        "a role is granted although its former holder may think that it has it",
    ),
    bug(
        "remove-the-leased",
        200,
        "a living node is removed without taking its lease back",
    ),
    bug("lose-a-vote", 60, "the vote is not made durable"),
    bug(
        "ignore-planned-on",
        400,
        "plans that are out of date are carried out",
    ),
    bug(
        "events-out-of-order",
        50,
        "the events of a batch are told backwards",
    ),
    bug(
        "skip-truncate",
        200,
        "entries that conflict with the leader's stay in the log",
    ),
    bug(
        "confirm-any-incarnation",
        400,
        "a dead process confirms copies for the living one",
    ),
    bug(
        "reuse-raft-id",
        200,
        "a node without its log gets its old number in Raft back",
    ),
    bug("read-without-quorum", 60, "a linearizable read asks no quorum"),
    bug(
        "act-before-admission",
        200,
        "a restarted process acts as what its former self was",
    ),
    bug("swap-blindly", 60, "a conditional write does not look"),
    bug(
        "confirm-failed-copy",
        200,
        "a copy whose hook failed counts as made",
    ),
    bug(
        "snapshot-tells-nothing",
        100,
        "what was skipped by a snapshot is not told",
    ),
    bug(
        "epoch-stands-still",
        100,
        "a partition's epoch does not grow with a new primary",
    ),
];

/// Looks for a planted fault; gives how many seeds it took and what was seen.
#[cfg(feature = "planted-bugs")]
pub fn hunt(bug: &Bug, first_seed: u64) -> Option<(u64, Violation)> {
    ck_core::planted::plant(bug.name);
    let mut found = None;
    for i in 0..bug.within {
        let plan = Plan::draw(first_seed + i);
        if let Some(violation) = crate::run::run(&plan).violation {
            // It was found only where the seed is fine without it.
            ck_core::planted::plant("");
            let clean = crate::run::run(&plan).violation.is_none();
            ck_core::planted::plant(bug.name);
            if clean {
                found = Some((i + 1, violation));
                break;
            }
        }
    }
    ck_core::planted::plant("");
    found
}
