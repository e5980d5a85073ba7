//! Property tests: random events, registrations and outcomes in any order, and the invariants that must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use crate::hooks::job::{Effect, Job, RetryId};
use crate::hooks::schedule::Schedule;
use crate::hooks::types::{EventFilter, EventType, HookId, Outcome};
use crate::model::RoleChange::{GainedPrimary, GainedReplica, LostCopy, LostPrimary};
use crate::model::{Event, EventKind, PartitionChangeEvent};

use super::{OTHER_NODE, OWN_NODE, change, complete, event, join, leader, leave, rejoin, start};

const MAX_CONCURRENT_CALLS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Change(u32, bool, u8),
    Node(bool, u8),
    Rebalance,
    Leader,
    Register(u8),
    Observe,
    Unregister(usize),
    Start(usize),
    Finish(usize, bool),
    Retry(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3_u32, any::<bool>(), 0..4_u8).prop_map(|(number, me, what)| Step::Change(number, me, what)),
        2 => (any::<bool>(), 0..3_u8).prop_map(|(me, what)| Step::Node(me, what)),
        2 => Just(Step::Rebalance),
        1 => Just(Step::Leader),
        1 => (0..6_u8).prop_map(Step::Register),
        1 => Just(Step::Observe),
        1 => (0..8_usize).prop_map(Step::Unregister),
        4 => (1..4_usize).prop_map(Step::Start),
        5 => (any::<usize>(), prop::bool::weighted(0.7)).prop_map(|(which, ok)| Step::Finish(which, ok)),
        2 => any::<usize>().prop_map(Step::Retry),
    ]
}

fn filter(choice: u8) -> EventFilter {
    match choice {
        0 | 1 => EventFilter::ALL,
        2 => EventFilter::only(EventType::PartitionChange),
        3 => EventFilter::only(EventType::NodeRejoin).and(EventType::NodeLeave),
        4 => EventFilter::only(EventType::RebalanceStart).and(EventType::RebalanceComplete),
        _ => EventFilter::only(EventType::PartitionChange).and(EventType::LeaderChange),
    }
}

/// One expected call: an event for a registration, or a retry of one.
#[derive(Debug)]
struct Due {
    event: Arc<Event>,
    /// When the event was pushed, or the delay of the retry had passed.
    place: u64,
    /// When its call began and returned.
    began: Option<u64>,
    returned: Option<u64>,
}

type Key = (HookId, u64, u32);

#[derive(Default)]
struct Record {
    /// Logical clock: counts pushes, starts, ends and retries.
    now: u64,
    due: BTreeMap<Key, Due>,
    hooks: BTreeMap<HookId, EventFilter>,
    removed: BTreeSet<HookId>,
    /// The hooks that observe.
    observers: BTreeSet<HookId>,
    /// Gains of this node, each with the hooks that have to copy it.
    gains: BTreeMap<u64, (Arc<Event>, Vec<HookId>)>,
    copied: Vec<(u64, u64)>,
    log: Vec<(u64, Arc<Event>)>,
    retries: Vec<(RetryId, Key, Arc<Event>)>,
    last_failed: Option<Key>,
}

struct Run {
    schedule: Schedule<()>,
    record: Record,
    running: Vec<Job<()>>,
    moving: bool,
}

fn partition_change(event: &Event) -> Option<&PartitionChangeEvent> {
    match &event.kind {
        EventKind::PartitionChange(change) => Some(change),
        _ => None,
    }
}

impl Run {
    fn new() -> Self {
        Run {
            schedule: Schedule::new(OWN_NODE.into(), MAX_CONCURRENT_CALLS, 3),
            record: Record::default(),
            running: Vec::new(),
            moving: false,
        }
    }

    fn push(&mut self, kind: EventKind) {
        let record = &mut self.record;
        record.now += 1;
        let event = event(record.now, kind);
        record.log.push((record.now, Arc::clone(&event)));
        let accepts = |filter: &EventFilter| filter.accepts(EventType::of(&event.kind));
        let received: Vec<HookId> = record
            .hooks
            .iter()
            .filter(|(_, filter)| accepts(filter))
            .map(|(id, _)| *id)
            .collect();
        for id in &received {
            let due = Due {
                event: Arc::clone(&event),
                place: record.now,
                began: None,
                returned: None,
            };
            record.due.insert((*id, event.revision, 1), due);
        }
        let own =
            partition_change(&event).is_some_and(|c| &*c.node_id == OWN_NODE && c.change == GainedReplica);
        if own {
            let copiers = received.into_iter().filter(|id| !record.observers.contains(id));
            let gain = (Arc::clone(&event), copiers.collect());
            record.gains.insert(event.revision, gain);
        }
        self.schedule.push(event);
        self.effects();
    }

    fn effects(&mut self) {
        let record = &mut self.record;
        for effect in self.schedule.take_effects() {
            match effect {
                Effect::Copied(event) | Effect::Unheard(event) => {
                    record.copied.push((event.revision, record.now))
                }
                Effect::Abandoned(event) => {
                    let gain = event.revision;
                    assert!(
                        record.copied.iter().all(|(copied, _)| *copied != gain),
                        "{gain} was copied, and abandoned"
                    );
                }
                Effect::Failed(failure) => {
                    record.last_failed = Some((failure.hook, failure.event.revision, failure.attempt));
                }
                Effect::RetryAfter(id, _) => {
                    // This effect comes just before the failure that caused it: `finish` fills in the key.
                    record
                        .retries
                        .push((id, (HookId(0), 0, 0), Arc::clone(&record.log[0].1)));
                }
            }
        }
    }

    fn start(&mut self, limit: usize) {
        for job in self.schedule.next_ready(limit) {
            self.record.now += 1;
            let due = self
                .record
                .due
                .get_mut(&(job.hook_id, job.event.revision, job.attempt));
            let due = due.expect("only what is due is called");
            assert!(due.began.is_none(), "called twice for one event");
            assert!(
                !self.record.removed.contains(&job.hook_id),
                "a removed hook is called"
            );
            due.began = Some(self.record.now);
            self.running.push(job);
        }
        let changes = self
            .running
            .iter()
            .filter(|job| partition_change(&job.event).is_some())
            .filter(|job| !self.record.observers.contains(&job.hook_id));
        assert!(changes.count() <= MAX_CONCURRENT_CALLS);
    }

    fn finish(&mut self, which: usize, ok: bool) {
        if self.running.is_empty() {
            return;
        }
        let job = self.running.swap_remove(which % self.running.len());
        self.record.now += 1;
        let key = (job.hook_id, job.event.revision, job.attempt);
        if let Some(due) = self.record.due.get_mut(&key) {
            due.returned = Some(self.record.now);
        }
        let outcome = if ok {
            Outcome::Done
        } else {
            Outcome::Failed("no".into())
        };
        let retries = self.record.retries.len();
        self.schedule.finished(job.call_id, outcome);
        self.effects();
        if let Some(retry) = self.record.retries.get_mut(retries) {
            assert_eq!(self.record.last_failed, Some(key));
            *retry = (retry.0, key, job.event);
        }
    }

    fn retry(&mut self, which: usize) {
        let record = &mut self.record;
        if record.retries.is_empty() {
            return;
        }
        let (id, (hook, revision, attempt), event) = record.retries.swap_remove(which % record.retries.len());
        record.now += 1;
        let queued = self
            .schedule
            .stats()
            .iter()
            .map(|stats| stats.retries)
            .sum::<u64>();
        self.schedule.retry_due(id);
        if self
            .schedule
            .stats()
            .iter()
            .map(|stats| stats.retries)
            .sum::<u64>()
            > queued
        {
            let due = Due {
                event,
                place: record.now,
                began: None,
                returned: None,
            };
            record.due.insert((hook, revision, attempt + 1), due);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Change(number, me, what) => {
                let what = [GainedReplica, GainedPrimary, LostPrimary, LostCopy][usize::from(what)];
                self.push(change(number, if me { OWN_NODE } else { OTHER_NODE }, what));
            }
            Step::Node(me, what) => {
                let id = if me { OWN_NODE } else { OTHER_NODE };
                self.push([join(id), rejoin(id), leave(id)][usize::from(what)].clone());
            }
            Step::Rebalance => {
                self.moving = !self.moving;
                self.push(if self.moving { start() } else { complete() });
            }
            Step::Leader => self.push(leader(1)),
            Step::Register(choice) => {
                let id = self.schedule.register(filter(choice), ());
                self.record.hooks.insert(id, filter(choice));
            }
            Step::Observe => {
                let id = self.schedule.observe(EventFilter::ALL, ());
                self.record.hooks.insert(id, EventFilter::ALL);
                self.record.observers.insert(id);
            }
            Step::Unregister(which) => {
                let Some(id) = self.record.hooks.keys().nth(which).copied() else {
                    return;
                };
                self.schedule.unregister(id);
                self.record.hooks.remove(&id);
                self.record.removed.insert(id);
                self.effects();
            }
            Step::Start(limit) => self.start(limit),
            Step::Finish(which, ok) => self.finish(which, ok),
            Step::Retry(which) => self.retry(which),
        }
    }

    /// Lets all delays pass and every call succeed.
    fn drain(&mut self) {
        loop {
            self.start(usize::MAX);
            if !self.running.is_empty() {
                self.finish(0, true);
            } else if !self.record.retries.is_empty() {
                self.retry(0);
            } else {
                break;
            }
        }
        assert!(!self.schedule.has_ready());
        for stats in self.schedule.stats() {
            assert_eq!((stats.queued, stats.running), (0, 0), "everything gets its turn");
        }
    }
}

/// True when a call for `later` must not begin before one for `earlier` has returned.
fn must_wait(earlier: &Event, later: &Event, same_hook: bool, barrier_between: bool) -> bool {
    let types = (EventType::of(&earlier.kind), EventType::of(&later.kind));
    let fenced = match types {
        (EventType::NodeRejoin | EventType::RebalanceStart, EventType::PartitionChange) => true,
        (EventType::PartitionChange, later) => matches!(
            later,
            EventType::NodeRejoin | EventType::RebalanceStart | EventType::RebalanceComplete
        ),
        _ => false,
    };
    let batch = match (partition_change(earlier), partition_change(later)) {
        (Some(earlier), Some(later)) => earlier.number != later.number && !barrier_between,
        _ => false,
    };
    fenced || (same_hook && !batch)
}

fn check_order(record: &Record) {
    let called: Vec<_> = record.due.iter().filter(|(_, due)| due.began.is_some()).collect();
    for (key, earlier) in &called {
        for (other, later) in called.iter().filter(|(_, later)| later.place > earlier.place) {
            let same_hook = key.0 == other.0;
            let between = |due: &Due| due.place > earlier.place && due.place < later.place;
            let barrier_between = called
                .iter()
                .any(|(k, due)| k.0 == key.0 && between(due) && partition_change(&due.event).is_none());
            let observed = [key.0, other.0].iter().any(|id| record.observers.contains(id));
            // No other hook waits for an observer, and it waits for no other hook; its own calls run one after the
            // other.
            let waits = match observed {
                true => same_hook,
                false => must_wait(&earlier.event, &later.event, same_hook, barrier_between),
            };
            if waits {
                assert!(
                    earlier.returned < later.began,
                    "{key:?} before {other:?}: {earlier:?} {later:?}"
                );
            }
        }
    }
}

/// Every event was delivered, or a later one in the same queue made it obsolete, and that is counted.
fn check_delivered(run: &Run) {
    let record = &run.record;
    for (id, filter) in &record.hooks {
        let of_hook: Vec<_> = record.due.iter().filter(|(key, _)| key.0 == *id).collect();
        let untold: Vec<_> = of_hook.iter().filter(|(_, due)| due.began.is_none()).collect();
        let stats = run.schedule.stats();
        let stats = stats.iter().find(|stats| stats.hook == *id).unwrap();
        assert_eq!(stats.coalesced, untold.len() as u64);
        assert_eq!(stats.calls + stats.coalesced, of_hook.len() as u64);
        for (key, due) in untold {
            let later = |other: &Due| other.place > due.place && supersedes(&other.event, &due.event);
            let given_up = |hooks: &[HookId]| hooks.iter().any(|hook| record.removed.contains(hook));
            // A gain that was given up is not retried.
            let retry = key.2 > 1
                && record
                    .gains
                    .get(&key.1)
                    .is_some_and(|(_, received)| given_up(received));
            let excused = retry || of_hook.iter().any(|(_, other)| later(other));
            assert!(excused, "{key:?} was lost: {due:?}");
        }
        if filter.accepts(EventType::RebalanceStart) && filter.accepts(EventType::RebalanceComplete) {
            let received = of_hook.iter().filter(|(_, due)| due.began.is_some());
            let types = received.map(|(_, due)| EventType::of(&due.event.kind));
            let rebalances: Vec<_> = types
                .filter(|kind| matches!(kind, EventType::RebalanceStart | EventType::RebalanceComplete))
                .collect();
            assert!(
                rebalances.windows(2).all(|pair| pair[0] != pair[1]),
                "unpaired: {rebalances:?}"
            );
        }
    }
}

/// Whether `later` justifies that `event` is not delivered: both are about the same subject, and a gain never replaces
/// a loss.
fn supersedes(later: &Event, event: &Event) -> bool {
    match (&later.kind, &event.kind) {
        (EventKind::PartitionChange(later), EventKind::PartitionChange(change)) => {
            let loss = matches!(change.change, LostCopy | LostPrimary);
            let by_loss = matches!(later.change, LostCopy | LostPrimary);
            (later.number, &later.node_id) == (change.number, &change.node_id) && (!loss || by_loss)
        }
        (EventKind::LeaderChange(_), EventKind::LeaderChange(_))
        | (EventKind::RebalanceComplete(_), EventKind::RebalanceStart(_) | EventKind::RebalanceComplete(_)) => {
            true
        }
        (EventKind::NodeLeave(later), EventKind::NodeLeave(old)) => later.node.id == old.node.id,
        (EventKind::NodeLeave(later), EventKind::NodeJoin(old)) => later.node.id == old.node.id,
        (EventKind::NodeJoin(later), EventKind::NodeJoin(old)) => later.node.id == old.node.id,
        (EventKind::NodeLeave(later), EventKind::NodeRejoin(old)) => {
            later.node.id == old.node.id && &*old.node.id != OWN_NODE
        }
        (EventKind::NodeRejoin(later), EventKind::NodeRejoin(old)) => {
            later.node.id == old.node.id && &*old.node.id != OWN_NODE
        }
        _ => false,
    }
}

/// The first later event about this node and the partition of `gain` that satisfies `which`.
fn later_own(record: &Record, gain: &Event, which: impl Fn(&PartitionChangeEvent) -> bool) -> Option<u64> {
    let number = partition_change(gain).unwrap().number;
    let own = |change: &PartitionChangeEvent| {
        change.number == number && &*change.node_id == OWN_NODE && which(change)
    };
    let mut later = record.log.iter().filter(|(at, _)| *at > gain.revision);
    later
        .find(|(_, event)| partition_change(event).is_some_and(own))
        .map(|(at, _)| *at)
}

fn check_copied(record: &Record) {
    let revisions: BTreeSet<u64> = record.copied.iter().map(|(revision, _)| *revision).collect();
    assert_eq!(revisions.len(), record.copied.len(), "confirmed twice");
    for (revision, at) in &record.copied {
        let (gain, received) = &record.gains[revision];
        let over = later_own(record, gain, |change| {
            matches!(change.change, LostCopy | GainedReplica)
        });
        assert!(
            over.is_none_or(|over| over > *at),
            "{revision} was over when it was confirmed"
        );
        for hook in received {
            let calls = record
                .due
                .iter()
                .filter(|((id, of, _), _)| id == hook && of == revision);
            let returned = calls.filter_map(|(_, due)| due.returned).max();
            assert!(
                returned.is_some_and(|returned| returned <= *at),
                "{hook} has not copied {revision}"
            );
        }
    }
    for (revision, (gain, received)) in &record.gains {
        let survives = later_own(record, gain, |_| true).is_none();
        let abandoned = received.iter().any(|hook| record.removed.contains(hook));
        if survives && !abandoned {
            assert!(revisions.contains(revision), "{revision} was never confirmed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn order_delivery_copies_and_bounds_hold_for_any_history(
        hooks in prop::collection::vec(0..6_u8, 0..4),
        steps in prop::collection::vec(step(), 1..70),
    ) {
        let mut run = Run::new();
        hooks.into_iter().for_each(|choice| run.step(Step::Register(choice)));
        steps.into_iter().for_each(|step| run.step(step));
        run.drain();
        check_order(&run.record);
        check_delivered(&run);
        check_copied(&run.record);
    }
}
