//! Copies, retries and coalescing.

use std::time::Duration;

use crate::hooks::schedule::retry_delay;
use crate::hooks::types::{EventFilter, EventType, FailureReason, Outcome};
use crate::model::RoleChange::{GainedPrimary, GainedReplica, LostCopy, LostPrimary};

use super::{
    OTHER_NODE, OWN_NODE, ScheduleFixture, change, complete, join, leader, leave, rejoin, revisions, start,
};

const PARTITION_CHANGES: EventFilter = EventFilter::only(EventType::PartitionChange);

#[test]
fn without_a_hook_an_own_gain_is_confirmed_at_once_and_nothing_else_is() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture
        .schedule
        .register(EventFilter::only(EventType::NodeJoin), ());
    let others = [
        change(1, OTHER_NODE, GainedReplica),
        change(1, OWN_NODE, GainedPrimary),
        change(1, OWN_NODE, LostCopy),
    ];
    fixture.push(others);
    assert!(fixture.copied.is_empty());
    let gain = fixture.push([change(2, OWN_NODE, GainedReplica)]);
    assert_eq!(fixture.copied, [gain]);
}

#[test]
fn a_copy_is_confirmed_once_when_every_registration_has_returned_success() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(PARTITION_CHANGES, ());
    fixture.schedule.register(EventFilter::ALL, ());
    let gain = fixture.push([change(1, OWN_NODE, GainedReplica)]);
    for job in fixture.start() {
        assert!(fixture.copied.is_empty());
        fixture.finish(job, Outcome::Done);
    }
    assert_eq!(fixture.copied, [gain]);
}

#[test]
fn a_failed_copy_is_retried_by_the_registration_that_failed_with_growing_delays() {
    let mut fixture = ScheduleFixture::new(50, 100);
    let failing = fixture.schedule.register(PARTITION_CHANGES, ());
    let fine = fixture.schedule.register(PARTITION_CHANGES, ());
    let gain = fixture.push([change(1, OWN_NODE, GainedReplica)]);
    for job in fixture.start() {
        let outcome = if job.hook_id == fine {
            Outcome::Done
        } else {
            Outcome::Panicked("oh".into())
        };
        fixture.finish(job, outcome);
    }
    for attempt in 2..=11 {
        let (_, delay) = fixture.retries[0];
        assert_eq!(delay, retry_delay(attempt - 1));
        fixture.retry_all();
        let mut again = fixture.start();
        assert_eq!(again.len(), 1);
        assert_eq!((again[0].hook_id, again[0].attempt), (failing, attempt));
        fixture.fail(again.remove(0));
    }
    assert_eq!(
        fixture.failed.last().unwrap().retry_in,
        Some(Duration::from_secs(30))
    );
    fixture.retry_all();
    let last = fixture.start().remove(0);
    fixture.finish(last, Outcome::Done);
    assert_eq!(fixture.copied, [gain]);
    let stats = fixture.schedule.stats().remove(0);
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
fn only_own_gains_are_retried() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(EventFilter::ALL, ());
    fixture.push([
        change(1, OTHER_NODE, GainedReplica),
        change(2, OWN_NODE, LostCopy),
        join("a"),
    ]);
    while let Some(job) = fixture.schedule.next_ready(1).pop() {
        fixture.fail(job);
    }
    assert_eq!(fixture.failed.len(), 3);
    assert!(fixture.retries.is_empty());
}

#[test]
fn a_copy_that_waits_for_its_retry_blocks_neither_queue_nor_barrier() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(EventFilter::ALL, ());
    fixture.push([
        change(1, OWN_NODE, GainedReplica),
        complete(),
        start(),
        change(2, OTHER_NODE, GainedReplica),
    ]);
    let copy = fixture.start().remove(0);
    fixture.fail(copy);
    assert_eq!(fixture.run_all(), [2, 3, 4]);
}

#[test]
fn a_retry_never_runs_beside_a_clean_up() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(PARTITION_CHANGES, ());
    fixture
        .schedule
        .register(EventFilter::only(EventType::NodeRejoin), ());
    fixture.push([change(1, OWN_NODE, GainedReplica)]);
    let copy = fixture.start().remove(0);
    fixture.fail(copy);
    fixture.push([rejoin(OWN_NODE)]);
    let clean_up = fixture.start().remove(0);
    fixture.retry_all();
    assert!(fixture.start().is_empty());
    fixture.finish(clean_up, Outcome::Done);
    assert_eq!(revisions(&fixture.start()), [1]);
}

#[test]
fn a_loss_cancels_the_gain_whether_it_is_queued_running_or_to_be_retried() {
    // The call is running: its success no longer counts.
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(PARTITION_CHANGES, ());
    fixture.push([change(1, OWN_NODE, GainedReplica)]);
    let copy = fixture.start().remove(0);
    let loss = fixture.push([change(1, OWN_NODE, LostCopy)]);
    fixture.finish(copy, Outcome::Done);
    assert_eq!(fixture.run_all(), [loss]);
    // A retry is pending: it is removed.
    fixture.push([change(1, OWN_NODE, GainedReplica)]);
    let copy = fixture.start().remove(0);
    fixture.fail(copy);
    let loss = fixture.push([change(1, OWN_NODE, LostCopy)]);
    fixture.retry_all();
    assert_eq!(fixture.run_all(), [loss]);
    // The event is queued: it is not delivered.
    fixture.push([change(1, OWN_NODE, GainedReplica)]);
    let loss = fixture.push([change(1, OWN_NODE, LostCopy)]);
    assert_eq!(fixture.run_all(), [loss]);
    assert!(fixture.copied.is_empty());
    assert_eq!(fixture.schedule.stats()[0].coalesced, 1);
}

#[test]
fn of_two_gains_only_the_later_is_confirmed() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(PARTITION_CHANGES, ());
    fixture.push([change(1, OWN_NODE, GainedReplica)]);
    let first = fixture.start().remove(0);
    let second = fixture.push([change(1, OWN_NODE, GainedReplica)]);
    fixture.finish(first, Outcome::Done);
    assert!(fixture.copied.is_empty());
    fixture.run_all();
    assert_eq!(fixture.copied, [second]);
}

#[test]
fn a_gained_primary_role_lets_the_running_copy_finish_but_allows_no_retry() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(PARTITION_CHANGES, ());
    // Old data must not be copied over what the primary has written.
    fixture.push([change(1, OWN_NODE, GainedReplica)]);
    let copy = fixture.start().remove(0);
    fixture.push([change(1, OWN_NODE, GainedPrimary)]);
    fixture.fail(copy);
    assert!(fixture.retries.is_empty());
    assert_eq!(fixture.run_all(), [2]);
    // A retry that waits in the queue already is removed.
    fixture.push([change(2, OWN_NODE, GainedReplica)]);
    let copy = fixture.start().remove(0);
    fixture.fail(copy);
    fixture.retry_all();
    let primary = fixture.push([change(2, OWN_NODE, GainedPrimary)]);
    assert_eq!(fixture.run_all(), [primary]);
    assert!(fixture.copied.is_empty());
    // A first call that has not started is made, then the one for the role, and the copy is confirmed.
    let gain = fixture.push([change(3, OWN_NODE, GainedReplica)]);
    let primary = fixture.push([change(3, OWN_NODE, GainedPrimary)]);
    assert_eq!(fixture.run_all(), [gain, primary]);
    assert_eq!(fixture.copied, [gain]);
}

#[test]
fn removing_a_hook_that_has_not_copied_confirms_nothing() {
    let mut fixture = ScheduleFixture::new(50, 100);
    let failing = fixture.schedule.register(PARTITION_CHANGES, ());
    let gain = fixture.push([change(1, OWN_NODE, GainedReplica)]);
    let copy = fixture.start().remove(0);
    fixture.fail(copy);
    fixture.schedule.unregister(failing);
    fixture.effects();
    assert!(fixture.copied.is_empty());
    let failure = fixture.failed.last().unwrap();
    assert_eq!(
        (failure.reason, failure.event.revision),
        (FailureReason::Unregistered, gain)
    );
    assert!(!fixture.schedule.is_concerned());
}

#[test]
fn a_running_copy_counts_although_its_hook_was_removed() {
    let mut fixture = ScheduleFixture::new(50, 100);
    let once = fixture.schedule.register(PARTITION_CHANGES, ());
    let gain = fixture.push([
        change(1, OWN_NODE, GainedReplica),
        change(2, OWN_NODE, GainedReplica),
    ]) - 1;
    let mut copies = fixture.start();
    fixture.schedule.unregister(once);
    fixture.effects();
    assert!(fixture.schedule.is_concerned(), "a loss must still be heard of");
    fixture.finish(copies.remove(0), Outcome::Done);
    fixture.fail(copies.remove(0));
    assert_eq!(fixture.copied, [gain]);
    assert!(fixture.retries.is_empty());
}

#[test]
fn a_call_that_the_runtime_dropped_is_not_retried() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(PARTITION_CHANGES, ());
    fixture.push([change(1, OWN_NODE, GainedReplica)]);
    let copy = fixture.start().remove(0);
    fixture.finish(copy, Outcome::Cancelled);
    assert_eq!(fixture.failed[0].reason, FailureReason::Cancelled);
    assert!(fixture.retries.is_empty() && fixture.copied.is_empty());
}

/// The changes of one partition on one node that are delivered when no call was started in between.
fn received(changes: &[crate::model::RoleChange]) -> Vec<crate::model::RoleChange> {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(PARTITION_CHANGES, ());
    fixture.push(changes.iter().map(|&what| change(1, OTHER_NODE, what)));
    let received = fixture.run_all();
    let coalesced = fixture.schedule.stats()[0].coalesced as usize;
    assert_eq!(
        received.len() + coalesced,
        changes.len(),
        "nothing goes uncounted"
    );
    received
        .into_iter()
        .map(|revision| changes[revision as usize - 1])
        .collect()
}

#[test]
fn a_superseded_gain_is_dropped_and_a_loss_is_always_delivered() {
    assert_eq!(received(&[GainedReplica, LostCopy]), [LostCopy]);
    assert_eq!(
        received(&[GainedReplica, GainedPrimary]),
        [GainedReplica, GainedPrimary]
    );
    assert_eq!(
        received(&[GainedReplica, GainedPrimary, LostPrimary]),
        [GainedReplica, LostPrimary]
    );
    assert_eq!(
        received(&[GainedReplica, GainedPrimary, LostPrimary, LostCopy]),
        [LostCopy]
    );
    assert_eq!(
        received(&[LostPrimary, GainedPrimary]),
        [LostPrimary, GainedPrimary]
    );
    assert_eq!(received(&[LostCopy, GainedReplica, LostCopy]), [LostCopy]);
    assert_eq!(received(&[LostCopy, GainedReplica]), [LostCopy, GainedReplica]);
    assert_eq!(received(&[GainedPrimary, GainedReplica]), [GainedReplica]);
    assert_eq!(received(&[GainedPrimary, GainedPrimary]), [GainedPrimary]);
}

#[test]
fn a_copy_whose_role_came_before_its_hook_failed_is_abandoned_once() {
    // The hook fails after the role has come, or had failed before and waits for its retry.
    for role_first in [true, false] {
        let mut fixture = ScheduleFixture::new(50, 100);
        fixture.schedule.register(EventFilter::ALL, ());
        fixture.push([change(1, OWN_NODE, GainedReplica)]);
        let call = fixture.start().remove(0);
        if role_first {
            fixture.push([change(1, OWN_NODE, GainedPrimary)]);
            fixture.fail(call);
        } else {
            fixture.fail(call);
            fixture.push([change(1, OWN_NODE, GainedPrimary)]);
        }
        assert_eq!(fixture.abandoned, [1], "role first: {role_first}");
        assert_eq!(fixture.copied, [] as [u64; 0]);
        fixture.run_all();
        assert_eq!(fixture.abandoned, [1]);
        // What is over says nothing: the copy is gone, or starts over with a gain of its own.
        fixture.push([change(2, OWN_NODE, GainedReplica)]);
        let call = fixture.start().remove(0);
        fixture.fail(call);
        fixture.push([change(2, OWN_NODE, LostCopy)]);
        assert_eq!(fixture.abandoned, [1]);
    }
}

#[test]
fn at_most_four_changes_wait_for_one_partition_and_node() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(EventFilter::ALL, ());
    fixture.push([join("a")]);
    let _barrier = fixture.start();
    for round in 0..1000_u64 {
        let what =
            [GainedReplica, GainedPrimary, LostPrimary, LostCopy][(round * 3 + round / 5) as usize % 4];
        fixture.push([change(1, OTHER_NODE, what), change(1, OWN_NODE, what)]);
        assert!(fixture.schedule.stats()[0].queued <= 8);
    }
}

#[test]
fn other_events_coalesce_only_above_the_high_water_mark() {
    let mut fixture = ScheduleFixture::new(50, 3);
    fixture.schedule.register(EventFilter::ALL, ());
    fixture.push([leader(1), leader(2), leader(3)]);
    assert_eq!(fixture.schedule.stats()[0].coalesced, 0);
    fixture.push([leader(4)]);
    assert_eq!(fixture.run_all(), [4]);
    assert_eq!(fixture.schedule.stats()[0].coalesced, 3);
}

#[test]
fn joins_and_leaves_of_a_node_coalesce_to_the_last_ones() {
    let mut fixture = ScheduleFixture::new(50, 1);
    fixture.schedule.register(EventFilter::ALL, ());
    fixture.push([
        leader(1),
        join("a"),
        join("b"),
        leave("a"),
        rejoin("a"),
        leave("a"),
        rejoin("a"),
    ]);
    assert_eq!(fixture.run_all(), [1, 3, 6, 7]);
    fixture.push([leader(2), rejoin(OWN_NODE), leave(OWN_NODE), rejoin(OWN_NODE)]);
    assert_eq!(fixture.run_all(), [8, 9, 10, 11], "own rejoins stay");
}

#[test]
fn rebalances_stay_paired_when_they_coalesce() {
    let mut fixture = ScheduleFixture::new(50, 2);
    fixture.schedule.register(EventFilter::ALL, ());
    let starts = fixture
        .schedule
        .register(EventFilter::only(EventType::RebalanceStart), ());
    fixture.push([
        start(),
        complete(),
        change(1, OTHER_NODE, GainedReplica),
        start(),
        complete(),
        start(),
        complete(),
    ]);
    let mut received = Vec::new();
    let mut starts_told = 0;
    while let Some(job) = fixture.schedule.next_ready(1).pop() {
        if job.hook_id == starts {
            starts_told += 1;
        } else {
            received.push(job.event.revision);
        }
        fixture.finish(job, Outcome::Done);
    }
    assert_eq!(received, [1, 3, 7]);
    assert_eq!(starts_told, 3, "who hears only one half hears all of it");
}
