//! The order of calls: which call may start when.

use crate::hooks::types::{EventFilter, EventType, Outcome};
use crate::model::EventKind;
use crate::model::RoleChange::{GainedPrimary, GainedReplica};

use super::{Bench, ME, OTHER, change, complete, join, leader, rejoin, revisions, start};

const CHANGES: EventFilter = EventFilter::only(EventType::PartitionChange);

#[test]
fn consecutive_partition_changes_run_together_and_other_events_are_barriers() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(EventFilter::ALL, ());
    let gain = |number| change(number, OTHER, GainedReplica);
    bench.push([join("a"), gain(1), gain(2), leader(1), gain(3)]);

    let first = bench.start();
    assert_eq!(revisions(&first), [1]);
    first.into_iter().for_each(|job| bench.finish(job, Outcome::Done));
    let mut batch = bench.start();
    assert_eq!(revisions(&batch), [2, 3]);
    bench.finish(batch.remove(0), Outcome::Done);
    assert!(bench.start().is_empty(), "a barrier waits for the whole batch");
    bench.finish(batch.remove(0), Outcome::Done);
    let barrier = bench.start();
    assert_eq!(revisions(&barrier), [4]);
    assert!(bench.start().is_empty(), "nothing passes a barrier that runs");
    barrier
        .into_iter()
        .for_each(|job| bench.finish(job, Outcome::Done));
    assert_eq!(revisions(&bench.start()), [5]);
}

#[test]
fn a_change_joins_the_batch_that_runs() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(CHANGES, ());
    bench.push([change(1, OTHER, GainedReplica)]);
    assert_eq!(revisions(&bench.start()), [1]);
    bench.push([change(2, OTHER, GainedReplica)]);
    assert_eq!(revisions(&bench.start()), [2]);
}

#[test]
fn changes_of_one_partition_are_told_one_after_the_other() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(CHANGES, ());
    let same = [change(1, OTHER, GainedReplica), change(1, OTHER, GainedPrimary)];
    bench.push(same.into_iter().chain([change(2, OTHER, GainedReplica)]));
    let mut jobs = bench.start();
    assert_eq!(revisions(&jobs), [1, 3]);
    bench.finish(jobs.remove(0), Outcome::Done);
    assert_eq!(revisions(&bench.start()), [2]);
}

#[test]
fn a_rejoins_clean_up_returns_before_any_registrations_first_copy() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(CHANGES, ());
    bench
        .schedule
        .register(EventFilter::only(EventType::NodeRejoin), ());
    bench.push([rejoin(ME), change(1, ME, GainedReplica)]);
    let mut clean_up = bench.start();
    assert_eq!(revisions(&clean_up), [1]);
    assert!(bench.start().is_empty());
    bench.finish(clean_up.remove(0), Outcome::Done);
    assert_eq!(revisions(&bench.start()), [2]);
}

#[test]
fn rebalance_start_returns_before_the_copies_and_complete_starts_after_them() {
    let mut bench = Bench::new(50, 100);
    for event_type in [
        EventType::RebalanceComplete,
        EventType::PartitionChange,
        EventType::RebalanceStart,
    ] {
        bench.schedule.register(EventFilter::only(event_type), ());
    }
    bench.push([
        start(),
        change(1, ME, GainedReplica),
        change(2, ME, GainedReplica),
        complete(),
    ]);
    let mut begun = bench.start();
    assert_eq!(revisions(&begun), [1]);
    bench.finish(begun.remove(0), Outcome::Done);
    let mut copies = bench.start();
    assert_eq!(revisions(&copies), [2, 3]);
    bench.finish(copies.remove(0), Outcome::Done);
    assert!(bench.start().is_empty());
    bench.finish(copies.remove(0), Outcome::Done);
    assert_eq!(revisions(&bench.start()), [4]);
}

#[test]
fn a_clean_up_waits_for_copies_under_way_in_other_registrations() {
    let mut bench = Bench::new(50, 100);
    bench
        .schedule
        .register(EventFilter::only(EventType::NodeRejoin), ());
    bench.schedule.register(CHANGES, ());
    bench.push([change(1, ME, GainedReplica), rejoin(ME)]);
    let mut copy = bench.start();
    assert_eq!(revisions(&copy), [1]);
    bench.finish(copy.remove(0), Outcome::Done);
    assert_eq!(revisions(&bench.start()), [2]);
}

#[test]
fn a_slow_hook_delays_its_own_queue_only() {
    let mut bench = Bench::new(50, 100);
    let slow = bench.schedule.register(EventFilter::ALL, ());
    let quick = bench.schedule.register(EventFilter::ALL, ());
    bench.push([join("a")]);
    let mut jobs = bench.start();
    let index = jobs.iter().position(|job| job.hook_id == quick).unwrap();
    bench.finish(jobs.remove(index), Outcome::Done);
    bench.push([leader(1), change(1, OTHER, GainedReplica), leader(2)]);
    assert_eq!(bench.run_all(), [2, 3, 4], "the quick one goes on");
    let stats = bench.schedule.stats();
    assert_eq!((stats[0].hook, stats[0].queued, stats[0].running), (slow, 3, 1));
    assert_eq!((stats[1].calls, stats[1].queued), (4, 0));
}

#[test]
fn hung_changes_of_one_registration_leave_room_for_another() {
    let mut bench = Bench::new(4, 100);
    let hung = bench.schedule.register(CHANGES, ());
    let other = bench.schedule.register(CHANGES, ());
    bench.push((0..8).map(|number| change(number, OTHER, GainedReplica)));
    let jobs = bench.start();
    assert_eq!(jobs.iter().filter(|job| job.hook_id == hung).count(), 3);
    assert_eq!(jobs.iter().filter(|job| job.hook_id == other).count(), 1);
}

#[test]
fn no_more_changes_run_than_allowed() {
    let mut bench = Bench::new(3, 100);
    bench.schedule.register(CHANGES, ());
    bench.push((0..8).map(|number| change(number, OTHER, GainedReplica)));
    let mut jobs = bench.start();
    assert_eq!(revisions(&jobs), [1, 2, 3]);
    bench.finish(jobs.remove(1), Outcome::Done);
    assert_eq!(revisions(&bench.start()), [4]);
}

#[test]
fn removing_a_hook_lets_those_go_on_that_waited_for_its_queue() {
    let mut bench = Bench::new(50, 100);
    let clean_up = bench.schedule.register(EventFilter::ALL, ());
    bench.schedule.register(CHANGES, ());
    bench.push([leader(1), rejoin(ME), change(1, OTHER, GainedReplica)]);
    let running = bench.start();
    assert_eq!(revisions(&running), [1]);
    assert!(bench.schedule.unregister(clean_up).is_some());
    assert_eq!(revisions(&bench.start()), [3], "the clean-up will not be called");
    assert_eq!(
        bench.schedule.calls_of(clean_up),
        1,
        "its call for the leader goes on"
    );
}

#[test]
fn a_hook_hears_nothing_from_before_it_was_registered() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(EventFilter::ALL, ());
    bench.push([join("a")]);
    let late = bench.schedule.register(EventFilter::ALL, ());
    bench.push([join("b")]);
    let told: Vec<_> = std::iter::from_fn(|| {
        let job = bench.schedule.next_ready(1).pop()?;
        let told = (job.hook_id, job.event.revision);
        bench.finish(job, Outcome::Done);
        Some(told)
    })
    .collect();
    let late_ones: Vec<_> = told.iter().filter(|(id, _)| *id == late).collect();
    assert_eq!(late_ones, [&(late, 2)]);
    assert_eq!(told.len(), 3);
}

/// Every kind of event that takes part in the fence, and one that is a barrier only.
fn movement() -> [EventKind; 5] {
    [
        rejoin(ME),
        start(),
        change(1, ME, GainedReplica),
        complete(),
        leader(1),
    ]
}

#[test]
fn who_observes_and_does_not_return_delays_nobody_and_vetoes_nothing() {
    // Even where one call may run at a time, an observer must not take that place.
    for concurrency in [1, 50] {
        for observers in [1, 3] {
            let mut bench = Bench::new(concurrency, 100);
            for _ in 0..observers {
                bench.schedule.observe(EventFilter::ALL, ());
            }
            let copier = bench.schedule.register(EventFilter::ALL, ());
            // Each observer hangs in its first call, which is for a partition change.
            bench.push([change(0, OTHER, GainedReplica)]);
            let hung = bench.start();
            assert_eq!(hung.len(), observers + 1);
            for job in hung.into_iter().filter(|job| job.hook_id == copier) {
                bench.finish(job, Outcome::Done);
            }
            let last = bench.push(movement());
            assert_eq!(bench.run_all(), (last - 4..=last).collect::<Vec<_>>());
            assert_eq!(bench.copied, [last - 2], "the copy counts");
        }
    }
}

#[test]
fn who_observes_is_told_one_after_the_other_whatever_others_do() {
    let mut bench = Bench::new(50, 100);
    bench.schedule.register(EventFilter::ALL, ());
    let observer = bench.schedule.observe(EventFilter::ALL, ());
    let last = bench.push(movement());
    let mut told = Vec::new();
    // The copier hangs in the first call.
    let mut jobs = bench.start();
    while let Some(at) = jobs.iter().position(|job| job.hook_id == observer) {
        let job = jobs.remove(at);
        assert!(jobs.iter().all(|job| job.hook_id != observer), "two at a time");
        told.push(job.event.revision);
        // The result of an observer does not affect the copy.
        bench.fail(job);
        jobs.extend(bench.start());
    }
    assert_eq!(told, (last - 4..=last).collect::<Vec<_>>());
    assert!(bench.copied.is_empty() && bench.retries.is_empty());
    assert!(bench.schedule.unregister(observer).is_some());
}
