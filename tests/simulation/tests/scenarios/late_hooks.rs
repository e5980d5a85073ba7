//! Programs that register their hooks after they have started their node, as those of the Go library do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clusterkit::env::{self, ChangeNotifier};
use clusterkit::hooks::{EventFilter, EventType, Hook};
use clusterkit::model::{Event, EventKind, NodeId, PartitionChangeEvent, RoleChange};
use parking_lot::Mutex;

use crate::claims::served;
use crate::world::{TestNode, World, simulate, until};

/// The partitions that a node holds, and those of them that it counts as holding the data of.
fn held(sim: &TestNode) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let topology = sim.topology();
    let of = |synced: bool| {
        let mine = topology.partitions.iter().filter(|p| match synced {
            true => p.is_synced(sim.id()),
            false => p.copy(sim.id()).is_some(),
        });
        mine.map(|p| p.number).collect()
    };
    (of(false), of(true))
}

fn is_own_gain(event: &Event, me: &NodeId) -> bool {
    matches!(&event.kind, EventKind::PartitionChange(change)
        if change.node_id == *me && change.change == RoleChange::GainedReplica)
}

fn own_gains(sim: &TestNode, events: &[Event]) -> Vec<PartitionChangeEvent> {
    let own = events.iter().filter(|event| is_own_gain(event, sim.id()));
    let change = |event: &Event| match &event.kind {
        EventKind::PartitionChange(change) => Some(change.clone()),
        _ => None,
    };
    own.filter_map(change).collect()
}

fn numbers(gains: &[PartitionChangeEvent]) -> BTreeSet<u32> {
    gains.iter().map(|change| change.number).collect()
}

/// Nothing moves as `sim` sees it, and it holds something.
async fn rest(sim: &TestNode) {
    until("rest", || {
        let topology = sim.topology();
        let quiet = topology
            .partitions
            .iter()
            .all(|p| p.primary.is_some() && p.target.is_none() && p.pending().count() == 0);
        quiet && !topology.partitions.is_empty() && !held(sim).0.is_empty()
    })
    .await;
}

/// A hook that copies nothing before it is told to.
struct Gate {
    open: Mutex<bool>,
    opened: ChangeNotifier,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Gate {
            open: Mutex::new(false),
            opened: ChangeNotifier::default(),
        })
    }

    fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify();
    }

    /// Notes what it is told on `sim`, and returns success for a copy when the gate is open.
    fn hook(self: &Arc<Self>, sim: &TestNode) -> Hook {
        let (gate, told, me) = (self.clone(), sim.events.clone(), sim.id().clone());
        Hook::from_async(move |event| {
            told.lock().push((*event).clone());
            let copies = is_own_gain(&event, &me);
            let gate = gate.clone();
            async move {
                loop {
                    let seen = gate.opened.count();
                    if !copies || *gate.open.lock() {
                        return Ok(());
                    }
                    gate.opened.after(seen).await;
                }
            }
        })
    }
}

#[test]
fn a_node_that_registers_late_counts_when_its_hook_has_copied() {
    for seed in 1..=5 {
        simulate(seed, async |world| {
            let mut nodes = world.cluster(3).await;
            let late = world.make_without_hook(World::options(4, &[1]), Arc::default());
            late.start().await.unwrap();
            rest(&late).await;
            let (copies, counting) = held(&late);
            assert_eq!(copies, counting, "without a hook it counts at once");
            let gate = Gate::new();
            let changes = EventFilter::only(EventType::PartitionChange);
            late.register(changes, gate.hook(&late)).unwrap();
            // Of each copy, with those to copy from; none counts before it is made, nor is this node primary.
            until("all gains", || {
                numbers(&own_gains(&late, &late.events())) == copies
            })
            .await;
            for gain in own_gains(&late, &late.events()) {
                assert!(!gain.copy_from_nodes.is_empty(), "{gain:?}");
                assert!(gain.copy_from_nodes.iter().all(|node| node.id != *late.id()));
            }
            assert_eq!(held(&late), (copies.clone(), BTreeSet::new()));
            until("others to lead", || {
                let topology = nodes[0].topology();
                topology
                    .partitions
                    .iter()
                    .all(|p| p.primary.as_ref().is_some_and(|node| node != late.id()))
            })
            .await;
            assert!((0..12).all(|number| !late.is_primary(number)));
            gate.open();
            rest(&late).await;
            let gains = own_gains(&late, &late.events());
            assert_eq!(gains.len(), numbers(&gains).len(), "it copied each once");
            let topology = late.topology();
            let all = topology.partitions.iter().flat_map(|p| &p.copies);
            assert!(
                all.into_iter()
                    .all(|copy| copy.node != *late.id() || !copy.unhooked)
            );
            nodes.push(late);
            served(&nodes.iter().collect::<Vec<_>>()).await;
        });
    }
}

#[test]
fn a_node_that_is_back_and_registers_late_cleans_up_before_it_copies() {
    for (seed, cleans_last) in [(1, false), (2, true), (3, true)] {
        simulate(seed, async |world| {
            let mut nodes = world.cluster(4).await;
            let gone = nodes.remove(3);
            gone.kill(None);
            let back = world.make_without_hook(gone.options().clone(), gone.disk().clone());
            back.start().await.unwrap();
            rest(&back).await;
            let (copies, _) = held(&back);
            // The order in which the programs of the Go library do it is the second.
            let kinds = [EventType::NodeRejoin, EventType::PartitionChange];
            let order = if cleans_last { [kinds[1], kinds[0]] } else { kinds };
            for kind in order {
                let filter = EventFilter::only(kind);
                back.register(filter, back.recorder()).unwrap();
                if seed == 3 {
                    // The copies that were told of at once are long made when the clean-up comes.
                    rest(&back).await;
                }
            }
            let is_rejoin = |event: &Event| matches!(event.kind, EventKind::NodeRejoin(_));
            until("all gains after the clean-up", || {
                let events = back.events();
                let after = events.iter().position(is_rejoin).unwrap_or(events.len());
                numbers(&own_gains(&back, &events[after..])) == copies
            })
            .await;
            rest(&back).await;
            assert_eq!(held(&back), (copies.clone(), copies));
        });
    }
}

/// What it is written would be lost under what it still copies.
#[test]
fn a_role_that_comes_before_the_copy_is_made_is_not_acted_on() {
    for seed in 1..=3 {
        simulate(seed, async |world| {
            let first = world.make_without_hook(World::options(1, &[]), Arc::default());
            first.start().await.unwrap();
            let second = world.start(2, &[1]).await;
            let _third = world.start(3, &[1]).await;
            let led_by = |id: &NodeId| {
                let topology = first.topology();
                let led = topology
                    .partitions
                    .iter()
                    .filter(|p| p.primary.as_ref() == Some(id));
                led.map(|p| p.number).collect::<BTreeSet<u32>>()
            };
            until("roles of the second", || !led_by(second.id()).is_empty()).await;
            rest(&first).await;
            let gate = Gate::new();
            let changes = EventFilter::only(EventType::PartitionChange);
            first.register(changes, gate.hook(&first)).unwrap();
            let copies = |number: u32| {
                let gains = own_gains(&first, &first.events());
                let gain = gains.into_iter().find(|gain| gain.number == number);
                gain.is_some_and(|gain| !gain.copy_from_nodes.is_empty())
            };
            let led = led_by(second.id());
            until("the hook copies what another leads", || {
                led.iter().any(|n| copies(*n))
            })
            .await;
            let copied: BTreeSet<u32> = led.into_iter().filter(|n| copies(*n)).collect();
            second.kill(None);
            let gained = |n: &&u32| led_by(first.id()).contains(*n);
            until("a role while it is copied", || copied.iter().any(|n| gained(&n))).await;
            env::sleep(Duration::from_secs(1)).await;
            let roles: BTreeSet<u32> = copied.iter().filter(gained).copied().collect();
            for number in &roles {
                assert!(!first.is_primary(*number), "{number} is being copied");
                let error = first.primary_epoch(*number).unwrap_err();
                assert!(error.message().contains("still copies"), "{error}");
            }
            gate.open();
            until("the roles are acted on", || {
                roles.iter().all(|n| first.is_primary(*n))
            })
            .await;
        });
    }
}

/// Nobody else has the data, so it is primary as soon as it is back, and is told nothing by itself.
#[test]
fn what_an_earlier_process_confirmed_without_a_hook_is_asked_of_the_hooks_of_the_next() {
    for seed in 1..=3 {
        simulate(seed, async |world| {
            let mut options = World::options(1, &[]);
            options.replication_factor = Some(1);
            let first = world.make(options, Arc::default());
            first.start().await.unwrap();
            let second = world.make_without_hook(World::options(2, &[1]), Arc::default());
            second.start().await.unwrap();
            rest(&second).await;
            let unhooked = |sim: &TestNode| {
                let topology = sim.topology();
                let copies = topology.partitions.iter().flat_map(|p| p.copies.clone());
                copies.filter(|copy| copy.unhooked).count()
            };
            assert!(unhooked(&second) > 0);
            let (copies, _) = held(&second);
            let back = world.crash_and_restart(second, seed).await;
            until("the hook is asked", || unhooked(&back) == 0).await;
            assert_eq!(numbers(&own_gains(&back, &back.events())), copies);
            assert_eq!(held(&back), (copies.clone(), copies));
            drop(first);
        });
    }
}

#[test]
fn when_all_register_late_nothing_is_lost() {
    for seed in 1..=5 {
        simulate(seed, async |world| {
            let mut nodes = Vec::new();
            for i in 1..=3 {
                let through: &[usize] = if i == 1 { &[] } else { &[1] };
                let sim = world.make_without_hook(World::options(i, through), Arc::default());
                sim.start().await.unwrap();
                nodes.push(sim);
            }
            for sim in &nodes {
                until("all copies", || held(sim).1.len() == 12).await;
                rest(sim).await;
            }
            let gate = Gate::new();
            for sim in &nodes[1..] {
                sim.register(EventFilter::ALL, gate.hook(sim)).unwrap();
            }
            let first = &nodes[0];
            first.register(EventFilter::ALL, gate.hook(first)).unwrap();
            // The founder alone has ever had the data.
            until("the founder to lead all", || {
                (0..12).all(|number| first.is_primary(number))
            })
            .await;
            gate.open();
            for sim in &nodes {
                rest(sim).await;
            }
            assert!(nodes.iter().all(|sim| held(sim).1.len() == 12));
            served(&nodes.iter().collect::<Vec<_>>()).await;
        });
    }
}

#[test]
fn who_observes_is_not_asked_for_copies() {
    simulate(6, async |world| {
        let first = world.start(1, &[]).await;
        let second = world.make_without_hook(World::options(2, &[1]), Arc::default());
        let gate = Gate::new();
        second.observe(gate.hook(&second)).unwrap();
        second.start().await.unwrap();
        rest(&second).await;
        assert_eq!(held(&second).1.len(), 12, "as without any hook");
        gate.open();
        until("what it was told", || {
            !own_gains(&second, &second.events()).is_empty()
        })
        .await;
        drop(first);
    });
}
