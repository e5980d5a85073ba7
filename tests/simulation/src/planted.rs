//! The faults that are planted in ck-core (feature `planted-bugs`), and the hunt for them.
//!
//! Each is one line that a person might write. What the simulation does not find is a hole in the simulation.

#[cfg(feature = "planted-bugs")]
use crate::invariants::Violation;
use crate::plan::Menu;
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
    /// So many seeds are left out at the beginning: one that is rare is looked for where it was found last, so that the
    /// hunt does not take as long as all others together. When the code changes it is somewhere else, and takes longer.
    pub skip: u64,
    /// Plans that can show it; others are passed over.
    pub shows: fn(&Menu) -> bool,
    /// It shows only over connections. What shows without them is looked for without them: such a run takes a third of the time.
    pub over_connections: bool,
}

const fn bug(name: &'static str, within: u64, breaks: &'static str) -> Bug {
    Bug {
        name,
        breaks,
        within,
        skip: 0,
        shows: |_| true,
        over_connections: false,
    }
}

impl Bug {
    const fn after(self, skip: u64) -> Bug {
        Bug { skip, ..self }
    }

    const fn over_connections(self) -> Bug {
        Bug {
            over_connections: true,
            ..self
        }
    }

    const fn shown_by(self, shows: fn(&Menu) -> bool) -> Bug {
        Bug { shows, ..self }
    }
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
        20,
        "the role goes to the new primary although the old one has not heard of it",
    ),
    bug(
        "acknowledge-before-fsync",
        20,
        "entries are acknowledged before they are durable",
    ),
    bug(
        "forget-request-id",
        40,
        "a retry is a new request to the state machine",
    ),
    bug(
        "promote-unsynced",
        60,
        "the role is granted to a copy without the data",
    ),
    bug(
        "drop-an-event",
        20,
        "one event in a hundred is not told by one node",
    ),
    bug(
        "leader-without-lease",
        40,
        "a node leads for as long as Raft calls it leader",
    ),
    bug(
        "leader-by-raft",
        40,
        "a node names a leader for as long as Raft does, dead or not",
    ),
    bug(
        "lease-too-long",
        60,
        "the leader counts its lease four times as long as voters keep it",
    ),
    bug(
        "lease-by-openraft",
        400,
        "the leader's lease counts from a request that nobody acknowledged",
    ),
    bug(
        "lease-from-receipt",
        400,
        "a lease counts from when its answer came, not from when it was asked for",
    )
    .after(150),
    bug(
        "lease-before-applied",
        500,
        "a lease counts before its holder has applied what it names",
    ),
    bug(
        "fail-the-leased",
        40,
        "a silent node is failed while its lease may count",
    ),
    bug(
        "grant-what-is-leased",
        40,
        "a role is granted although its former holder may think that it has it",
    ),
    bug(
        "remove-the-leased",
        150,
        "a living node is removed without taking its lease back",
    ),
    bug(
        "act-before-leased-for-it",
        400,
        "a role is acted on under a lease from before it was given, so that it seems to be without effect",
    )
    .shown_by(|menu| menu.heirs),
    bug(
        "acted-on-nothing",
        100,
        "the leader takes every role of a node that fails for one without effect",
    ),
    bug(
        "remove-the-last",
        200,
        "the last holder that counts is removed, and who has the data counts no more",
    ),
    bug(
        "confirm-without-a-hook",
        60,
        "a copy that was confirmed before there was a hook counts like any other",
    ),
    bug(
        "late-hook-hears-nothing",
        20,
        "a hook that is registered on a running node is not told what the node holds",
    ),
    bug("lose-a-vote", 60, "the vote is not made durable"),
    bug(
        "events-out-of-order",
        20,
        "the events of a batch are told backwards",
    ),
    bug(
        "skip-truncate",
        40,
        "entries that conflict with the leader's stay in the log",
    ),
    bug(
        "reuse-raft-id",
        400,
        "a node without its log gets its old number in Raft back",
    ),
    bug("read-without-quorum", 60, "a linearizable read asks no quorum"),
    bug(
        "read-by-openraft",
        600,
        "a linearizable read is confirmed by an answer to an earlier question",
    ),
    bug(
        "forget-ended-session",
        600,
        "what was answered to a process that was taken out is forgotten with its session",
    ),
    bug(
        "refusal-hides-unknown",
        400,
        "a refusal is told although an earlier attempt may have been carried out",
    ),
    bug(
        "late-timers-count",
        600,
        "time in which a node did not run counts as silence of the others",
    )
    .shown_by(Menu::is_late_only),
    bug("swap-blindly", 20, "a conditional write does not look"),
    bug(
        "confirm-failed-copy",
        60,
        "a copy whose hook failed counts as made",
    ),
    bug(
        "snapshot-tells-nothing",
        60,
        "what was skipped by a snapshot is not told",
    ),
    bug(
        "forget-addresses",
        150,
        "an address that worked is not used while its name does not resolve",
    ),
    bug(
        "call-when-needed",
        150,
        "survivors connect with each other only when a leader has died",
    ),
    bug(
        "silence-of-a-call",
        60,
        "a peer's silence counts from the last call, which is given up before it adds up",
    )
    .over_connections(),
    bug(
        "append-in-a-heartbeat",
        60,
        "an append has the heartbeat interval whatever its size, and a late answer is thrown away",
    )
    .over_connections(),
    bug(
        "epoch-stands-still",
        20,
        "a partition's epoch does not grow with a new primary",
    ),
];

/// Looks for a planted fault; gives the how many-th seed showed it, and what was seen.
#[cfg(feature = "planted-bugs")]
pub fn hunt(bug: &Bug, first_seed: u64) -> Option<(u64, Violation)> {
    clusterkit::planted::plant(bug.name);
    let mut found = None;
    for i in bug.skip..bug.skip + bug.within {
        let drawn = Plan::draw(first_seed + i);
        let plan = match bug.over_connections {
            true => drawn,
            false => drawn.without_connections(),
        };
        if !(bug.shows)(&plan.menu) || plan.connections != bug.over_connections {
            continue;
        }
        if let Some(violation) = crate::run::run(&plan).violation {
            // It was found only where the seed is fine without it.
            clusterkit::planted::plant("");
            let clean = crate::run::run(&plan).violation.is_none();
            clusterkit::planted::plant(bug.name);
            if clean {
                found = Some((i + 1, violation));
                break;
            }
        }
    }
    clusterkit::planted::plant("");
    found
}
