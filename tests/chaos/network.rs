//! Nodes on a network of their own: each in a namespace, all on one bridge, with links that are cut one way, both
//! ways, and slowed down.

use std::ops::Deref;
use std::thread;

use ck_tests::Network;
use ck_tests::claims::{self, Subject};
use clusterkit::model::NodeStatus;

use crate::support::{LONG_OUTAGE, Machine, Scene, skipped};

/// Where the nodes listen.
const PORT: u16 = 7000;

/// The network of a test.
pub(crate) struct Net {
    network: Network,
    nodes: usize,
}

impl Deref for Net {
    type Target = Network;

    fn deref(&self) -> &Network {
        &self.network
    }
}

impl Net {
    /// None, and said so, where this is not possible.
    pub(crate) fn make(what: &str, nodes: usize) -> Option<Self> {
        match Network::make(nodes) {
            Ok(network) => Some(Net { network, nodes }),
            Err(error) => {
                skipped(what, &format!("no network namespaces here: {error}"));
                None
            }
        }
    }

    /// Starts a node in each namespace, and clients.
    pub(crate) fn populate(&self, scene: &mut Scene) {
        for place in 0..self.nodes {
            let id = format!("node-{}", place + 1);
            let through = format!("{}:{PORT}", self.host(0));
            let flags = if place == 0 {
                ["--bootstrap", "true"]
            } else {
                ["--join-addrs", &through]
            };
            let mut node = scene.cluster.stranger(&id, &flags).within(&self.space(place));
            node.spawn_at(&format!("{}:{PORT}", self.host(place)));
            node.wait_ready();
            scene.cluster.adopt(node);
        }
        scene.begin();
    }

    /// False, and said so, where the system cannot do that.
    fn can(what: &str, done: Result<(), String>) -> bool {
        if let Err(error) = &done {
            skipped(what, error);
        }
        done.is_ok()
    }
}

#[test]
fn a_cluster_that_was_cut_in_two_heals_by_itself() {
    let Some(net) = Net::make("cuts", 5) else { return };
    let mut scene = Scene::empty(Machine::shared(), &[]);
    net.populate(&mut scene);
    // The leader and another on the smaller side.
    let leader = scene.cluster.leader();
    let minority = [leader, (leader + 1) % 5];
    let majority: Vec<usize> = (0..5).filter(|place| !minority.contains(place)).collect();
    for one in minority {
        for other in &majority {
            net.cut(one, *other).unwrap();
        }
    }
    let cut = claims::now();
    scene.progress();
    scene.taken_over(majority[0], &minority);
    scene.served_since(cut);
    thread::sleep(LONG_OUTAGE);
    let healed = claims::now();
    net.heal();
    for place in minority {
        scene.wait_status(majority[0], place, NodeStatus::Active);
    }
    let ids = minority.map(|place| scene.id(place));
    let history = scene.finish("cut in two");
    // Nobody on the smaller side claimed anything by the time that the others had taken over.
    for id in ids {
        let last = history
            .samples_of(&id)
            .filter(|sample| sample.to < healed)
            .last()
            .unwrap();
        assert!(
            last.claims.is_empty(),
            "{id} claimed {:?} behind the cut",
            last.claims
        );
    }
}

#[test]
fn cuts_in_one_direction_make_no_two_leaders_and_heal() {
    let Some(net) = Net::make("one-way cuts", 3) else {
        return;
    };
    let mut scene = Scene::empty(Machine::shared(), &[]);
    net.populate(&mut scene);
    // The leader can send and hears nobody, then hears everybody and cannot send.
    for deaf in [true, false] {
        let leader = scene.cluster.leader();
        let others = [(leader + 1) % 3, (leader + 2) % 3];
        for other in others {
            let (from, to) = if deaf { (other, leader) } else { (leader, other) };
            net.cut_one_way(from, to).unwrap();
        }
        scene.progress();
        scene.taken_over(others[0], &[leader]);
        net.heal();
        scene.wait_status(others[0], leader, NodeStatus::Active);
    }
    // A ring in which one link is cut: everybody still has a majority around it.
    let leader = scene.cluster.leader();
    net.cut((leader + 1) % 3, (leader + 2) % 3).unwrap();
    scene.progress();
    thread::sleep(LONG_OUTAGE);
    scene.progress();
    net.heal();
    scene.finish("one-way cuts");
}

#[test]
fn one_node_behind_a_slow_link_stops_nobody() {
    let Some(net) = Net::make("a slow link", 4) else {
        return;
    };
    let mut scene = Scene::empty(Machine::shared(), &[]);
    net.populate(&mut scene);
    let leader = scene.cluster.leader();
    let slow = (leader + 1) % 4;
    // Where links cannot be slowed, one that loses everything is as slow as can be.
    if !Net::can("delay; the link is cut instead", net.delay(slow, "200ms")) {
        net.isolate(slow).unwrap();
    }
    let before = scene.acknowledged();
    for _ in 0..3 {
        scene.progress();
    }
    assert!(scene.acknowledged() > before);
    let place = scene.cluster.len();
    let mut fifth = scene
        .cluster
        .stranger(
            "node-5",
            &["--join-addrs", &format!("{}:{PORT}", net.host(leader))],
        )
        .within(&net.space(leader));
    fifth.spawn_at(&format!("{}:{}", net.host(leader), PORT + 1));
    fifth.wait_ready();
    scene.cluster.adopt(fifth);
    scene.wait_status(leader, place, NodeStatus::Active);
    net.heal();
    let history = scene.finish("a slow link");
    println!(
        "leadership was claimed by nobody for {:?} at most",
        history.longest_gap(Subject::Leadership)
    );
}

#[test]
fn large_values_on_slow_links_are_written_through_every_node_and_elect_nobody() {
    const NODES: usize = 3;
    let Some(net) = Net::make("large values on slow links", NODES) else {
        return;
    };
    let mut scene = Scene::empty(Machine::alone(), &[]);
    net.populate(&mut scene);
    let slowed = (0..NODES).try_for_each(|place| net.limit_rate(place, "10mbit"));
    if !Net::can("large values on slow links", slowed) {
        return;
    }
    let epoch = |scene: &Scene| scene.cluster.api(0).leader().unwrap().epoch;
    let before = epoch(&scene);
    let key = |place: usize| format!("large/{place}");
    let mut newest = 0;
    for place in 0..NODES {
        // As large as a value may be, and to two others on one link: about two seconds.
        newest = scene
            .cluster
            .api(place)
            .put(&key(place), vec![b'x'; 1 << 20])
            .unwrap();
        scene.progress();
    }
    for place in 0..NODES {
        let (value, _) = scene.cluster.api(place).value(&key(0), newest).unwrap().unwrap();
        assert_eq!(value.len(), 1 << 20);
    }
    assert_eq!(epoch(&scene), before, "somebody else was elected");
    net.lift_limits();
    // The book that is kept of the clients' writes knows nothing of these.
    (0..NODES).for_each(|place| scene.cluster.api(place).delete(&key(place)).unwrap());
    scene.finish("large values on slow links");
}
