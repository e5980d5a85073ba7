//! The order of calls: which call may start when.

use crate::hooks::types::{EventFilter, EventType, Outcome};
use crate::model::EventKind;
use crate::model::RoleChange::{GainedPrimary, GainedReplica};

use super::{
    OTHER_NODE, OWN_NODE, ScheduleFixture, change, complete, join, leader, rejoin, revisions, start,
};

const PARTITION_CHANGES: EventFilter = EventFilter::only(EventType::PartitionChange);

#[test]
fn consecutive_partition_changes_run_together_and_other_events_are_barriers() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(EventFilter::ALL, ());
    let gain = |number| change(number, OTHER_NODE, GainedReplica);
    fixture.push([join("a"), gain(1), gain(2), leader(1), gain(3)]);

    let first = fixture.start();
    assert_eq!(revisions(&first), [1]);
    first
        .into_iter()
        .for_each(|job| fixture.finish(job, Outcome::Done));
    let mut batch = fixture.start();
    assert_eq!(revisions(&batch), [2, 3]);
    fixture.finish(batch.remove(0), Outcome::Done);
    assert!(fixture.start().is_empty(), "a barrier waits for the whole batch");
    fixture.finish(batch.remove(0), Outcome::Done);
    let barrier = fixture.start();
    assert_eq!(revisions(&barrier), [4]);
    assert!(fixture.start().is_empty(), "nothing passes a barrier that runs");
    barrier
        .into_iter()
        .for_each(|job| fixture.finish(job, Outcome::Done));
    assert_eq!(revisions(&fixture.start()), [5]);
}

#[test]
fn a_change_joins_the_batch_that_runs() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(PARTITION_CHANGES, ());
    fixture.push([change(1, OTHER_NODE, GainedReplica)]);
    assert_eq!(revisions(&fixture.start()), [1]);
    fixture.push([change(2, OTHER_NODE, GainedReplica)]);
    assert_eq!(revisions(&fixture.start()), [2]);
}

#[test]
fn changes_of_one_partition_are_delivered_one_after_the_other() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(PARTITION_CHANGES, ());
    let same = [
        change(1, OTHER_NODE, GainedReplica),
        change(1, OTHER_NODE, GainedPrimary),
    ];
    fixture.push(same.into_iter().chain([change(2, OTHER_NODE, GainedReplica)]));
    let mut jobs = fixture.start();
    assert_eq!(revisions(&jobs), [1, 3]);
    fixture.finish(jobs.remove(0), Outcome::Done);
    assert_eq!(revisions(&fixture.start()), [2]);
}

#[test]
fn a_rejoins_clean_up_returns_before_any_registrations_first_copy() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(PARTITION_CHANGES, ());
    fixture
        .schedule
        .register(EventFilter::only(EventType::NodeRejoin), ());
    fixture.push([rejoin(OWN_NODE), change(1, OWN_NODE, GainedReplica)]);
    let mut clean_up = fixture.start();
    assert_eq!(revisions(&clean_up), [1]);
    assert!(fixture.start().is_empty());
    fixture.finish(clean_up.remove(0), Outcome::Done);
    assert_eq!(revisions(&fixture.start()), [2]);
}

#[test]
fn rebalance_start_returns_before_the_copies_and_complete_starts_after_them() {
    let mut fixture = ScheduleFixture::new(50, 100);
    for event_type in [
        EventType::RebalanceComplete,
        EventType::PartitionChange,
        EventType::RebalanceStart,
    ] {
        fixture.schedule.register(EventFilter::only(event_type), ());
    }
    fixture.push([
        start(),
        change(1, OWN_NODE, GainedReplica),
        change(2, OWN_NODE, GainedReplica),
        complete(),
    ]);
    let mut begun = fixture.start();
    assert_eq!(revisions(&begun), [1]);
    fixture.finish(begun.remove(0), Outcome::Done);
    let mut copies = fixture.start();
    assert_eq!(revisions(&copies), [2, 3]);
    fixture.finish(copies.remove(0), Outcome::Done);
    assert!(fixture.start().is_empty());
    fixture.finish(copies.remove(0), Outcome::Done);
    assert_eq!(revisions(&fixture.start()), [4]);
}

#[test]
fn a_clean_up_waits_for_running_copies_of_other_registrations() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture
        .schedule
        .register(EventFilter::only(EventType::NodeRejoin), ());
    fixture.schedule.register(PARTITION_CHANGES, ());
    fixture.push([change(1, OWN_NODE, GainedReplica), rejoin(OWN_NODE)]);
    let mut copy = fixture.start();
    assert_eq!(revisions(&copy), [1]);
    fixture.finish(copy.remove(0), Outcome::Done);
    assert_eq!(revisions(&fixture.start()), [2]);
}

#[test]
fn a_slow_hook_delays_its_own_queue_only() {
    let mut fixture = ScheduleFixture::new(50, 100);
    let slow = fixture.schedule.register(EventFilter::ALL, ());
    let quick = fixture.schedule.register(EventFilter::ALL, ());
    fixture.push([join("a")]);
    let mut jobs = fixture.start();
    let index = jobs.iter().position(|job| job.hook_id == quick).unwrap();
    fixture.finish(jobs.remove(index), Outcome::Done);
    fixture.push([leader(1), change(1, OTHER_NODE, GainedReplica), leader(2)]);
    assert_eq!(fixture.run_all(), [2, 3, 4], "the quick one goes on");
    let stats = fixture.schedule.stats();
    assert_eq!((stats[0].hook, stats[0].queued, stats[0].running), (slow, 3, 1));
    assert_eq!((stats[1].calls, stats[1].queued), (4, 0));
}

#[test]
fn hung_changes_of_one_registration_leave_room_for_another() {
    let mut fixture = ScheduleFixture::new(4, 100);
    let hung = fixture.schedule.register(PARTITION_CHANGES, ());
    let other = fixture.schedule.register(PARTITION_CHANGES, ());
    fixture.push((0..8).map(|number| change(number, OTHER_NODE, GainedReplica)));
    let jobs = fixture.start();
    assert_eq!(jobs.iter().filter(|job| job.hook_id == hung).count(), 3);
    assert_eq!(jobs.iter().filter(|job| job.hook_id == other).count(), 1);
}

#[test]
fn no_more_changes_run_than_allowed() {
    let mut fixture = ScheduleFixture::new(3, 100);
    fixture.schedule.register(PARTITION_CHANGES, ());
    fixture.push((0..8).map(|number| change(number, OTHER_NODE, GainedReplica)));
    let mut jobs = fixture.start();
    assert_eq!(revisions(&jobs), [1, 2, 3]);
    fixture.finish(jobs.remove(1), Outcome::Done);
    assert_eq!(revisions(&fixture.start()), [4]);
}

#[test]
fn removing_a_hook_releases_the_hooks_that_waited_for_its_queue() {
    let mut fixture = ScheduleFixture::new(50, 100);
    let clean_up = fixture.schedule.register(EventFilter::ALL, ());
    fixture.schedule.register(PARTITION_CHANGES, ());
    fixture.push([leader(1), rejoin(OWN_NODE), change(1, OTHER_NODE, GainedReplica)]);
    let running = fixture.start();
    assert_eq!(revisions(&running), [1]);
    assert!(fixture.schedule.unregister(clean_up).is_some());
    assert_eq!(
        revisions(&fixture.start()),
        [3],
        "the clean-up will not be called"
    );
    assert_eq!(
        fixture.schedule.calls_of(clean_up),
        1,
        "its call for the leader goes on"
    );
}

#[test]
fn a_hook_gets_no_event_of_before_its_registration() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(EventFilter::ALL, ());
    fixture.push([join("a")]);
    let late = fixture.schedule.register(EventFilter::ALL, ());
    fixture.push([join("b")]);
    let received: Vec<_> = std::iter::from_fn(|| {
        let job = fixture.schedule.next_ready(1).pop()?;
        let received = (job.hook_id, job.event.revision);
        fixture.finish(job, Outcome::Done);
        Some(received)
    })
    .collect();
    let late_ones: Vec<_> = received.iter().filter(|(id, _)| *id == late).collect();
    assert_eq!(late_ones, [&(late, 2)]);
    assert_eq!(received.len(), 3);
}

/// Every kind of event that takes part in the fence, and one that is a barrier only.
fn movement() -> [EventKind; 5] {
    [
        rejoin(OWN_NODE),
        start(),
        change(1, OWN_NODE, GainedReplica),
        complete(),
        leader(1),
    ]
}

#[test]
fn an_observer_that_hangs_delays_no_hook_and_prevents_no_confirmation() {
    // Even where one call may run at a time, an observer must not take that place.
    for concurrency in [1, 50] {
        for observers in [1, 3] {
            let mut fixture = ScheduleFixture::new(concurrency, 100);
            for _ in 0..observers {
                fixture.schedule.observe(EventFilter::ALL, ());
            }
            let copier = fixture.schedule.register(EventFilter::ALL, ());
            // Each observer hangs in its first call, which is for a partition change.
            fixture.push([change(0, OTHER_NODE, GainedReplica)]);
            let hung = fixture.start();
            assert_eq!(hung.len(), observers + 1);
            for job in hung.into_iter().filter(|job| job.hook_id == copier) {
                fixture.finish(job, Outcome::Done);
            }
            let last = fixture.push(movement());
            assert_eq!(fixture.run_all(), (last - 4..=last).collect::<Vec<_>>());
            assert_eq!(fixture.copied, [last - 2], "the copy counts");
        }
    }
}

#[test]
fn an_observer_gets_its_events_one_after_the_other_whatever_other_hooks_do() {
    let mut fixture = ScheduleFixture::new(50, 100);
    fixture.schedule.register(EventFilter::ALL, ());
    let observer = fixture.schedule.observe(EventFilter::ALL, ());
    let last = fixture.push(movement());
    let mut received = Vec::new();
    // The copier hangs in the first call.
    let mut jobs = fixture.start();
    while let Some(at) = jobs.iter().position(|job| job.hook_id == observer) {
        let job = jobs.remove(at);
        assert!(jobs.iter().all(|job| job.hook_id != observer), "two at a time");
        received.push(job.event.revision);
        // The result of an observer does not affect the copy.
        fixture.fail(job);
        jobs.extend(fixture.start());
    }
    assert_eq!(received, (last - 4..=last).collect::<Vec<_>>());
    assert!(fixture.copied.is_empty() && fixture.retries.is_empty());
    assert!(fixture.schedule.unregister(observer).is_some());
}
