//! Copies, retries and coalescing.

use std::time::Duration;

use crate::hooks::schedule::retry_delay;
use crate::hooks::types::{EventFilter, EventType, FailureReason, Outcome};
use crate::model::RoleChange::{GainedPrimary, GainedReplica, LostCopy, LostPrimary};

use super::{Bench, ME, OTHER, change, complete, join, leader, leave, rejoin, revisions, start};

const CHANGES: EventFilter = EventFilter::only(EventType::PartitionChange);

#[test]
fn without_a_hook_an_own_gain_is_confirmed_at_once_and_nothing_else_is() {
    let mut bench = Bench::new(50, 100);
    bench
        .schedule
        .register(EventFilter::only(EventType::NodeJoin), ());
    let others = [
        change(1, OTHER, GainedReplica),
        change(1, ME, GainedPrimary),
        change(1, ME, LostCopy),
    ];
    bench.push(others);
    assert!(bench.copied.is_empty());
    let gain = bench.push([change(2, ME, GainedReplica)]);
    assert_eq!(bench.copied, [gain]);
}

#[test]
fn a_copy_is_confirmed_once_when_every_registration_has_returned_success() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(CHANGES, ());
    bench.schedule.register(EventFilter::ALL, ());
    let gain = bench.push([change(1, ME, GainedReplica)]);
    for job in bench.start() {
        assert!(bench.copied.is_empty());
        bench.finish(job, Outcome::Done);
    }
    assert_eq!(bench.copied, [gain]);
}

#[test]
fn a_failed_copy_is_tried_again_by_the_registration_that_failed_with_growing_delays() {
    let mut bench = Bench::new(50, 100);
    let failing = bench.schedule.register(CHANGES, ());
    let fine = bench.schedule.register(CHANGES, ());
    let gain = bench.push([change(1, ME, GainedReplica)]);
    for job in bench.start() {
        let outcome = if job.hook_id == fine {
            Outcome::Done
        } else {
            Outcome::Panicked("oh".into())
        };
        bench.finish(job, outcome);
    }
    for attempt in 2..=11 {
        let (_, delay) = bench.retries[0];
        assert_eq!(delay, retry_delay(attempt - 1));
        bench.retry_all();
        let mut again = bench.start();
        assert_eq!(again.len(), 1);
        assert_eq!((again[0].hook_id, again[0].attempt), (failing, attempt));
        bench.fail(again.remove(0));
    }
    assert_eq!(
        bench.failed.last().unwrap().retry_in,
        Some(Duration::from_secs(30))
    );
    bench.retry_all();
    let last = bench.start().remove(0);
    bench.finish(last, Outcome::Done);
    assert_eq!(bench.copied, [gain]);
    let stats = bench.schedule.stats().remove(0);
    assert_eq!(
        (stats.calls, stats.failures, stats.panics, stats.retries),
        (12, 11, 1, 11)
    );
}

#[test]
fn delays_double_from_100_ms_to_30_s() {
    let delays: Vec<u128> = (1..=11).map(|attempt| retry_delay(attempt).as_millis()).collect();
    let expected = [
        100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000,
    ];
    assert_eq!(delays, expected);
    assert_eq!(retry_delay(u32::MAX), Duration::from_secs(30));
}

#[test]
fn only_own_gains_are_tried_again() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(EventFilter::ALL, ());
    bench.push([
        change(1, OTHER, GainedReplica),
        change(2, ME, LostCopy),
        join("a"),
    ]);
    while let Some(job) = bench.schedule.next_ready(1).pop() {
        bench.fail(job);
    }
    assert_eq!(bench.failed.len(), 3);
    assert!(bench.retries.is_empty());
}

#[test]
fn a_copy_that_waits_to_be_tried_again_holds_neither_queue_nor_fence() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(EventFilter::ALL, ());
    bench.push([
        change(1, ME, GainedReplica),
        complete(),
        start(),
        change(2, OTHER, GainedReplica),
    ]);
    let copy = bench.start().remove(0);
    bench.fail(copy);
    assert_eq!(bench.run_all(), [2, 3, 4]);
}

#[test]
fn a_second_try_never_runs_beside_a_clean_up() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(CHANGES, ());
    bench
        .schedule
        .register(EventFilter::only(EventType::NodeRejoin), ());
    bench.push([change(1, ME, GainedReplica)]);
    let copy = bench.start().remove(0);
    bench.fail(copy);
    bench.push([rejoin(ME)]);
    let clean_up = bench.start().remove(0);
    bench.retry_all();
    assert!(bench.start().is_empty());
    bench.finish(clean_up, Outcome::Done);
    assert_eq!(revisions(&bench.start()), [1]);
}

#[test]
fn a_loss_cancels_the_gain_whether_it_waits_runs_or_is_to_be_tried_again() {
    // The call is running: its success no longer counts.
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(CHANGES, ());
    bench.push([change(1, ME, GainedReplica)]);
    let copy = bench.start().remove(0);
    let loss = bench.push([change(1, ME, LostCopy)]);
    bench.finish(copy, Outcome::Done);
    assert_eq!(bench.run_all(), [loss]);
    // A retry is pending: it is removed.
    bench.push([change(1, ME, GainedReplica)]);
    let copy = bench.start().remove(0);
    bench.fail(copy);
    let loss = bench.push([change(1, ME, LostCopy)]);
    bench.retry_all();
    assert_eq!(bench.run_all(), [loss]);
    // The event is queued: it is not delivered.
    bench.push([change(1, ME, GainedReplica)]);
    let loss = bench.push([change(1, ME, LostCopy)]);
    assert_eq!(bench.run_all(), [loss]);
    assert!(bench.copied.is_empty());
    assert_eq!(bench.schedule.stats()[0].coalesced, 1);
}

#[test]
fn of_two_gains_only_the_later_is_confirmed() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(CHANGES, ());
    bench.push([change(1, ME, GainedReplica)]);
    let first = bench.start().remove(0);
    let second = bench.push([change(1, ME, GainedReplica)]);
    bench.finish(first, Outcome::Done);
    assert!(bench.copied.is_empty());
    bench.run_all();
    assert_eq!(bench.copied, [second]);
}

#[test]
fn becoming_primary_lets_the_first_copy_go_on_but_allows_no_second() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(CHANGES, ());
    // Old data must not be copied over what the primary has written.
    bench.push([change(1, ME, GainedReplica)]);
    let copy = bench.start().remove(0);
    bench.push([change(1, ME, GainedPrimary)]);
    bench.fail(copy);
    assert!(bench.retries.is_empty());
    assert_eq!(bench.run_all(), [2]);
    // A retry that waits in the queue already is removed.
    bench.push([change(2, ME, GainedReplica)]);
    let copy = bench.start().remove(0);
    bench.fail(copy);
    bench.retry_all();
    let primary = bench.push([change(2, ME, GainedPrimary)]);
    assert_eq!(bench.run_all(), [primary]);
    assert!(bench.copied.is_empty());
    // A first call that has not started is made, then the one for the role, and the copy is confirmed.
    let gain = bench.push([change(3, ME, GainedReplica)]);
    let primary = bench.push([change(3, ME, GainedPrimary)]);
    assert_eq!(bench.run_all(), [gain, primary]);
    assert_eq!(bench.copied, [gain]);
}

#[test]
fn removing_the_hook_that_has_not_copied_confirms_nothing() {
    let mut bench = Bench::new(50, 100);
    let failing = bench.schedule.register(CHANGES, ());
    let gain = bench.push([change(1, ME, GainedReplica)]);
    let copy = bench.start().remove(0);
    bench.fail(copy);
    bench.schedule.unregister(failing);
    bench.effects();
    assert!(bench.copied.is_empty());
    let failure = bench.failed.last().unwrap();
    assert_eq!(
        (failure.reason, failure.event.revision),
        (FailureReason::Unregistered, gain)
    );
    assert!(!bench.schedule.is_concerned());
}

#[test]
fn a_copy_under_way_counts_although_its_hook_was_removed() {
    let mut bench = Bench::new(50, 100);
    let once = bench.schedule.register(CHANGES, ());
    let gain = bench.push([change(1, ME, GainedReplica), change(2, ME, GainedReplica)]) - 1;
    let mut copies = bench.start();
    bench.schedule.unregister(once);
    bench.effects();
    assert!(bench.schedule.is_concerned(), "a loss must still be heard of");
    bench.finish(copies.remove(0), Outcome::Done);
    bench.fail(copies.remove(0));
    assert_eq!(bench.copied, [gain]);
    assert!(bench.retries.is_empty());
}

#[test]
fn a_call_that_the_runtime_dropped_is_not_tried_again() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(CHANGES, ());
    bench.push([change(1, ME, GainedReplica)]);
    let copy = bench.start().remove(0);
    bench.finish(copy, Outcome::Cancelled);
    assert_eq!(bench.failed[0].reason, FailureReason::Cancelled);
    assert!(bench.retries.is_empty() && bench.copied.is_empty());
}

/// The changes of one partition on one node that are delivered when no call was started in between.
fn told(changes: &[crate::model::RoleChange]) -> Vec<crate::model::RoleChange> {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(CHANGES, ());
    bench.push(changes.iter().map(|&what| change(1, OTHER, what)));
    let told = bench.run_all();
    let coalesced = bench.schedule.stats()[0].coalesced as usize;
    assert_eq!(told.len() + coalesced, changes.len(), "nothing goes uncounted");
    told.into_iter()
        .map(|revision| changes[revision as usize - 1])
        .collect()
}

#[test]
fn a_superseded_gain_vanishes_and_a_loss_is_always_told() {
    assert_eq!(told(&[GainedReplica, LostCopy]), [LostCopy]);
    assert_eq!(
        told(&[GainedReplica, GainedPrimary]),
        [GainedReplica, GainedPrimary]
    );
    assert_eq!(
        told(&[GainedReplica, GainedPrimary, LostPrimary]),
        [GainedReplica, LostPrimary]
    );
    assert_eq!(
        told(&[GainedReplica, GainedPrimary, LostPrimary, LostCopy]),
        [LostCopy]
    );
    assert_eq!(told(&[LostPrimary, GainedPrimary]), [LostPrimary, GainedPrimary]);
    assert_eq!(told(&[LostCopy, GainedReplica, LostCopy]), [LostCopy]);
    assert_eq!(told(&[LostCopy, GainedReplica]), [LostCopy, GainedReplica]);
    assert_eq!(told(&[GainedPrimary, GainedReplica]), [GainedReplica]);
    assert_eq!(told(&[GainedPrimary, GainedPrimary]), [GainedPrimary]);
}

#[test]
fn a_copy_whose_role_came_before_its_hook_failed_is_abandoned_once() {
    // The hook fails after the role has come, or had failed before and waits for its retry.
    for role_first in [true, false] {
        let mut bench = Bench::new(50, 100);
        bench.schedule.register(EventFilter::ALL, ());
        bench.push([change(1, ME, GainedReplica)]);
        let call = bench.start().remove(0);
        if role_first {
            bench.push([change(1, ME, GainedPrimary)]);
            bench.fail(call);
        } else {
            bench.fail(call);
            bench.push([change(1, ME, GainedPrimary)]);
        }
        assert_eq!(bench.abandoned, [1], "role first: {role_first}");
        assert_eq!(bench.copied, [] as [u64; 0]);
        bench.run_all();
        assert_eq!(bench.abandoned, [1]);
        // What is over says nothing: the copy is gone, or starts over with a gain of its own.
        bench.push([change(2, ME, GainedReplica)]);
        let call = bench.start().remove(0);
        bench.fail(call);
        bench.push([change(2, ME, LostCopy)]);
        assert_eq!(bench.abandoned, [1]);
    }
}

#[test]
fn at_most_four_changes_wait_for_one_partition_and_node() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(EventFilter::ALL, ());
    bench.push([join("a")]);
    let _barrier = bench.start();
    for round in 0..1000_u64 {
        let what =
            [GainedReplica, GainedPrimary, LostPrimary, LostCopy][(round * 3 + round / 5) as usize % 4];
        bench.push([change(1, OTHER, what), change(1, ME, what)]);
        assert!(bench.schedule.stats()[0].queued <= 8);
    }
}

#[test]
fn other_events_coalesce_only_above_the_high_water_mark() {
    let mut bench = Bench::new(50, 3);
    bench.schedule.register(EventFilter::ALL, ());
    bench.push([leader(1), leader(2), leader(3)]);
    assert_eq!(bench.schedule.stats()[0].coalesced, 0);
    bench.push([leader(4)]);
    assert_eq!(bench.run_all(), [4]);
    assert_eq!(bench.schedule.stats()[0].coalesced, 3);
}

#[test]
fn a_nodes_comings_and_goings_coalesce_to_the_last_ones() {
    let mut bench = Bench::new(50, 1);
    bench.schedule.register(EventFilter::ALL, ());
    bench.push([
        leader(1),
        join("a"),
        join("b"),
        leave("a"),
        rejoin("a"),
        leave("a"),
        rejoin("a"),
    ]);
    assert_eq!(bench.run_all(), [1, 3, 6, 7]);
    bench.push([leader(2), rejoin(ME), leave(ME), rejoin(ME)]);
    assert_eq!(bench.run_all(), [8, 9, 10, 11], "own rejoins stay");
}

#[test]
fn rebalances_stay_paired_when_they_coalesce() {
    let mut bench = Bench::new(50, 2);
    bench.schedule.register(EventFilter::ALL, ());
    let starts = bench
        .schedule
        .register(EventFilter::only(EventType::RebalanceStart), ());
    bench.push([
        start(),
        complete(),
        change(1, OTHER, GainedReplica),
        start(),
        complete(),
        start(),
        complete(),
    ]);
    let mut told = Vec::new();
    let mut starts_told = 0;
    while let Some(job) = bench.schedule.next_ready(1).pop() {
        if job.hook_id == starts {
            starts_told += 1;
        } else {
            told.push(job.event.revision);
        }
        bench.finish(job, Outcome::Done);
    }
    assert_eq!(told, [1, 3, 7]);
    assert_eq!(starts_told, 3, "who hears only one half hears all of it");
}
